"""What a task reports of invalid actions: entries of its ``info`` whose names begin with ``invalid_``."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlx.errors import ConfigurationError

PREFIX = "invalid_"


def counters(info: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Those entries by name, float32 of whatever shape they have."""
    return {name: count.astype(jnp.float32) for name, count in info.items() if name.startswith(PREFIX)}


def number(info: Mapping[str, Any], name: str) -> jax.Array:
    """Invalid actions of every sort together, float32 of the shape of the counters.

    Args:
        info: of the steps.
        name: of the task, for the error.

    Raises:
        ConfigurationError: if the task counts none.
    """
    found = counters(info)
    if not found:
        raise ConfigurationError(
            f"regime=penalty needs counters of invalid actions, but {name} reports none; "
            "let its info have invalid_... entries, or choose another regime"
        )
    return sum(found.values())  # type: ignore[return-value]


def rates(info: Mapping[str, Any], action_mask: jax.Array | None, nvec: tuple[int, ...]) -> dict[str, jax.Array]:
    """Invalid actions a step, of every sort, and those that could have been avoided.

    Args:
        info: of the steps ``[...]``.
        action_mask: bool ``[..., sum(nvec)]`` of the observations acted on; ``None`` where all choices are valid.
        nvec: number of choices of each component.

    Returns:
        ``invalid_...``, averaged over all steps. With masks also ``avoidable_...``, the same without the steps at which
        some component had no valid choice.
    """
    found = counters(info)
    means = {name: count.mean() for name, count in found.items()}
    if action_mask is None:
        return means
    masks = jnp.split(action_mask, np.cumsum(nvec)[:-1], axis=-1)
    choice = jnp.stack([mask.any(-1) for mask in masks]).all(0)
    avoidable = {f"avoidable_{name.removeprefix(PREFIX)}": (count * choice).mean() for name, count in found.items()}
    return means | avoidable
