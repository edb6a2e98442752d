"""From the actions of agents to those of a task."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs.contract import short
from rlx.envs.gymnax_api import spaces
from rlx.errors import ConfigurationError
from rlx.types import ActionSpace, Box, Discrete, MultiDiscrete

Decoder = Callable[[jax.Array], jax.Array]


def adapted(name: str, space: Any, discretise: int | None) -> tuple[ActionSpace, Decoder]:
    """The space agents see, and the function from its actions to the task's.

    Raises:
        ConfigurationError: if there is none.
    """
    if isinstance(space, Box):
        space = spaces.Box(-1.0, 1.0, (space.size,))
    if isinstance(space, spaces.Box):
        size, scale = _scaling(name, space)
        if discretise is None:
            return Box(size), scale
        values = np.linspace(-1.0, 1.0, discretise, dtype=np.float32)
        factors = Discrete(discretise) if size == 1 else MultiDiscrete((discretise,) * size)
        return factors, lambda action: scale(jnp.asarray(values)[action].reshape(size))
    if discretise is not None:
        raise ConfigurationError(
            f"{name}: discretise is for continuous actions, but it has {short(space)}; leave it out"
        )
    return _choices(name, space), lambda action: action


def example(space: ActionSpace) -> jax.Array:
    """Some action."""
    match space:
        case Discrete():
            return jnp.zeros((), jnp.int32)
        case MultiDiscrete(nvec):
            return jnp.zeros(len(nvec), jnp.int32)
        case Box(size):
            return jnp.zeros(size)


def _choices(name: str, space: Any) -> Discrete | MultiDiscrete:
    """The discrete or factored space that ``space`` is, in plain integers."""
    match space:
        case spaces.Discrete() | Discrete():
            found: Discrete | MultiDiscrete = Discrete(int(space.n))
            fewest = int(space.n)
        case MultiDiscrete():
            found = MultiDiscrete(tuple(int(n) for n in space.nvec))
            fewest = min(found.nvec, default=0)
        case _:
            raise ConfigurationError(
                f"{name}: cannot adapt the action space {short(space)}; "
                "for factored actions let action_space return rlx.types.MultiDiscrete"
            )
    if fewest < 1:
        raise ConfigurationError(f"{name}: the action space {short(space)} offers no action; it must offer one or more")
    return found


def _scaling(name: str, space: spaces.Box) -> tuple[int, Decoder]:
    """The number of dimensions of a box, and the map from [-1, 1] in each of them onto it."""
    if not jnp.issubdtype(space.dtype, jnp.floating):
        raise ConfigurationError(f"{name}: a box of integers cannot be scaled; use rlx.types.MultiDiscrete")
    with np.errstate(over="ignore"):  # a bound beyond float32 is infinite there
        low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
    try:
        low, high = np.broadcast_to(low, space.shape), np.broadcast_to(high, space.shape)
    except ValueError as error:
        raise ConfigurationError(f"{name}: the bounds of {short(space)} do not fit its shape") from error
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ConfigurationError(f"{name}: the action space {short(space)} needs finite bounds with low < high")
    if not low.size:
        raise ConfigurationError(f"{name}: the action space {short(space)} has no dimensions; it must have one")
    # Centre and half-range, because in this form [-1, 1] maps onto itself exactly. In float64, because the sum and the
    # difference of two bounds can exceed float32; their halves cannot.
    wide_low, wide_high = low.astype(np.float64), high.astype(np.float64)
    centre = ((wide_low + wide_high) / 2).astype(np.float32)
    half_range = ((wide_high - wide_low) / 2).astype(np.float32)

    def scale(action: jax.Array) -> jax.Array:
        chex.assert_shape(action, (low.size,))
        scaled = jnp.clip(action, -1.0, 1.0).reshape(low.shape) * half_range + centre
        return jnp.clip(scaled, low, high)  # rounding can lead past a bound, and there to infinity

    return low.size, scale
