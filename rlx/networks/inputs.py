"""Observations as networks take them."""

import jax
import jax.numpy as jnp

WHITE = 255.0


def as_float(obs: jax.Array) -> jax.Array:
    """``obs`` as float32: bytes (uint8), which are an image's brightness, scaled to [0, 1], all else as it is.

    Statistics and models of observations begin with it too, so that all of them speak of the same numbers, and replays
    keep bytes.
    """
    numbers = obs.astype(jnp.float32)
    return numbers / WHITE if obs.dtype == jnp.uint8 else numbers
