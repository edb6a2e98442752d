"""Where a NaN comes from, under ``jax_debug_nans``.

Programs run compiled, as ever, but keep what they were given. Where one returns a NaN, what it did is done again one
operation after the other, and JAX stops at the one that makes a NaN first. By itself it would blame the loop over
iterations as a whole.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from rlx.switches import uncompiled
from rlx.types import PyTree


def checked(
    compiled: Any, program: Any, seeds: Sequence[int], *arguments: Any, narrowed: Callable[..., Any] | None = None
) -> Any:
    """What ``compiled`` returns for members ``[G]``, if no NaN is in it.

    Args:
        compiled: the ``program``, compiled.
        program: a jitted function.
        seeds: of the members.
        *arguments: whose leaves are scalars or ``[G, ...]``, but for the last, which is the environment's arrays.
        narrowed: from ``compiled`` and its arguments to those of the part that makes a NaN first, and whose it is.

    Raises:
        FloatingPointError: at the line that made a NaN.
    """
    if uncompiled():
        return _watched(program, arguments)
    with jax.debug_nans(False):
        results = compiled(*arguments)
        spoiled = members_with_nan(results)
        if spoiled.any() and narrowed is not None:
            arguments, spoiled = narrowed(compiled, *arguments)
    if spoiled.any():
        _blame(program, seeds, spoiled, arguments)
    return results


def checked_chunk(*arguments: Any) -> Any:
    """`checked` of the program ``chunk``: of its iterations, only the first to make a NaN is done by operations."""
    return checked(*arguments, narrowed=_first_spoiled)


def members_with_nan(tree: PyTree) -> np.ndarray:
    """Which members have a NaN among the leaves ``[G, ...]``, bool ``[G]``; scalars belong to none."""
    reals = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim > 0]
    return np.any([_has_nan(leaf) for leaf in reals], axis=0)


@jax.jit
def _has_nan(leaf: jax.Array) -> jax.Array:
    return jnp.isnan(leaf).any(axis=tuple(range(1, leaf.ndim)))


def _first_spoiled(
    compiled: Any, agents: PyTree, state: PyTree, iterations: jax.Array, new_window: jax.Array, arrays: PyTree
) -> tuple[Any, np.ndarray]:
    """The arguments of the first iteration to make a NaN, and which members have one after it."""
    for _ in range(int(iterations)):
        arguments = (agents, state, jnp.int32(1), new_window, arrays)
        state, *_ = compiled(*arguments)
        spoiled = members_with_nan(state)
        if spoiled.any():
            break
        new_window = jnp.bool_(False)
    return arguments, spoiled


def _watched(program: Any, arguments: Any) -> Any:
    """Run ``program`` operation by operation, each watched by JAX.

    The switch is set once more, for JAX forgets it in a thread in which it was off for a while, as `jnp.var` has it.
    """
    with jax.debug_nans(True), jax.disable_jit():
        return program(*arguments)


def _blame(program: Any, seeds: Sequence[int], spoiled: np.ndarray, arguments: Any) -> NoReturn:
    """Do again, operation by operation, what ``program`` did for the first of the members that it spoiled."""
    member, (*of_members, arrays) = int(spoiled.argmax()), arguments
    of_member = jax.tree.map(lambda leaf: leaf[member : member + 1] if jnp.ndim(leaf) else leaf, of_members)
    try:
        _watched(program, jax.device_put((*of_member, arrays), jax.devices()[0]))
        raise FloatingPointError("a compiled program made a NaN, but none of its operations does when run by itself")
    except FloatingPointError as error:
        error.add_note(f"seed {seeds[member]}; see docs/debugging.md")
        raise
