"""The Jumanji family: Jumanji's tasks, and those a user registers with it, behind the Gymnax API.

Action masks: one over joint actions (Tetris: rotation and column) makes a single discrete action of them; one with a
row for each component of a factored action becomes those rows, one after the other. An observation is all that Jumanji
shows but the mask: an array as it is, if there is only one, else everything in one vector, with codes one-hot and the
number of steps as it is.

Episodes end as Jumanji says: at a last step whose discount is 0 by termination, at any other last step by truncation.
Most of its tasks *terminate* at their ``time_limit``, and show the steps taken; ``max_episode_steps`` truncates before.
Game2048 has no limit, and nothing changes in an invalid move: an agent that ignores masks needs that one there.
Jumanji draws its randomness from a key in its state, so that copies of one start state share their futures: hence
``reset_mode="fresh"``.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs.family import Built, constructor_options, unknown_option, unknown_task
from rlx.envs.gymnax_api import Environment, spaces
from rlx.errors import ConfigurationError
from rlx.task_names import installed, may_have
from rlx.types import Discrete, Key, MultiDiscrete, PyTree


@struct.dataclass
class JumanjiState:
    """Jumanji's own state, its observation with the action mask, and whether its last step truncated the episode."""

    own: PyTree
    observation: PyTree
    truncated: jax.Array


class JumanjiTask(Environment):
    """A Jumanji environment behind the Gymnax API.

    Attributes:
        env: the Jumanji environment.
    """

    default_params = None

    def __init__(
        self, name: str, env: Any, space: Discrete | MultiDiscrete, decode: Callable[[jax.Array], jax.Array]
    ) -> None:
        self._name = name
        self.env = env
        self._space = space
        self._decode = decode

    @property
    def name(self) -> str:
        """The task's full name."""
        return self._name

    def reset_env(self, key: Key, params: None) -> tuple[PyTree, JumanjiState]:
        """Draw a start state."""
        # Jumanji keeps a key in its state; as plain numbers it can be saved and selected like any other leaf.
        own, timestep = self.env.reset(jax.random.key_data(key))
        state = JumanjiState(own=own, observation=timestep.observation, truncated=jnp.zeros((), bool))
        return _without_mask(timestep.observation), state

    def step_env(
        self, key: Key, state: JumanjiState, action: jax.Array, params: None
    ) -> tuple[PyTree, JumanjiState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step; ``info`` holds Jumanji's extras."""
        own, timestep = self.env.step(state.own, self._decode(action))
        terminated = timestep.last() & (timestep.discount == 0)
        state = JumanjiState(
            own=own, observation=timestep.observation, truncated=timestep.last() & (timestep.discount > 0)
        )
        obs = _without_mask(timestep.observation)
        return obs, state, timestep.reward, terminated, dict(timestep.extras or {})

    def observe(self, key: Key, state: JumanjiState, action: jax.Array | None, params: None) -> PyTree:
        """The observation that belongs to ``state``."""
        return _without_mask(state.observation)

    def is_truncated(self, state: JumanjiState, params: None) -> jax.Array:
        """Whether Jumanji ended the episode without terminating it."""
        return state.truncated

    def action_space(self, params: None) -> Discrete | MultiDiscrete:
        """The space of Jumanji's actions, or of their joint numbers."""
        return self._space

    def observation_space(self, params: None) -> Any:
        """What the parts of an observation are; numbers of steps count, and are no codes."""
        shown = _without_mask(_parts(self.env.observation_spec))
        return spaces.Tuple(shown) if isinstance(shown, list) else shown


class MaskedJumanjiTask(JumanjiTask):
    """A Jumanji environment that says which actions are valid."""

    def action_mask(self, state: JumanjiState, params: None) -> jax.Array:
        """The valid actions in ``state``: bool ``[A]``, or ``[sum(nvec)]`` component after component."""
        return jnp.ravel(state.observation.action_mask)


def make(name: str, params: PyTree | None = None, **options: Any) -> Built:
    """Build the Jumanji environment registered as ``name``; ``options`` are its constructor's.

    A run keeps plain values only: to train in a task with a generator of one's own, register both with Jumanji.

    Raises:
        ConfigurationError: if Jumanji is not installed, the name or an option is unknown, or the environment needs
            data that cannot be downloaded, rewards several agents apart, or has actions or a mask of another form.
    """
    full_name = f"jumanji/{name}"
    if not installed("jumanji"):
        raise ConfigurationError(f"{full_name} needs jumanji: pip install 'rlx[jumanji]'")
    if not may_have("jumanji", name):
        raise unknown_task("jumanji", name)
    import jumanji

    if name not in jumanji.registered_environments():
        raise unknown_task("jumanji", name, jumanji.registered_environments())
    try:
        env = jumanji.make(name, **options)
    except TypeError:
        known = constructor_options(jumanji.make(name))
        for option in options:
            if option not in known:
                raise unknown_option(full_name, option, known) from None
        raise
    except OSError as error:
        cause = str(error).partition("\n")[0]
        raise ConfigurationError(f"{full_name} needs data that could not be downloaded ({cause})") from error
    return Built(_adapted(full_name, env), params)


def _adapted(name: str, env: Any) -> JumanjiTask:
    """The environment with the action space that fits its mask."""
    from jumanji import specs

    timestep = jax.eval_shape(lambda: env.reset(jax.random.PRNGKey(0))[1])
    if timestep.reward.shape:
        raise ConfigurationError(
            f"{name} rewards {timestep.reward.shape[0]} agents apart; rlx takes tasks with one reward a step"
        )
    mask = getattr(timestep.observation, "action_mask", None)
    task = JumanjiTask if mask is None else MaskedJumanjiTask
    match env.action_spec:
        case specs.DiscreteArray(num_values=number):
            return task(name, env, Discrete(number), lambda action: action)
        case specs.MultiDiscreteArray(num_values=numbers):
            nvec = tuple(numbers.tolist())
        case spec:
            raise ConfigurationError(f"{name}: cannot adapt its actions, a {type(spec).__name__}; discrete ones fit")
    shape = None if mask is None else mask.shape
    joint = shape == nvec
    factored = shape is None or (len(set(nvec)) == 1 and shape == (len(nvec), nvec[0]))
    if joint == factored:
        fit = "fits both" if joint else "fits neither"
        raise ConfigurationError(
            f"{name}: the action mask of shape {shape} {fit} the joint and the factored actions of {nvec}"
        )
    if factored:
        return task(name, env, MultiDiscrete(nvec), lambda action: action)
    return task(name, env, Discrete(math.prod(nvec)), lambda action: jnp.stack(jnp.unravel_index(action, nvec)))


def _parts(spec: Any, name: str = "") -> Any:
    """The spaces of the parts of a specification, in place of these parts."""
    from jumanji import specs

    match spec:
        case specs.DiscreteArray() if name != "step_count":
            return Discrete(spec.num_values)
        case specs.MultiDiscreteArray():
            return MultiDiscrete(tuple(np.ravel(spec.num_values).tolist()))
        case specs.BoundedArray():
            return spaces.Box(spec.minimum, spec.maximum, spec.shape, spec.dtype)
        case specs.Array():
            return spaces.Space()
    # As a specification itself makes an observation of what its parts are; there is no public way.
    return spec._constructor(**{part: _parts(inner, part) for part, inner in spec._specs.items()})


def _without_mask(observation: PyTree) -> PyTree:
    """What an agent sees: the only array beside the mask, or the list of them."""
    leaves = [
        leaf
        for path, leaf in jax.tree.leaves_with_path(observation)
        if jax.tree_util.keystr(path, simple=True) != "action_mask"
    ]
    return leaves[0] if len(leaves) == 1 else leaves
