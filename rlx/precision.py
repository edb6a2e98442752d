"""The width of numbers: everything here computes in 32 bits, whatever ``jax_enable_x64`` says."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_32_bits(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """``function`` with ``jax_enable_x64`` off, where it computes and where JAX traces it.

    Agents and tasks state float32 and int32, and are written and tested with JAX's defaults. With 64 bits ``jnp.zeros``,
    ``jnp.arange``, draws and sums would have other types than states, and draws other values.
    """

    @functools.wraps(function)
    def narrow(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return narrow
