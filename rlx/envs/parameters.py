"""Large arrays among a task's parameters.

Compiled programs take them as arguments, because compiling takes as long as its constants are large, and a run's
configuration keeps a note of them in place of their numbers.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlx.errors import ConfigurationError
from rlx.types import PyTree

# An array of more numbers is large. Smaller ones are constants, of which XLA makes faster programs and on whose values
# a task may branch in Python, and stand in a configuration number by number.
MAX_CONSTANT = 1_000

_NOTE = ("arrays", "sha256")


def large_arrays(params: PyTree) -> tuple[jax.Array, ...]:
    """The large arrays among ``params``."""
    return tuple(leaf for leaf in jax.tree.leaves(params) if _is_large(leaf))


def with_arrays(params: PyTree, arrays: Sequence[jax.Array]) -> PyTree:
    """``params`` with these in place of its large arrays, in the same order."""
    given = iter(arrays)
    return jax.tree.map(lambda leaf: next(given) if _is_large(leaf) else leaf, params)


def jax_arrays(params: PyTree) -> PyTree:
    """``params`` with arrays of JAX for those of NumPy, which a program cannot index by what it computes."""

    def converted(leaf: Any) -> Any:
        return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc" else leaf

    return jax.tree.map(converted, params)


def kept_fields(params: PyTree) -> dict[str, Any]:
    """The fields of ``params`` but the time limit, as a configuration keeps them: as they are, or as notes of them.

    Where they have no names, it is one note of all of them.
    """
    if not dataclasses.is_dataclass(params):
        return {} if params is None else {"params": _note(params)}
    names = [field.name for field in dataclasses.fields(params) if field.name != "max_steps_in_episode"]
    return {name: _kept(getattr(params, name)) for name in names}


def kept_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A task's own options, as a configuration keeps them."""
    return {name: _note(value) if large_arrays(value) else value for name, value in options.items()}


def notes(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration only has notes of."""
    return {name: value for name, value in config.items() if isinstance(value, dict) and tuple(value) == _NOTE}


def check_notes(made_with: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse an environment that was made with other arrays.

    Args:
        made_with: the configuration of the run's environment.
        given: that of the environment it is to go on with.

    Raises:
        ConfigurationError: naming the first that differs.
    """
    before, now = notes(made_with), notes(given)
    for name in before | now:
        if before.get(name) != now.get(name):
            was, is_now = (_told(each.get(name, "another value")) for each in (before, now))
            raise ConfigurationError(f"the environment's {name} was {was}, and is {is_now}; pass the run's own env=")


def _is_large(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array) and leaf.size > MAX_CONSTANT and leaf.dtype != object


def _kept(value: Any) -> Any:
    """A field that can be given by its name again, or else a note."""
    whole = isinstance(value, list | tuple) or value is None or jax.tree_util.all_leaves([value])
    if large_arrays(value) or not whole or _is_key(value):
        return _note(value)
    return np.asarray(value).tolist()


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _note(value: PyTree) -> Any:
    """Shapes and a digest of all that ``value`` holds; itself if that is no arrays, for whoever writes it to refuse."""
    leaves = [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in jax.tree.leaves(value)]
    if any(leaf.dtype == object for leaf in leaves):
        return value
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return dict(zip(_NOTE, ([_shape(leaf) for leaf in leaves], digest.hexdigest()), strict=True))


def _shape(leaf: np.ndarray) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def _told(note: Any) -> str:
    return note if isinstance(note, str) else f"{', '.join(note['arrays'])} (sha256 {note['sha256'][:8]})"
