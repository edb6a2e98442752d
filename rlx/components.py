"""Arrays that hold all components of a factored action one after the other, cut into components."""

import jax
import jax.numpy as jnp
import numpy as np


def by_component(flat: jax.Array, nvec: tuple[int, ...], fill: float | bool = 0.0) -> jax.Array:
    """Cut ``[..., sum(nvec)]`` into components ``[..., N, max(nvec)]``; what a smaller one lacks is ``fill``."""
    if len(set(nvec)) == 1:
        return flat.reshape(*flat.shape[:-1], len(nvec), nvec[0])
    starts = np.concatenate([[0], np.cumsum(nvec)[:-1]])
    choices = np.arange(max(nvec))
    indices = np.minimum(starts[:, None] + choices, flat.shape[-1] - 1)
    return jnp.where(choices < np.array(nvec)[:, None], flat[..., indices], fill)
