"""What Q-learners of factored actions share: their state, exploring by whole actions, and learning from a replay."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from rlx.errors import ConfigurationError
from rlx.learning.off_policy import SampleUpdate, learn_from_replay
from rlx.ops import exploration
from rlx.ops import value_decomposition as decomposition
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.replay import Replay, Sample
from rlx.replay.transitions import example_transition
from rlx.types import Clock, EnvSpec, Key, Metrics, PyTree, Timestep, Transition

# An absolute error of 0 must not keep a transition from ever being drawn again.
_LEAST_PRIORITY = 1e-6


class Fields(Protocol):
    """The hyperparameters that these functions read of an agent."""

    spec: EnvSpec
    num_envs: int
    rollout_length: int
    num_updates: int
    batch_size: int
    replay_size: int
    learning_starts: int
    n_step: int
    drop_cut_windows: bool
    prioritise: bool
    priority_exponent: float
    importance_exponent: float
    discount: float
    epsilon_initial: float
    epsilon_decay: float
    epsilon_final: float


@struct.dataclass
class FactoredState:
    """Online and target parameters, the optimiser's state, the replay, and how many actions have explored, int32."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay
    num_explored: jax.Array


def start(agent: Fields, params: PyTree, optimiser: Optimiser) -> FactoredState:
    """The state of an agent with those parameters that has not acted.

    Raises:
        ConfigurationError: if the replay is too small for one event or one n-step window.
    """
    example = example_transition(agent.spec)
    replay = replays.create(
        example, agent.replay_size, agent.num_envs, agent.rollout_length, agent.n_step, agent.prioritise
    )
    copy = jax.tree.map(jnp.copy, params)
    return FactoredState(params, copy, optimiser.init(params), replay, jnp.zeros((), jnp.int32))


def check_critics(bootstrap: str, num_critics: int) -> None:
    """Refuse a bootstrap that needs more critics than there are.

    Raises:
        ConfigurationError: saying how many it needs.
    """
    least = decomposition.LEAST_CRITICS.get(bootstrap, 1)
    if num_critics < least:
        raise ConfigurationError(f"bootstrap={bootstrap} needs {least} critics; raise num_critics = {num_critics}")


def explore(
    agent: Fields, state: FactoredState, utilities: jax.Array, timestep: Timestep, key: Key, clock: Clock
) -> tuple[jax.Array, dict[str, Any]]:
    """Actions of ``utilities`` ``[B, N, n]``, whole ones replaced by random ones, all of them before learning starts.

    Returns:
        Actions ``[B, *action_shape]``, and ``explored``, bool ``[B]``: those that lower epsilon.
    """
    valid = decomposition.valid_choices(agent.spec.nvec, timestep.action_mask)
    learning = clock.reached(agent.learning_starts)
    epsilon = exploration.decayed_epsilon(
        state.num_explored, agent.epsilon_initial, agent.epsilon_decay, agent.epsilon_final
    )
    epsilon = jnp.where(learning, epsilon, 1.0)
    greedy = decomposition.greedy(utilities, valid)
    action, explored = exploration.joint_epsilon_greedy(key, greedy, epsilon, valid)
    return action.reshape(-1, *agent.spec.action_shape), {"explored": explored & learning}


def learn(
    agent: Fields, state: FactoredState, rollout: Transition, update: SampleUpdate, key: Key, clock: Clock
) -> tuple[FactoredState, Metrics]:
    """One learning event; ``update`` learns parameters, target parameters and the optimiser's state together."""
    rule = rules.Prioritised(agent.importance_exponent) if agent.prioritise else rules.UNIFORM
    learner = (state.params, state.target_params, state.opt_state)
    replay, learner, metrics = learn_from_replay(agent, state.replay, rollout, learner, update, key, clock, rule)
    num_explored = state.num_explored + rollout.extras["explored"].sum(dtype=jnp.int32)
    params, target_params, opt_state = learner
    return FactoredState(params, target_params, opt_state, replay, num_explored), metrics


def weights(agent: Fields, sample: Sample) -> jax.Array:
    """What each transition counts in a mean over the minibatch, ``[B]``: its importance weight.

    With ``drop_cut_windows`` those count nothing whose window a time limit cut short, which the released code of
    REValueD does not store, and the others more.
    """
    if not agent.drop_cut_windows:
        return sample.weights
    kept = (sample.batch.steps == agent.n_step) | sample.batch.terminated
    return sample.weights * kept / jnp.maximum(kept.mean(), 1.0 / len(kept))


def priorities(agent: Fields, errors: jax.Array) -> jax.Array | None:
    """The new priorities ``[B]`` of transitions with errors ``[K, B]``: their absolute mean to the power alpha."""
    if not agent.prioritise:
        return None
    return (jnp.abs(errors).mean(0) + _LEAST_PRIORITY) ** agent.priority_exponent
