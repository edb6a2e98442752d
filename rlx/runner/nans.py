"""Where a NaN comes from, under ``jax_debug_nans``.

Programs run compiled, as ever, but keep what they were given. Where one returns a NaN, what it did is done again one
operation after the other, and JAX stops at the one that makes a NaN first. Without this JAX would take for a fault that
the logging window of no episode has no mean, and blame the loop over iterations as a whole.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from rlx.runner.loop import RunState, without_clock
from rlx.types import Agent, PyTree


def checked(compiled: Any, program: Any, seeds: Sequence[int], *arguments: Any) -> Any:
    """What ``compiled`` returns for members ``[G]``, if no NaN is in it.

    Args:
        compiled: the ``program``, compiled; or the program itself under ``jax_disable_jit``.
        program: a jitted function.
        seeds: of the members.
        *arguments: whose leaves are scalars or ``[G, ...]``.

    Raises:
        FloatingPointError: at the line that made a NaN.
    """
    if jax.config.jax_disable_jit:
        return _watched(program, arguments)
    with jax.debug_nans(False):
        results = compiled(*arguments)
        spoiled = members_with_nan(results)
    if spoiled.any():
        _blame(program, seeds, int(spoiled.argmax()), arguments)
    return results


def checked_chunk(
    compiled: Any, program: Any, seeds: Sequence[int], agents: Agent, state: RunState, iterations: jax.Array, *rest: Any
) -> Any:
    """`checked` of the program ``chunk``: its iterations are done again, and the first to make a NaN is looked into."""
    if jax.config.jax_disable_jit:
        return _watched(program, (agents, state, iterations, *rest))
    with jax.debug_nans(False):
        results = compiled(agents, state, iterations, *rest)
        if not members_with_nan(without_clock(results[0])).any():
            return results
        for _ in range(int(iterations)):
            arguments = (agents, state, jnp.int32(1), *rest)
            state = compiled(*arguments)[0]
            spoiled = members_with_nan(without_clock(state))
            if spoiled.any():
                break
            rest = (jnp.bool_(False),)
    _blame(program, seeds, int(spoiled.argmax()), arguments)


def members_with_nan(tree: PyTree) -> np.ndarray:
    """Which members have a NaN among the leaves ``[G, ...]``, bool ``[G]``."""
    reals = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim > 0]
    return np.any([_has_nan(leaf) for leaf in reals], axis=0)


@jax.jit
def _has_nan(leaf: jax.Array) -> jax.Array:
    return jnp.isnan(leaf).any(axis=tuple(range(1, leaf.ndim)))


def _watched(program: Any, arguments: Any) -> Any:
    """Run ``program`` operation by operation, each watched by JAX.

    The switch is set once more, for JAX forgets it in a thread in which it was off for a while, as `jnp.var` has it.
    """
    with jax.debug_nans(True), jax.disable_jit():
        return program(*arguments)


def _blame(program: Any, seeds: Sequence[int], member: int, arguments: Any) -> NoReturn:
    """Do again, operation by operation, what ``program`` did for one member."""
    of_member = jax.tree.map(lambda leaf: leaf[member : member + 1] if jnp.ndim(leaf) else leaf, arguments)
    try:
        _watched(program, jax.device_put(of_member, jax.devices()[0]))
        raise FloatingPointError("a compiled program made a NaN, but none of its operations does when run by itself")
    except FloatingPointError as error:
        error.add_note(f"seed {seeds[member]}; see docs/debugging.md")
        raise
