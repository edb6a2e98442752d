"""The replay of an agent that stores an environment's transitions."""

import jax.numpy as jnp

from rlx.errors import ConfigurationError
from rlx.replay import ring
from rlx.replay.ring import Ring
from rlx.types import Discrete, EnvSpec, MultiDiscrete, Transition


def replay_of(example: Transition, replay_size: int, num_envs: int, rollout_length: int, n_step: int) -> Ring:
    """An empty replay of up to ``replay_size`` transitions like ``example``, in whole rollouts.

    Args:
        example: one transition without leading axes.
        replay_size: transitions to hold.
        num_envs: parallel environments.
        rollout_length: rows that are written at a time.
        n_step: rows of a window.

    Raises:
        ConfigurationError: if it is too small for one rollout or one window.
    """
    rows = replay_size // num_envs
    if rows < max(n_step, rollout_length):
        raise ConfigurationError(
            f"replay_size = {replay_size} holds {rows} rows of num_envs = {num_envs}, fewer than n_step = {n_step} or "
            f"rollout_length = {rollout_length}; make it larger"
        )
    return ring.init(example, rows - rows % rollout_length, num_envs)


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
