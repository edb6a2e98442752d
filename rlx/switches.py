"""What JAX's switches are taken to mean, wherever they are set: in the environment, globally or in a context."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax

Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_32_bits(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """``function`` with ``jax_enable_x64`` off, where it computes and where JAX traces it.

    Agents and tasks state float32 and int32, and are written and tested with JAX's defaults. With 64 bits
    ``jnp.zeros``, ``jnp.arange``, sums and draws would have other types than states do, and draws other values.
    """

    @functools.wraps(function)
    def narrow(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return narrow


def uncompiled() -> bool:
    """Whether ``jax_disable_jit`` is on: programs are the functions that they are made of."""
    return jax.config.jax_disable_jit  # type: ignore[attr-defined]


def nans_wanted() -> bool:
    """Whether ``jax_debug_nans`` is on: see `rlx.runner.nans`."""
    return jax.config.jax_debug_nans  # type: ignore[attr-defined]


def shapes_of(function: Callable[..., Any], *arguments: Any) -> Any:
    """`jax.eval_shape`, tracing a loop's body once and not each of its steps, under ``jax_disable_jit`` too."""
    with jax.disable_jit(False):
        return jax.eval_shape(function, *arguments)
