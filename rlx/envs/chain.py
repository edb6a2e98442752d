"""The small tasks of `rlx.envs.finite_mdp` as environments for any agent.

Observations are the tile code of the state, one-hot with ``width=1``, and zero at the end. The chain's rewards, slips
and features are the paper's (van Seijen, Fatemi and Tavakoli 2019), where it is only ever swept over: the start state
and the time limit are ours, and so are the gap-controlled chain and the corridor.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs import finite_mdp
from rlx.envs.finite_mdp import FiniteMDP
from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.errors import ConfigurationError
from rlx.types import Key


@struct.dataclass
class ChainState(EnvState):
    """Steps taken and where the agent is, both int32."""

    time: jax.Array
    position: jax.Array


@struct.dataclass
class ChainParams(EnvParams):
    """The time limit, and the probability that the other action is executed."""

    max_steps_in_episode: int = 500
    slip: float = 0.25


class FiniteTask(Environment[ChainState, ChainParams]):
    """A finite process, started in any of its states with equal probability.

    Args:
        mdp: the process.
        width: of the tiles of the observation.
        num_starts: an episode starts in one of the first ``num_starts`` states; ``None`` takes all.
    """

    def __init__(self, mdp: FiniteMDP, width: int, num_starts: int | None = None) -> None:
        self.mdp = mdp
        self.reward = mdp.reward.astype(np.float32)
        self.num_starts = mdp.num_states if num_starts is None else num_starts
        features = finite_mdp.tile_features(mdp.num_states, width)
        self.features = np.append(features, np.zeros_like(features[:1]), axis=0).astype(np.float32)

    @property
    def default_params(self) -> ChainParams:
        """The process's own slips."""
        return ChainParams(slip=float(self.mdp.slip))

    def reset_env(self, key: Key, params: ChainParams) -> tuple[jax.Array, ChainState]:
        """Draw a start state."""
        position = jax.random.randint(key, (), 0, self.num_starts)
        state = ChainState(time=jnp.zeros((), jnp.int32), position=position)
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: Key, state: ChainState, action: jax.Array, params: ChainParams
    ) -> tuple[jax.Array, ChainState, jax.Array, jax.Array, dict[str, Any]]:
        """Execute ``action`` or, by a slip, the other one; the reward is the executed one's."""
        executed = jnp.where(jax.random.bernoulli(key, params.slip), 1 - action, action)
        position = self.mdp.next_state[state.position, executed]
        reward = jnp.asarray(self.reward)[state.position, executed]
        state = ChainState(time=state.time + 1, position=position)
        return self.observe(key, state, action, params), state, reward, position == self.mdp.num_states, {}

    def observe(self, key: Key, state: ChainState, action: jax.Array | None, params: ChainParams) -> jax.Array:
        """The state's tile code, float32 ``[F]``."""
        return jnp.asarray(self.features)[state.position]

    def action_space(self, params: ChainParams) -> spaces.Discrete:
        """Left and right."""
        return spaces.Discrete(2)

    def observation_space(self, params: ChainParams) -> spaces.Box:
        """Tile codes."""
        return spaces.Box(0.0, 1.0, self.features.shape[1:])


class Chain(FiniteTask):
    """The paper's chain, ``rlx/chain``: 1 for leaving on the left, -1 on the right, every fourth action slips."""

    def __init__(self, num_states: int = 50, width: int = 1) -> None:
        super().__init__(finite_mdp.chain(num_states), width)


class MirroredChain(FiniteTask):
    """The paper's chain with its ends exchanged, ``rlx/mirrored-chain``."""

    def __init__(self, num_states: int = 50, width: int = 1) -> None:
        super().__init__(finite_mdp.mirrored_chain(num_states), width)


class GapChain(FiniteTask):
    """Our chain with chosen action gaps, ``rlx/gap-chain``: right costs ``10**(-exponent * s)``, left nothing."""

    def __init__(self, exponent: float = 0.1, num_states: int = 50, width: int = 1) -> None:
        mdp = finite_mdp.gap_chain(exponent, num_states)
        least = np.abs(mdp.reward[-1, finite_mdp.RIGHT])
        if least < np.finfo(np.float32).tiny:
            raise ConfigurationError(
                f"exponent={exponent} makes the least of {num_states} costs {least:.0e}, which float32 cannot hold; "
                f"choose at most {37 / (num_states - 1):.2f}"
            )
        super().__init__(mdp, width)


class Corridor(FiniteTask):
    """Our corridor, ``rlx/corridor``: 0.2 a step for staying at the start, 100 for walking all 20 steps.

    Learning what lies at its far end needs longer episodes than the 12 steps over which staying is better: train with
    the default time limit and evaluate with ``max_episode_steps=12``.
    """

    def __init__(self, num_states: int = 20, width: int = 1) -> None:
        super().__init__(finite_mdp.corridor(num_states), width, num_starts=1)
