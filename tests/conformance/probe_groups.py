"""Probe tasks in groups of like actions: a group is one environment, and its probes the members of one population.

So all probes of a group are learned by one compiled program. Beside those of `rlx.envs.probes` there are some that
show a mistake by what an agent does, for agents whose values a test cannot read. All are meant for `DISCOUNT`.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

import rlx
from rlx.envs import probes
from rlx.types import Box, Discrete, MultiDiscrete

DISCOUNT = 0.8


class Choice(probes.Probe):
    """A probe of two actions; with ``continuous=True`` those above 0 are action 1."""

    def __init__(self, continuous):
        self.continuous = continuous

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,)) if self.continuous else spaces.Discrete(2)

    def is_second(self, action):
        return action[0] > 0 if self.continuous else action == 1


class Patience(Choice):
    """Action 1 pays 1 and terminates; action 0 pays 0.3, and the time limit of 2 steps truncates.

    Waiting for ever is worth ``0.3 / (1 - 0.8) = 1.5``, so action 0 is right. An agent that takes the truncation
    for a termination finds waiting to be worth less than 1; one that bootstraps from a termination finds action 1
    to be worth more. Both take action 1.
    """

    time_limit = 2

    def outcome(self, state, action):
        stop = self.is_second(action)
        return jnp.where(stop, 1.0, 0.3), stop, state.obs


class Elsewhere(Choice):
    """The observation is 0 three times in four, else 1, and the time limit is a single step.

    At 0, action 1 pays 1 and terminates; action 0 pays nothing and is truncated on arriving at 1. At 1 both pay 1.7
    and terminate. At 0, action 0 is right: it is worth ``0.8 * 1.7 = 1.36``. An agent that bootstraps from the
    observation after the reset finds it to be worth less than 1.
    """

    time_limit = 1

    def first(self, key):
        return jax.random.bernoulli(key, 0.25, (1,)).astype(jnp.float32)

    def outcome(self, state, action):
        there, stop = state.obs[0] > 0.5, self.is_second(action)
        return jnp.where(there, 1.7, jnp.where(stop, 1.0, 0.0)), there | stop, jnp.ones(1)


class Fork(probes.IdleProbe):
    """Two steps: from observation 0 to -1 or 1, at random and for nothing; there the reward is the observation.

    ``V(o) = o``. An agent whose gradient flows into its targets finds ``V(1)`` to be about 0.6.
    """

    def step_env(self, key, state, action, params):
        last = state.time == 1
        obs = jax.random.rademacher(key, (1,), jnp.float32)
        return obs, probes.ProbeState(time=state.time + 1, obs=obs), jnp.where(last, state.obs[0], 0.0), last, {}


class Guarded(probes.Masked):
    """`Masked`, where a forbidden action makes the return NaN for good: one is enough to be seen."""

    def outcome(self, state, action):
        reward, terminated, obs = super().outcome(state, action)
        return jnp.where(reward > 2, jnp.nan, reward), terminated, obs


class Neighbours(Guarded):
    """Observation 0 three times in four, else 0.1, which a network barely tells apart; a single step.

    At 0, action 0 pays 1 and terminates, action 1 pays 0.45 and is truncated on arriving at 0.1; action 2 is
    forbidden. At 0.1 only action 2 is allowed: it pays 0.5 and terminates. At 0, action 0 is right, since action 1
    is worth ``0.45 + 0.8 * 0.5 = 0.85``. With the value of action 0 in place of the one allowed, or of the
    observation after the reset, it would be worth 1.1 or more.
    """

    time_limit = 1

    def first(self, key):
        return 0.1 * jax.random.bernoulli(key, 0.25, (1,)).astype(jnp.float32)

    def outcome(self, state, action):
        there = state.obs[0] > 0.05
        reward = jnp.where(there, 0.5, jnp.array([1.0, 0.45, 0.0])[action])
        reward = jnp.where(self.action_mask(state, None)[action], reward, jnp.nan)
        return reward, there | (action == 0), 0.1 * jnp.ones(1)

    def action_mask(self, state, params):
        return jnp.where(state.obs[0] > 0.05, jnp.array([False, False, True]), jnp.array([True, True, False]))


class GuardedFactors(probes.Probe):
    """One step, components of 2 and 3 choices; the observation is 0 or 1, and a forbidden choice makes the return NaN.

    At 0 choice 2 of the second component is forbidden, and choice 1 of either component pays 1. At 1 choice 0 of the
    second is forbidden and its choice 1 pays 1; the first has no valid choice, and none of them matters.
    """

    def first(self, key):
        return jax.random.bernoulli(key, 0.5, (1,)).astype(jnp.float32)

    def outcome(self, state, action):
        there = state.obs[0] > 0.5
        forbidden = action[1] == jnp.where(there, 0, 2)
        reward = (action[1] == 1) + jnp.where(there, 0.0, action[0] == 1)
        return jnp.where(forbidden, jnp.nan, reward), jnp.ones((), bool), state.obs

    def action_mask(self, state, params):
        there = state.obs[0] > 0.5
        masks = jnp.array([[True, True, True, True, False], [False, False, False, True, True]])
        return masks[there.astype(int)]

    def action_space(self, params):
        return MultiDiscrete((2, 3))


class Group(Environment):
    """The probe that ``params``, an int32 scalar, counts among ``members``."""

    name = "probes"
    default_params = jnp.int32(0)

    def __init__(self, members):
        self.members = members
        if hasattr(members[0], "action_mask"):
            self.action_mask = self._action_mask

    def reset_env(self, key, params):
        branches = [lambda key, probe=probe: probe.reset_env(key, probe.default_params) for probe in self.members]
        return jax.lax.switch(params, branches, key)

    def step_env(self, key, state, action, params):
        branches = [
            lambda key, state, action, probe=probe: probe.step_env(key, state, action, probe.default_params)
            for probe in self.members
        ]
        return jax.lax.switch(params, branches, key, state, action)

    def is_truncated(self, state, params):
        return state.time >= jnp.array([probe.time_limit for probe in self.members])[params]

    def action_space(self, params):
        return self.members[0].action_space(None)

    def _action_mask(self, state, params):
        branches = [lambda state, probe=probe: probe.action_mask(state, None) for probe in self.members]
        return jax.lax.switch(params, branches, state)


class Known(NamedTuple):
    """A probe with what a perfect agent finds there.

    Attributes:
        probe: the task.
        values: maps observations, each a number or a tuple, to their true value.
        returns: intervals in which the return of each greedy episode lies; None where actions play no role.
        valid: maps those observations to their valid actions; None where all are.
    """

    probe: probes.Probe
    values: dict[Any, float]
    returns: tuple[tuple[float, float], ...] | None = None
    valid: dict[Any, tuple[bool, ...]] | None = None


def exactly(*returns):
    """Intervals around these returns for rounding."""
    return tuple((value - 1e-5, value + 1e-5) for value in returns)


def either_kind(continuous):
    """The probes that can have discrete or continuous actions."""
    d = DISCOUNT
    return {
        "constant": Known(probes.Constant(continuous), {0: 1}),
        "observation": Known(probes.Observation(continuous), {-1: -1, 1: 1}),
        "delayed": Known(probes.Delayed(continuous), {0: d, 1: 1}),
        "terminated": Known(probes.Terminated(continuous), {1: 1, 2: 1 + d, 3: 1 + d + d**2}),
        "truncated": Known(probes.Truncated(continuous), {0: 1 / (1 - d)}),
        "fork": Known(Fork(continuous), {-1: -1, 1: 1}),
        "patience": Known(Patience(continuous), {0: 0.3 / (1 - d)}, exactly(0.6)),
        "elsewhere": Known(Elsewhere(continuous), {0: d * 1.7, 1: 1.7}, exactly(0, 1.7)),
    }


def one_hot(size):
    """The one-hot codes of ``size`` values."""
    return [tuple(int(i == j) for j in range(size)) for i in range(size)]


CONTINUOUS = {
    **either_kind(continuous=True),
    "continuous": Known(probes.Continuous(), {0: 0}, ((-0.02, 0),)),
    "continuous-observation": Known(probes.ContinuousObservation(), {-0.5: 0, 0.5: 0}, ((-0.02, 0),)),
}

GROUPS = {
    "discrete": {
        **either_kind(continuous=False),
        "action": Known(probes.Action(), {0: 1}, exactly(1)),
        "action-observation": Known(probes.ActionObservation(), {-1: 1, 1: 1}, exactly(1)),
    },
    "masked": {
        "masked": Known(
            Guarded(),
            {0: 1 + DISCOUNT, 1: 1},
            exactly(2),
            valid={0: (True, True, False), 1: (False, True, True)},
        ),
        "neighbours": Known(
            Neighbours(),
            {0: 1, 0.1: 0.5},
            exactly(0.5, 1),
            valid={0: (True, True, False), 0.1: (False, False, True)},
        ),
    },
    "factored": {
        "factored": Known(
            probes.Factored(),
            {(*first, *second): 2 for first in one_hot(2) for second in one_hot(3)},
            exactly(2),
        )
    },
    "masked-factored": {
        "masked-factored": Known(
            GuardedFactors(),
            {0: 2, 1: 1},
            exactly(1, 2),
            valid={0: (True, True, True, True, False), 1: (False, False, False, True, True)},
        )
    },
    "continuous": CONTINUOUS,
    # Of the five values from -1 to 1 in a dimension, the best is always one.
    "discretised": CONTINUOUS,
}


def groups_for(accepts):
    """Names of the groups that an agent of these action spaces can act in."""
    names = {Discrete: ["discrete", "masked"], MultiDiscrete: ["factored", "masked-factored"], Box: ["continuous"]}
    chosen = [group for space in accepts for group in names[space]]
    return chosen if {Discrete, Box} & set(accepts) else [*chosen, "discretised"]


def group_env(group):
    """The environment of a group."""
    env = Group([known.probe for known in GROUPS[group].values()])
    return rlx.make_env(env, discretise=5 if group == "discretised" else None)


def task(env, which):
    """The probe counted by ``which``, possibly traced."""
    return dataclasses.replace(env, params=which)
