"""Probe tasks in groups of like actions: a group is one environment, and its probes the members of one population.

So all probes of a group are learned by one compiled program. Beside those of `rlx.envs.probes` there are some that
show a mistake by what an agent does, for agents whose values a test cannot read. All are meant for discount 0.8.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

import rlx
from rlx.envs import probes
from rlx.types import Box, Discrete, MultiDiscrete

DISCOUNT = 0.8


class Either(probes.Probe):
    """A probe of two actions; with ``continuous=True`` those above 0 are action 1."""

    def __init__(self, continuous):
        self.continuous = continuous

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,)) if self.continuous else spaces.Discrete(2)

    def is_second(self, action):
        """Whether this is action 1."""
        return action[0] > 0 if self.continuous else action == 1


class Patience(Either):
    """Action 1 pays 1 and terminates; action 0 pays 0.3, and the time limit of 2 steps truncates.

    Waiting for ever is worth ``0.3 / (1 - 0.8) = 1.5``, so action 0 is right. An agent that takes the truncation
    for a termination finds waiting to be worth less than 1, one that bootstraps from a termination finds action 1
    to be worth more: both take action 1.
    """

    time_limit = 2

    def outcome(self, state, action):
        stop = self.is_second(action)
        return jnp.where(stop, 1.0, 0.3), stop, state.obs


class Elsewhere(Either):
    """The observation is 0 three times in four, else 1, and the time limit a single step.

    At 0, action 1 pays 1 and terminates, and action 0 pays nothing and is truncated on arriving at 1. At 1 both
    pay 1.7 and terminate. So action 0 is right at 0, where it is worth ``0.8 * 1.7 = 1.36``. An agent that
    bootstraps from the observation after the reset finds it to be worth less than 1.
    """

    time_limit = 1

    def first(self, key):
        return jax.random.bernoulli(key, 0.25, (1,)).astype(jnp.float32)

    def outcome(self, state, action):
        there, stop = state.obs[0] > 0.5, self.is_second(action)
        return jnp.where(there, 1.7, jnp.where(stop, 1.0, 0.0)), there | stop, jnp.ones(1)


class Chance(probes.IdleProbe):
    """Two steps: from observation 0 to -1 or 1 at random for nothing, and there the observation is the reward.

    ``V(0) = 0`` and ``V(o) = o``. An agent whose gradients flow into its targets finds ``V(1)`` to be about 0.6.
    """

    def first(self, key):
        return 3.0 * jnp.ones(1)

    def outcome(self, state, action):
        ...


class Guarded(probes.Masked):
    """`Masked`, where a forbidden action makes the return NaN for good: one is enough to be seen."""

    def outcome(self, state, action):
        reward, terminated, obs = super().outcome(state, action)
        return jnp.where(reward > 2, jnp.nan, reward), terminated, obs
