"""Finite decision processes with two actions: the small tasks of log-mapped Q-learning, and their exact solution.

The chain is the task of van Seijen, Fatemi and Tavakoli (2019), section 3, as their released code defines it, and so
are its tile-coded features. The gap-controlled chain and the corridor are ours: each isolates one claim of the paper.
Solutions are computed once, on the host, in double precision: action gaps span more orders of magnitude than float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx import types  # noqa: F401  # it makes JAX's settings, before the first array

LEFT, RIGHT = 0, 1


@struct.dataclass
class FiniteMDP:
    """A process whose outcome depends only on the state and on the action that is *executed*.

    Attributes:
        next_state: int32 ``[S, 2]``, by executed action; ``S`` is the end.
        reward: float64 ``[S, 2]``, by executed action, on the host: float32 cannot hold the least of the gap chain's.
        slip: probability that the executed action is not the chosen one but the other.
    """

    next_state: jax.Array
    reward: np.ndarray
    slip: float | jax.Array

    @property
    def num_states(self) -> int:
        """``S``, the end not counted."""
        return self.next_state.shape[0]


def chain(num_states: int = 50, slip: float = 0.25, reward_scale: float = 1.0) -> FiniteMDP:
    """The paper's chain: leaving it on the left pays 1, on the right -1, and both end the episode.

    Left is optimal everywhere, at every discount below 1.
    """
    reward = np.zeros((num_states, 2))
    reward[0, LEFT], reward[-1, RIGHT] = reward_scale, -reward_scale
    return _walk(reward, slip)


def mirrored_chain(num_states: int = 50, slip: float = 0.25, reward_scale: float = 1.0) -> FiniteMDP:
    """The paper's chain with its ends exchanged: right is optimal everywhere.

    On the chain a program whose values are not numbers looks perfect, because ``argmax`` then answers 0, which is left.
    """
    return _walk(chain(num_states, slip, reward_scale).reward[::-1, ::-1], slip)


def gap_chain(exponent: float, num_states: int = 50) -> FiniteMDP:
    """Our chain with chosen action gaps: going right from state ``s`` costs ``10**(-exponent * s)``, nothing slips.

    Both ends end the episode. Left is optimal everywhere with value 0, so the gap in ``s`` is ``10**(-exponent * s)``
    and the gaps' deviation ``14.43 * exponent`` for 50 states, whatever the discount. With slips left would not be
    optimal.
    """
    reward = np.zeros((num_states, 2))
    reward[:, RIGHT] = -(10.0 ** (-exponent * np.arange(num_states)))
    return _walk(reward, slip=0.0)


def corridor(num_states: int = 20) -> FiniteMDP:
    """Our corridor: staying in state 0 (left) pays 0.2 a step, walking right out of the last state pays 100 and ends.

    With 20 states staying is optimal up to a discount of 0.75 and walking from 0.8 on; over the first 12 steps staying
    earns 2.4 and walking nothing, so that a lower discount is better on this finite horizon.
    """
    reward = np.zeros((num_states, 2))
    reward[0, LEFT], reward[-1, RIGHT] = 0.2, 100.0
    mdp = _walk(reward, slip=0.0)
    return FiniteMDP(mdp.next_state.at[0, LEFT].set(0), mdp.reward, mdp.slip)


def _walk(reward: np.ndarray, slip: float) -> FiniteMDP:
    """Left and right by one state, with the end beyond both ends."""
    states = np.arange(len(reward))
    next_state = np.stack([states - 1, states + 1], axis=1)
    next_state[0, LEFT] = len(reward)
    return FiniteMDP(jnp.asarray(next_state, jnp.int32), reward, slip)


def tile_features(num_states: int, width: int) -> np.ndarray:
    """The paper's tile coding of a state's number; a width of 1 gives the one-hot code.

    ``width`` tilings, each shifted by one state, of tiles ``width`` states wide. Every state activates one tile of
    each, with ``sqrt(1 / width)``, so that ``phi(s) . phi(s') = max(0, 1 - |s - s'| / width)``.

    Returns:
        float64 ``[S, F]``.
    """
    num_tiles = -(-num_states // width) + 1
    features = np.zeros((num_states, width * num_tiles))
    for tiling in range(width):
        tiles = (np.arange(num_states) + tiling) // width
        features[np.arange(num_states), tiles + tiling * num_tiles] = np.sqrt(1 / width)
    return features


def q_values(mdp: FiniteMDP, discount: float) -> np.ndarray:
    """Exact optimal action values, float64 ``[S, 2]``, by value iteration to the last digits.

    Args:
        mdp: the process.
        discount: in [0, 1).
    """
    next_state, reward, slip = (np.asarray(leaf, np.float64) for leaf in (mdp.next_state, mdp.reward, mdp.slip))
    value = np.zeros(mdp.num_states + 1)
    while True:
        executed = reward + discount * value[next_state.astype(int)]
        chosen = (1 - slip) * executed + slip * executed[:, ::-1]
        previous, value = value, np.append(chosen.max(axis=1), 0.0)
        if np.allclose(value, previous, rtol=1e-15, atol=0.0):
            return chosen


def action_gaps(q: np.ndarray) -> np.ndarray:
    """How much better the better action is, ``[S]``, from action values ``[S, 2]``."""
    return np.abs(q[:, LEFT] - q[:, RIGHT])


def gap_deviation(gaps: np.ndarray) -> float:
    """Standard deviation over states of ``log10`` of the action gaps: how many orders of magnitude they vary by."""
    return float(np.log10(gaps).std())


def horizon_return(mdp: FiniteMDP, policy: np.ndarray, horizon: int) -> np.ndarray:
    """Expected undiscounted return of the first ``horizon`` steps from each state, float64 ``[S]``.

    Args:
        mdp: the process.
        policy: the action of each state, int ``[S]``.
        horizon: number of steps.
    """
    states, slip = np.arange(mdp.num_states), float(mdp.slip)
    next_state, reward = np.asarray(mdp.next_state), mdp.reward
    value = np.zeros(mdp.num_states + 1)
    for _ in range(horizon):
        executed = reward + value[next_state]
        value = np.append((1 - slip) * executed[states, policy] + slip * executed[states, 1 - policy], 0.0)
    return value[:-1]
