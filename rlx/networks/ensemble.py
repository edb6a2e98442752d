"""Ensembles: ``K`` copies of a network with parameters of their own, stacked along a leading axis."""

from typing import Any

import jax
from flax import linen as nn

from rlx.errors import ConfigurationError
from rlx.types import Key, PyTree


def init_ensemble(module: nn.Module, key: Key, size: int, *args: Any) -> PyTree:
    """Initialise the members independently.

    Args:
        module: network of one member.
        key: split into one key for each member.
        size: number of members ``K``.
        *args: inputs of one member, as for ``module.init``.

    Returns:
        What ``module.init`` returns, with a leading axis ``[K]`` on every leaf.

    Raises:
        ConfigurationError: if ``size`` is below 1.
    """
    if size < 1:
        raise ConfigurationError(f"an ensemble of {size} members is empty; ask for at least 1")
    return jax.vmap(lambda member_key: module.init(member_key, *args))(jax.random.split(key, size))


def apply_ensemble(module: nn.Module, params: PyTree, *args: Any) -> Any:
    """Apply every member to the same inputs.

    Args:
        module: network of one member.
        params: what ``init_ensemble`` returned.
        *args: inputs, as for ``module.apply``.

    Returns:
        What ``module.apply`` returns, with a leading axis ``[K]`` on every leaf.
    """
    return jax.vmap(lambda member_params: module.apply(member_params, *args))(params)
