"""Target networks that follow the online ones, smoothly or in jumps."""

import jax
import optax

from rlx.types import PyTree


def polyak(target: PyTree, online: PyTree, tau: float | jax.Array) -> PyTree:
    """Move ``target`` towards ``online`` by the share ``tau`` (Lillicrap et al. 2016, algorithm 1).

    Args:
        target: parameters to move; float arrays.
        online: parameters of the same structure to follow.
        tau: scalar in [0, 1]; 0 keeps ``target``, 1 copies ``online``.

    Returns:
        ``(1 - tau) * target + tau * online``, leaf by leaf.
    """
    return optax.incremental_update(online, target, tau)


def periodic_copy(target: PyTree, online: PyTree, do_copy: jax.Array) -> PyTree:
    """Return ``online`` if ``do_copy``, else ``target`` (Mnih et al. 2015, algorithm 1).

    Args:
        target: current parameters.
        online: parameters of the same structure, shapes and dtypes.
        do_copy: bool scalar; one that carries no batch axis under ``jax.vmap``, such as a test of the shared
            clock, keeps this a branch.

    Returns:
        One of the two, whole.
    """
    return jax.lax.cond(do_copy, lambda: online, lambda: target)
