"""From what a task shows to the one array that agents see."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs import contract
from rlx.envs.gymnax_api import Environment, spaces
from rlx.errors import ConfigurationError
from rlx.types import Discrete, MultiDiscrete, PyTree

Encoder = Callable[[PyTree], jax.Array]

# int8 holds them too, and networks take its numbers as they are.
_SMALL_CODES = 127


def observation_space(task: Environment, params: PyTree) -> Any:
    """The space that the task declares; ``None`` if it declares none."""
    try:
        return task.observation_space(params)
    except NotImplementedError:
        return None


def encoder(name: str, space: Any, one_hot: bool, flatten: bool) -> Encoder:
    """The function from a task's observations to those of agents; see `rlx.envs.adapt.Adapted`.

    Args:
        name: of the task, for messages.
        space: of its observations: a Gymnax space, ``rlx.types.Discrete`` or ``MultiDiscrete``, a ``Dict`` or ``Tuple``
            of them, or ``None``. It only says which numbers are codes; shapes and dtypes are those of observations.
        one_hot: whether codes become one-hot.
        flatten: whether an image becomes a vector.
    """

    def encode(obs: PyTree) -> jax.Array:
        shown = contract.numbers(name, "observation", obs)
        leaves = [_coded(leaf, _part(space, path), one_hot) for path, leaf in jax.tree.leaves_with_path(shown)]
        if not sum(leaf.size for leaf in leaves):
            raise ConfigurationError(f"{name}: observation holds no numbers; an agent must see some")
        if not jax.tree_util.all_leaves([obs]):
            return jnp.concatenate([jnp.ravel(_real(leaf)) for leaf in leaves])
        return jnp.ravel(leaves[0]) if flatten or leaves[0].ndim == 0 else leaves[0]

    return encode


def _part(space: Any, path: Any) -> Any:
    """The space of the part of an observation at ``path``, if it is declared."""
    for entry in path:
        key = getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", None)))
        try:
            space = space.spaces[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
    return space


def _coded(leaf: jax.Array, space: Any, one_hot: bool) -> jax.Array:
    """One array of an observation: codes one-hot, float32 ``[sum(nvec)]``, component after component."""
    match space:
        case spaces.Discrete() | Discrete():
            nvec: tuple[int, ...] = (int(space.n),)
        case MultiDiscrete():
            nvec = tuple(map(int, space.nvec))
        case spaces.Box() if leaf.dtype == jnp.uint8 and np.max(space.high, initial=0) <= _SMALL_CODES:
            return leaf.astype(jnp.int8)  # codes, and no brightness
        case _:
            return leaf
    if not one_hot or leaf.size != len(nvec) or not jnp.issubdtype(leaf.dtype, jnp.integer):
        return leaf
    component = np.repeat(np.arange(len(nvec)), nvec)
    code = np.concatenate([np.arange(n) for n in nvec])
    return (jnp.ravel(leaf)[component] == code).astype(jnp.float32)


def _real(leaf: jax.Array) -> jax.Array:
    """As float32; bytes, which are an image's brightness, in [0, 1], as networks take them."""
    number = leaf.astype(jnp.float32)
    return number / 255.0 if leaf.dtype == jnp.uint8 else number
