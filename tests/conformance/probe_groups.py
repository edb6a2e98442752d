"""Probe tasks in groups of like actions: a group is one environment, and its probes the members of one population.

So all probes of a group are learned by one compiled program. `GROUPS` has an entry for each kind of action.
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


class Patience(probes.Probe):
    """Action 1 pays 1 and terminates; action 0 pays 0.3, and the time limit of 2 steps truncates.

    With discount 0.8, waiting for ever is worth ``0.3 / (1 - 0.8) = 1.5``, so action 0 is right, and a greedy
    episode returns 0.6. An agent that takes the truncation for a termination finds waiting to be worth less
    than 1; one that bootstraps from a termination finds action 1 to be worth more. Both return 1.
    """

    time_limit = 2

    def outcome(self, state, action):
        stop = self.stops(action)
        return jnp.where(stop, 1.0, 0.3), stop, state.obs

    def stops(self, action):
        return action == 1


class ContinuousPatience(Patience):
    """`Patience` with the actions above 0 for action 1."""

    def stops(self, action):
        return action[0] > 0

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))


class Guarded(probes.Masked):
    """`Masked`, where a forbidden action makes the return NaN for good: one is enough to be seen."""

    def outcome(self, state, action):
        reward, terminated, obs = super().outcome(state, action)
        return jnp.where(reward > 2, jnp.nan, reward), terminated, obs


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
        return self.members[0].action_mask(state, None)


class Known(NamedTuple):
    """A probe with what a perfect agent of discount ``d`` finds there.

    Attributes:
        probe: the task.
        values: ``values(d)`` maps observations, a number or a tuple, to their true value.
        returns: smallest and largest greedy return of an episode; None where actions play no role.
        valid: maps those observations to their valid actions; None where all are.
    """

    probe: probes.Probe
    values: Callable[[float], dict[Any, float]]
    returns: tuple[float, float] | None = None
    valid: dict[Any, tuple[bool, ...]] | None = None


def idle(continuous):
    """The probes whose actions play no role."""
    return {
        "constant": Known(probes.Constant(continuous), lambda d: {0: 1}),
        "observation": Known(probes.Observation(continuous), lambda d: {-1: -1, 1: 1}),
        "delayed": Known(probes.Delayed(continuous), lambda d: {0: d, 1: 1}),
        "terminated": Known(probes.Terminated(continuous), lambda d: {1: 1, 2: 1 + d, 3: 1 + d + d**2}),
        "truncated": Known(probes.Truncated(continuous), lambda d: {0: 1 / (1 - d)}),
    }


def one_hot(size):
    """The one-hot codes of ``size`` values."""
    return [tuple(int(i == j) for j in range(size)) for i in range(size)]


CONTINUOUS = {
    **idle(continuous=True),
    "continuous": Known(probes.Continuous(), lambda d: {0: 0}, returns=(-0.02, 0)),
    "continuous-observation": Known(probes.ContinuousObservation(), lambda d: {-0.5: 0, 0.5: 0}, returns=(-0.02, 0)),
    "patience": Known(ContinuousPatience(), lambda d: {0: 0.3 / (1 - d)}, returns=(0.6, 0.6)),
}

GROUPS = {
    "discrete": {
        **idle(continuous=False),
        "action": Known(probes.Action(), lambda d: {0: 1}, returns=(1, 1)),
        "action-observation": Known(probes.ActionObservation(), lambda d: {-1: 1, 1: 1}, returns=(1, 1)),
        "patience": Known(Patience(), lambda d: {0: 0.3 / (1 - d)}, returns=(0.6, 0.6)),
    },
    "masked": {
        "masked": Known(
            Guarded(),
            lambda d: {0: 1 + d, 1: 1},
            returns=(2, 2),
            valid={0: (True, True, False), 1: (False, True, True)},
        )
    },
    "factored": {
        "factored": Known(
            probes.Factored(),
            lambda d: {(*first, *second): 2 for first in one_hot(2) for second in one_hot(3)},
            returns=(2, 2),
        )
    },
    "continuous": CONTINUOUS,
    # Of the five values from -1 to 1 in a dimension, the best is always one.
    "discretised": CONTINUOUS,
}


def groups_for(accepts):
    """Names of the groups that an agent of these action spaces can act in."""
    names = {Discrete: ["discrete", "masked"], MultiDiscrete: ["factored"], Box: ["continuous"]}
    chosen = [group for space in accepts for group in names[space]]
    return chosen if {Discrete, Box} & set(accepts) else [*chosen, "discretised"]


def group_env(group):
    """The environment of a group."""
    env = Group([known.probe for known in GROUPS[group].values()])
    return rlx.make_env(env, discretise=5 if group == "discretised" else None)


def task(env, which):
    """The probe counted by ``which``, possibly traced."""
    return dataclasses.replace(env, params=which)
