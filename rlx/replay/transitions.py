"""What a replay of an environment's transitions is shaped by."""

import jax.numpy as jnp

from rlx.types import Discrete, EnvSpec, MultiDiscrete, Transition


def example_transition(spec: EnvSpec) -> Transition:
    """One transition of zeros without leading axes, and without extras and ``info``."""
    obs = jnp.zeros(spec.obs_shape, spec.obs_dtype)
    real, flag = jnp.zeros(()), jnp.zeros((), bool)
    action = jnp.zeros(spec.action_shape, spec.action_dtype)
    mask = jnp.zeros(_mask_width(spec), bool) if spec.has_action_mask else None
    return Transition(obs, action, real, flag, flag, obs, mask, mask, extras={})


def _mask_width(spec: EnvSpec) -> int:
    match spec.action_space:
        case Discrete(n):
            return n
        case MultiDiscrete(nvec):
            return sum(nvec)
    raise ValueError(f"{spec.name}: continuous actions have no mask")
