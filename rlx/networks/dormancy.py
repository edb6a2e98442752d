"""Gradient-dormant neurons, and new weights for networks that have many of them (Ji et al. 2024, section 3.3)."""

from typing import Any

import jax
import jax.numpy as jnp

from rlx.networks.initialisers import orthogonal_by_reflections
from rlx.types import Key, PyTree


def dormancy(grads: PyTree, threshold: float | jax.Array) -> jax.Array:
    """Share of a network's neurons whose weights have a small gradient, in [0, 1].

    A neuron is dormant if the norm of its incoming weights' gradient is below ``threshold`` times the mean norm of its
    layer. Neurons of all layers are counted together; biases are left out.

    Args:
        grads: of the parameters; each leaf called ``kernel`` is a layer, its last axis the neurons.
        threshold: tau.
    """
    layers = [_norms(leaf) for path, leaf in jax.tree.leaves_with_path(grads) if _is_kernel(path)]
    dormant = jnp.concatenate([norms < threshold * norms.mean() for norms in layers])
    return dormant.astype(jnp.float32).mean()


def fresh(key: Key, params: PyTree) -> PyTree:
    """Parameters like ``params``: every kernel orthogonal with gain 1, all else 0.

    Under ``jit`` and ``vmap``, too: see `rlx.networks.initialisers.orthogonal_by_reflections`.
    """
    leaves, structure = jax.tree.flatten_with_path(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        orthogonal_by_reflections()(key, leaf.shape, leaf.dtype) if _is_kernel(path) else jnp.zeros_like(leaf)
        for key, (path, leaf) in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def _is_kernel(path: tuple[Any, ...]) -> bool:
    return path[-1].key == "kernel"


def _norms(kernel: jax.Array) -> jax.Array:
    """Of each neuron's part of it, ``[neurons]``."""
    return jnp.sqrt(jnp.square(kernel).reshape(-1, kernel.shape[-1]).sum(0))
