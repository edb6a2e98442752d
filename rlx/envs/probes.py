"""Probe tasks: a few steps long, with values known in closed form, so that an agent's mistakes have names.

Each class states its true values: ``V`` is the optimal value, ``Q`` the optimal action value, ``discount`` the
agent's. The first probe that an agent fails points to the part at fault: the constant to the value head, the
observation to the network's input, the delay to bootstrapping, the actions to the policy, and so on. Where
actions play no role, ``continuous=True`` makes of the two discrete actions one in [-1, 1].
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.types import Key, MultiDiscrete


@struct.dataclass
class ProbeState(EnvState):
    """Steps taken and the current observation, float32 ``[size]``."""

    time: jax.Array
    obs: jax.Array


Outcome = tuple[jax.Array, jax.Array, jax.Array]


class Probe(Environment[ProbeState, EnvParams]):
    """What probes share: a subclass says how an episode starts (`first`) and what a step does (`outcome`)."""

    obs_size = 1
    time_limit = 10

    def first(self, key: Key) -> jax.Array:
        """The first observation."""
        return jnp.zeros(self.obs_size)

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """Reward, whether the episode terminates, and the next observation."""
        raise NotImplementedError

    @property
    def default_params(self) -> EnvParams:
        """The time limit; probes that terminate do so before it."""
        return EnvParams(max_steps_in_episode=self.time_limit)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, ProbeState]:
        """Start an episode."""
        state = ProbeState(time=jnp.zeros((), jnp.int32), obs=self.first(key))
        return state.obs, state

    def step_env(
        self, key: Key, state: ProbeState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, ProbeState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        reward, terminated, obs = self.outcome(state, action)
        return obs, ProbeState(time=state.time + 1, obs=obs), reward, terminated, {}

    def observe(self, key: Key, state: ProbeState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """The observation that belongs to ``state``."""
        return state.obs

    def action_space(self, params: EnvParams) -> Any:
        """Two discrete actions."""
        return spaces.Discrete(2)

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Small vectors."""
        return spaces.Box(-5.0, 5.0, (self.obs_size,))


class IdleProbe(Probe):
    """A probe whose actions play no role; ``continuous=True`` makes them continuous."""

    def __init__(self, continuous: bool = False) -> None:
        self.continuous = continuous

    def action_space(self, params: EnvParams) -> Any:
        """Two discrete actions, or one continuous one in [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (1,)) if self.continuous else spaces.Discrete(2)


class Constant(IdleProbe):
    """One step, reward 1: ``V = 1``."""

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return jnp.ones(()), jnp.ones((), bool), state.obs


class Observation(IdleProbe):
    """One step, the reward is the observation, -1 or 1 at random: ``V(o) = o``."""

    def first(self, key: Key) -> jax.Array:
        """See `Probe.first`."""
        return _random_sign(key)

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return state.obs[0], jnp.ones((), bool), state.obs


class Delayed(IdleProbe):
    """Two steps, the observation is the step, 0 or 1, reward 1 at the end: ``V(0) = discount, V(1) = 1``."""

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        second = state.time == 1
        return second.astype(jnp.float32), second, jnp.ones(1)


class Action(Probe):
    """One step, reward 1 for action 1 and -1 for action 0: ``Q(0) = -1``, ``Q(1) = V = 1``."""

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return jnp.where(action == 1, 1.0, -1.0), jnp.ones((), bool), state.obs


class ActionObservation(Probe):
    """One step, observation -1 or 1 at random, reward 1 for action ``o > 0`` else -1: ``V(o) = 1``."""

    def first(self, key: Key) -> jax.Array:
        """See `Probe.first`."""
        return _random_sign(key)

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        matches = action == (state.obs[0] > 0)
        return jnp.where(matches, 1.0, -1.0), jnp.ones((), bool), state.obs


class Masked(Probe):
    """Two steps, the observation is the step, 0 or 1; one of three actions is forbidden.

    Action 2 is forbidden at first, action 0 at last, and a forbidden action would pay 10; action 1 pays 1 and
    the remaining one 0. So ``V(0) = 1 + discount`` and ``V(1) = 1``, always by action 1. A return above 2 means
    that a mask was broken, a larger ``V(0)`` that bootstrapping ignored the next observation's mask.
    """

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        reward = jnp.where(self._valid(state)[action], jnp.where(action == 1, 1.0, 0.0), 10.0)
        return reward, state.time == 1, jnp.ones(1)

    def action_mask(self, state: ProbeState, params: EnvParams) -> jax.Array:
        """The valid actions, bool ``[3]``."""
        return self._valid(state)

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """Three actions."""
        return spaces.Discrete(3)

    def _valid(self, state: ProbeState) -> jax.Array:
        return jnp.arange(3) != jnp.where(state.time == 0, 2, 0)


class Factored(Probe):
    """One step, two action components of 2 and 3 values, reward 1 for each that the observation asks for.

    The observation is the one-hot code ``[2 + 3]`` of the two wanted values, drawn at random: ``V(o) = 2``,
    and ``Q(o, a)`` is the number of components that are right.
    """

    obs_size = 5

    def first(self, key: Key) -> jax.Array:
        """See `Probe.first`."""
        first_key, second_key = jax.random.split(key)
        first = jax.nn.one_hot(jax.random.randint(first_key, (), 0, 2), 2)
        second = jax.nn.one_hot(jax.random.randint(second_key, (), 0, 3), 3)
        return jnp.concatenate([first, second])

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return state.obs[action[0]] + state.obs[2 + action[1]], jnp.ones((), bool), state.obs

    def action_space(self, params: EnvParams) -> MultiDiscrete:
        """Two components."""
        return MultiDiscrete((2, 3))


class Terminated(IdleProbe):
    """Reward 1 a step, the observation is the number ``r`` of steps left, 1 to 3 at random at the start.

    Termination ends all reward: ``V(r) = (1 - discount**r) / (1 - discount)``.
    """

    def first(self, key: Key) -> jax.Array:
        """See `Probe.first`."""
        return jax.random.randint(key, (1,), 1, 4).astype(jnp.float32)

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        left = state.obs - 1.0
        return jnp.ones(()), left[0] < 0.5, left


class Truncated(IdleProbe):
    """Reward 1 a step for ever, one observation, but a time limit of 5 steps: ``V = 1 / (1 - discount)``.

    An agent that takes the time limit for a termination finds a smaller value.
    """

    time_limit = 5

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return jnp.ones(()), jnp.zeros((), bool), state.obs


class Continuous(Probe):
    """One step, reward ``-(a - 0.5)**2`` for an action in [-1, 1]: best action 0.5, ``V = 0``."""

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return -((action[0] - 0.5) ** 2), jnp.ones((), bool), state.obs

    def action_space(self, params: EnvParams) -> spaces.Box:
        """One action in [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (1,))


class ContinuousObservation(Probe):
    """One step, observation -0.5 or 0.5 at random, reward ``-(a - o)**2``: best action ``o``, ``V = 0``."""

    def first(self, key: Key) -> jax.Array:
        """See `Probe.first`."""
        return 0.5 * _random_sign(key)

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        return -((action[0] - state.obs[0]) ** 2), jnp.ones((), bool), state.obs

    def action_space(self, params: EnvParams) -> spaces.Box:
        """One action in [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (1,))


@struct.dataclass
class RecallState(ProbeState):
    """As `ProbeState`, and what the first observation was."""

    cue: jax.Array


class Recall(Probe):
    """Two steps: the first observation is -1 or 1, the second 0; action 1 after a 1, else action 0, then pays 1.

    Only an agent that remembers the first observation earns more than 0.5 on average; one that does earns 1.
    """

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, RecallState]:
        """Start an episode."""
        obs = jax.random.rademacher(key, (1,), jnp.float32)
        return obs, RecallState(time=jnp.zeros((), jnp.int32), obs=obs, cue=obs[0])

    def step_env(
        self, key: Key, state: RecallState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, RecallState, jax.Array, jax.Array, dict[str, Any]]:
        """Take one step."""
        last = state.time == 1
        reward = jnp.where(last & ((action == 1) == (state.cue > 0)), 1.0, 0.0)
        obs = jnp.zeros(1)
        return obs, RecallState(time=state.time + 1, obs=obs, cue=state.cue), reward, last, {}

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """Two actions."""
        return spaces.Discrete(2)


class NotANumber(IdleProbe):
    """Reward 1 and observation 0 for three steps, then NaN for both: no value exists, learning must fail."""

    def outcome(self, state: ProbeState, action: jax.Array) -> Outcome:
        """See `Probe.outcome`."""
        broken = state.time >= 3
        return jnp.where(broken, jnp.nan, 1.0), jnp.zeros((), bool), jnp.where(broken, jnp.nan, jnp.zeros(1))


def _random_sign(key: Key) -> jax.Array:
    """-1 or 1, float32 ``[1]``."""
    return jax.random.rademacher(key, (1,), jnp.float32)
