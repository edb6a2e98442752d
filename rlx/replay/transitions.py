"""What of an environment's transitions an agent stores, and in how many rows."""

import dataclasses

import jax.numpy as jnp

from rlx.errors import ConfigurationError
from rlx.replay import ring
from rlx.replay.ring import Ring
from rlx.types import Discrete, EnvSpec, MultiDiscrete, PyTree, Transition


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
    return ring.init(example, replay_rows("replay_size", replay_size, num_envs, rollout_length, n_step), num_envs)


def replay_rows(name: str, size: int, num_envs: int, rollout_length: int, n_step: int) -> int:
    """Rows of up to ``size`` transitions, in whole rollouts; ``name`` is what the message calls it.

    Raises:
        ConfigurationError: if it is too small for one rollout or one window.
    """
    rows = size // num_envs
    if rows < max(n_step, rollout_length):
        raise ConfigurationError(
            f"{name} = {size} holds {rows} rows of num_envs = {num_envs}, fewer than n_step = {n_step} or "
            f"rollout_length = {rollout_length}; make it larger"
        )
    return rows - rows % rollout_length


def kept(like: Transition, rollout: Transition) -> Transition:
    """The parts of ``rollout`` that ``like`` has: fields that are not None, and entries of ``extras`` and ``info``.

    Raises:
        ConfigurationError: if the rollout lacks one.
    """
    fields = [field.name for field in dataclasses.fields(like)]
    return Transition(**{name: _kept(getattr(like, name), getattr(rollout, name), name) for name in fields})


def _kept(like: PyTree, given: PyTree, name: str) -> PyTree:
    if like is None:
        return None
    if given is None:
        raise ConfigurationError(f"the replay stores {name}, which the rollout lacks; leave it out of the example")
    if not isinstance(like, dict):
        return given
    return {key: _kept(part, given.get(key), f"{name}[{key!r}]") for key, part in like.items()}


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
