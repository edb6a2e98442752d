"""The types that every room shares: spaces, the environment's description, timesteps, the clock, the agent.

Shape letters used across the project: ``T`` rollout length, ``N`` parallel environments of one member, ``B``
batch, ``M`` members of a population (seeds x hyperparameters), ``A`` discrete actions, ``D`` action dimensions.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from rlx import devices  # noqa: F401  # it makes JAX's settings: every room that computes imports this one first

Key = jax.Array
PyTree = Any
Mode = Literal["greedy", "sample"]


@dataclasses.dataclass(frozen=True)
class Discrete:
    """``n`` actions, int32 scalars in ``[0, n)``."""

    n: int


@dataclasses.dataclass(frozen=True)
class MultiDiscrete:
    """Factored actions, int32 vectors ``[D]`` whose component ``i`` lies in ``[0, nvec[i])``."""

    nvec: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Box:
    """Continuous actions, float32 vectors ``[size]``; agents see every bound as [-1, 1]."""

    size: int


ActionSpace = Discrete | MultiDiscrete | Box


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """All an agent may know of its environment when it is built; hashable, hence static under jit.

    Attributes:
        name: full name, such as ``"brax/ant"``.
        obs_shape: shape of one observation.
        obs_dtype: NumPy name of the observation's dtype.
        action_space: what ``act`` must return for one environment.
        max_episode_steps: steps after which an episode is truncated; ``None`` if it never is.
        has_action_mask: whether timesteps carry an ``action_mask``.
        counters: entries of ``info`` that count something in each step; evaluations report their mean.
        has_feedback: whether rewards in training are a teacher's feedback; ``info`` then says for which ``trace`` it is
            meant, and by how many steps of ``lag`` it is later than the learner knows of.
    """

    name: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_space: ActionSpace
    max_episode_steps: int | None
    has_action_mask: bool = False
    counters: tuple[str, ...] = ()
    has_feedback: bool = False

    @property
    def nvec(self) -> tuple[int, ...]:
        """Number of choices of each component of a discrete or factored action; a discrete one has one component."""
        match self.action_space:
            case Discrete(n):
                return (n,)
            case MultiDiscrete(nvec):
                return nvec
            case Box():
                raise ValueError(f"{self.name}: continuous actions have no choices")

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        match self.action_space:
            case Discrete():
                return ()
            case MultiDiscrete(nvec):
                return (len(nvec),)
            case Box(size):
                return (size,)

    @property
    def action_dtype(self) -> str:
        """NumPy name of an action's dtype."""
        return "float32" if isinstance(self.action_space, Box) else "int32"


@struct.dataclass
class Timestep:
    """What an agent sees before it acts; every field has a leading environment axis ``[N]``.

    Attributes:
        obs: observation to act on, after auto-reset where an episode has just ended.
        reward: float32, of the step that led here; 0 at the start of a run. Where a teacher trains the agent, it is
            what reached it of the teacher's feedback in that step, and the task's reward is nowhere to be seen.
        terminated: bool, that step ended its episode by the task's rules: the value beyond it is 0.
        truncated: bool, that step ended its episode by a time limit: the value beyond it is bootstrapped.
            Never true together with ``terminated``.
        final_obs: the observation that step led to, *before* any reset.
        action_mask: bool, True where an action is valid: ``[A]``, or ``[sum(nvec)]`` for factored actions,
            component after component. ``None`` where all actions always are.
        final_action_mask: the mask that belongs to ``final_obs``.
        episode_step: int32, steps taken in the episode that ``obs`` belongs to.
        info: the task's own counters and feedback.
        memory: what acting carries from step to step (`Memory`), for those agents that have one.
    """

    obs: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    final_obs: jax.Array
    action_mask: jax.Array | None
    final_action_mask: jax.Array | None
    episode_step: jax.Array
    info: dict[str, Any]
    memory: PyTree = None


@struct.dataclass
class Transition:
    """One step of experience; a rollout carries leading axes ``[T, N]``.

    ``next_obs`` and ``next_action_mask`` belong to the state reached *before* any reset; ``extras`` is whatever
    the agent's ``act`` returned beside the action, and ``info`` the task's counters and feedback of that step.
    ``task_state`` is the state of the task in which it acted, for agents that need it (`Needs`).
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    next_obs: jax.Array
    action_mask: jax.Array | None
    next_action_mask: jax.Array | None
    extras: dict[str, Any]
    info: dict[str, Any] = struct.field(default_factory=dict)
    task_state: PyTree = None


@struct.dataclass
class Metrics:
    """What one call of ``update`` reports; every value is a scalar or a vector ``[k]``, float32.

    Attributes:
        means: by name, each averaged over the gradient updates of this call.
        last: by name, as they stand after this call.
        updates: whole number of those gradient updates; where it is 0, all values are ignored.
    """

    means: dict[str, jax.Array]
    last: dict[str, jax.Array] = struct.field(default_factory=dict)
    updates: int | jax.Array = 1


@struct.dataclass
class Clock:
    """Counters shared by all members of a population; never batched, so a ``cond`` on them stays a branch.

    What counts exactly is rollouts: runs take more than 2**31 environment steps, and by default JAX has no integers
    beyond that. ``env_steps``, a float32, is for schedules; conditions on steps ask `reached`.

    ``act`` sees the clock as it stands when the rollout begins, ``update`` as it stands when the rollout has been
    taken: the steps it learns from, and this learning event itself, are counted. `before` leads back to the former.

    Attributes:
        iterations: int32, rollouts taken, each followed by a learning event.
        total_iterations: int32, whole rollouts that the budget holds; a last one may overshoot it.
        total_steps: float32, the budget of environment steps of a member.
        steps_per_iteration: environment steps of one rollout, over all ``N`` environments of a member.
    """

    iterations: jax.Array
    total_iterations: jax.Array
    total_steps: jax.Array
    steps_per_iteration: int = struct.field(pytree_node=False)

    @classmethod
    def start(cls, total_steps: int, steps_per_iteration: int) -> "Clock":
        """The clock of a run that has taken no step."""
        return cls(
            iterations=jnp.int32(0),
            total_iterations=jnp.int32(total_steps // steps_per_iteration),
            total_steps=jnp.float32(total_steps),
            steps_per_iteration=steps_per_iteration,
        )

    def advance(self) -> "Clock":
        """The clock one rollout later."""
        return dataclasses.replace(self, iterations=self.iterations + 1)

    @property
    def before(self) -> "Clock":
        """The clock one rollout earlier."""
        return dataclasses.replace(self, iterations=self.iterations - 1)

    @property
    def env_steps(self) -> jax.Array:
        """Environment steps that each member has taken, over all its ``N`` environments, rounded to float32."""
        return self.iterations.astype(jnp.float32) * self.steps_per_iteration

    def reached(self, env_steps: int) -> jax.Array:
        """Bool scalar: whether each member has taken so many environment steps, exactly."""
        return self.iterations >= math.ceil(env_steps / self.steps_per_iteration)

    @property
    def progress(self) -> jax.Array:
        """Share of the budget spent, float32 in [0, 1]."""
        return jnp.minimum(self.env_steps / self.total_steps, 1.0)


class Memory(NamedTuple):
    """What acting carries from one step to the next, in training, evaluation, recording and teaching alike.

    It stands in ``timestep.memory`` when ``act`` or ``policy`` sees the timestep. Where ``timestep.episode_step`` is 0
    an episode begins: a memory of episodes starts anew there.

    Attributes:
        start: from the agent's state and a number of environments ``N``, the memory before any timestep.
        observe: from the agent's state, the memory and a timestep, the memory with that timestep taken in.
        of_state: whether it is a running version of a part of the agent's state: then every rollout starts from the
            state's, and evaluation holds it still. Else it goes on from rollout to rollout, and in evaluation too.
    """

    start: Callable[[PyTree, int], PyTree]
    observe: "Callable[[PyTree, PyTree, Timestep], PyTree]"
    of_state: bool = False


@dataclasses.dataclass(frozen=True)
class Needs:
    """What an agent needs of whoever lets it act and learn; the only place where it says so.

    Attributes:
        num_envs: ``N``, parallel environments of one member.
        rollout_length: ``T``, steps of each environment in one learning event.
        fresh_episodes: whether every rollout begins with new episodes. Those that were running are not counted as
            ended, so none ever ends where rollouts are shorter than episodes.
        task_states: whether ``rollout.task_state`` holds the states of the task in which the agent acted, to step
            from again.
        acting: names of the fields of its state that ``act`` and ``policy`` read: what is saved as the policy, and
            given to evaluation, where all others are ``None``.
        memory: what acting carries from step to step, if anything.
        feedback: whether its rewards must be a teacher's feedback.
    """

    num_envs: int
    rollout_length: int
    fresh_episodes: bool = False
    task_states: bool = False
    acting: tuple[str, ...] = ("params",)
    memory: Memory | None = None
    feedback: bool = False


@runtime_checkable
class Agent(Protocol):
    """A frozen pytree of hyperparameters with four pure methods.

    Real-valued hyperparameters are leaves, so they can be vmapped and swept without a recompile; whatever fixes
    a shape or a branch is static.
    """

    accepts: ClassVar[tuple[type, ...]]
    spec: EnvSpec

    @property
    def needs(self) -> Needs:
        """How it is fed, what acting carries along, which part of its state acts; it depends on static fields only."""
        ...

    def init(self, key: Key) -> PyTree:
        """Return the state of a new agent, a dataclass: parameters, optimisers, statistics, replay."""
        ...

    def act(self, state: PyTree, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Return actions ``[N, ...]`` of the behaviour policy, and extras that travel with the transitions."""
        ...

    def update(self, state: PyTree, rollout: Transition, key: Key, clock: Clock) -> tuple[PyTree, Metrics]:
        """Learn from fresh transitions ``[T, N, ...]``; ``clock`` counts them already."""
        ...

    def policy(self, state: PyTree, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """Return actions ``[N, ...]`` of the evaluation policy."""
        ...
