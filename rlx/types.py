"""The types that every room shares: spaces, the environment's description, timesteps, the clock, the agent.

Shape letters used across the project: ``T`` rollout length, ``N`` parallel environments of one member, ``B``
batch, ``M`` members of a population (seeds x hyperparameters), ``A`` discrete actions, ``D`` action dimensions.
"""

import dataclasses
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from rlx import devices  # noqa: F401  # it makes JAX's settings: every room that computes imports this one first

Key = jax.Array
PyTree = Any
Metrics = dict[str, jax.Array]
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
    """

    name: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    action_space: ActionSpace
    max_episode_steps: int | None
    has_action_mask: bool = False

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
        reward: float32, of the step that led here; 0 at the start of a run.
        terminated: bool, that step ended its episode by the task's rules: the value beyond it is 0.
        truncated: bool, that step ended its episode by a time limit: the value beyond it is bootstrapped.
            Never true together with ``terminated``.
        final_obs: the observation that step led to, *before* any reset.
        action_mask: bool, True where an action is valid: ``[A]``, or ``[sum(nvec)]`` for factored actions,
            component after component. ``None`` where all actions always are.
        final_action_mask: the mask that belongs to ``final_obs``.
        episode_step: int32, steps taken in the episode that ``obs`` belongs to.
        info: the task's own counters and feedback.
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


@struct.dataclass
class Transition:
    """One step of experience; a rollout carries leading axes ``[T, N]``.

    ``next_obs`` and ``next_action_mask`` belong to the state reached *before* any reset; ``extras`` is whatever
    the agent's ``act`` returned beside the action, and ``info`` the task's counters and feedback of that step.
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


@struct.dataclass
class Clock:
    """Counters shared by all members of a population; never batched, so a ``cond`` on them stays a branch.

    Attributes:
        env_steps: int32, environment steps each member has taken, over all its ``N`` environments.
        iterations: int32, learning events (``update`` calls) so far.
        total_steps: int32, the budget of ``env_steps``, for schedules.
    """

    env_steps: jax.Array
    iterations: jax.Array
    total_steps: jax.Array

    @classmethod
    def start(cls, total_steps: int) -> "Clock":
        """The clock of a run that has taken no step."""
        zero = jnp.zeros((), jnp.int32)
        return cls(env_steps=zero, iterations=zero, total_steps=jnp.asarray(total_steps, jnp.int32))

    def advance(self, env_steps: int) -> "Clock":
        """The clock after one more iteration of ``env_steps`` steps."""
        return dataclasses.replace(self, env_steps=self.env_steps + env_steps, iterations=self.iterations + 1)

    @property
    def progress(self) -> jax.Array:
        """Share of the budget spent, float32 in [0, 1]."""
        return jnp.minimum(self.env_steps.astype(jnp.float32) / self.total_steps, 1.0)


@runtime_checkable
class Agent(Protocol):
    """A frozen pytree of hyperparameters with four pure methods.

    Real-valued hyperparameters are leaves, so they can be vmapped and swept without a recompile; whatever fixes
    a shape or a branch is static. ``num_envs`` x ``rollout_length`` transitions make one learning event.

    What only some agents need they declare by members that others lack; each of the flags is a static bool:

    * ``simulator``, a static field that ``make_agent`` fills with the environment's step; with ``rewinds``,
      ``extras["task_state"]`` of the rollouts is what to step from.
    * ``observes``: ``observe(state, timestep) -> state`` takes in each timestep before ``act`` sees it. That state is
      gone at the end of the rollout; ``update`` gets the one from before it. Rollouts then carry the state along,
      which a replay would make slow.
    * ``restarts``: every rollout begins with new episodes. Those that were running are not counted as ended, so none
      ever ends where rollouts are shorter than episodes.
    """

    accepts: ClassVar[tuple[type, ...]]
    spec: EnvSpec
    num_envs: int
    rollout_length: int

    def init(self, key: Key) -> PyTree:
        """Return the state of a new agent: parameters, optimisers, statistics, replay. Its ``params`` act."""
        ...

    def act(self, state: PyTree, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Return actions ``[N, ...]`` of the behaviour policy, and extras that travel with the transitions."""
        ...

    def update(self, state: PyTree, rollout: Transition, key: Key, clock: Clock) -> tuple[PyTree, Metrics]:
        """Learn from fresh transitions ``[T, N, ...]``.

        ``clock`` stands at the start of the rollout. The metrics are scalars, averaged over the gradient updates
        of this call; ``metrics["updates"]``, their number, is required and may be 0 (the rest is then ignored).
        """
        ...

    def policy(self, state: PyTree, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """Return actions ``[N, ...]`` of the evaluation policy."""
        ...
