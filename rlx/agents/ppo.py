"""Proximal policy optimisation: Schulman et al. 2017, with generalised advantages (Schulman et al. 2016).

One learning event: ``num_envs`` x ``rollout_length`` transitions, advantages computed once, then ``num_epochs``
passes over the batch in ``num_minibatches`` minibatches of the clipped surrogate.
"""

from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning import on_policy
from rlx.learning.on_policy import Batch, Losses
from rlx.networks import running_statistics
from rlx.networks.heads import PolicyNetwork, ValueNetwork
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import optimisers
from rlx.ops.distributions import Distribution, policy_of
from rlx.ops.optimisers import Optimiser
from rlx.settings import hyper
from rlx.types import (
    Box,
    Clock,
    Discrete,
    EnvSpec,
    Key,
    Metrics,
    Mode,
    MultiDiscrete,
    Needs,
    PyTree,
    Timestep,
    Transition,
)


@struct.dataclass
class PPOState:
    """Parameters of both networks, the optimiser's state, and the statistics of all observations seen."""

    params: PyTree
    opt_state: PyTree
    statistics: RunningStatistics | None


@struct.dataclass
class PPO:
    """PPO for discrete, factored (both with masks) and continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete, Box)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = fields.num_envs(64)
    rollout_length: int = fields.rollout_length(64)
    num_epochs: int = fields.num_epochs(4)
    num_minibatches: int = fields.num_minibatches(16)
    learning_rate: float = fields.learning_rate(0.001)
    anneal: bool = fields.anneal(True)
    discount: float = fields.discount(0.99)
    trace_decay: float = fields.trace_decay(0.95)
    clip_epsilon: float = fields.clip_epsilon(0.2)
    clip_value_loss: bool = fields.clip_value_loss(False)
    value_coefficient: float = fields.value_coefficient(0.5)
    entropy_coefficient: float = fields.entropy_coefficient(0.01)
    max_grad_norm: float = fields.max_grad_norm(0.5)
    normalise_advantages: bool = hyper(True, "standardise the advantages of each minibatch", static=True)
    normalise_observations: bool = fields.normalise_observations(True)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((64, 64))
    activation: str = fields.activation("tanh")

    @property
    def needs(self) -> Needs:
        """Long rollouts; parameters and statistics act."""
        return Needs(self.num_envs, self.rollout_length, acting=("params", "statistics"))

    def init(self, key: Key) -> PPOState:
        """Return a new agent's state.

        Raises:
            ConfigurationError: if the batch cannot be cut into equal minibatches, or these are too small.
        """
        batch_size = self.num_envs * self.rollout_length
        on_policy.check_minibatches(batch_size, self.num_minibatches)
        if self.normalise_advantages:
            on_policy.check_spread(
                batch_size, self.num_minibatches, "lower num_minibatches or set normalise_advantages=false"
            )
        actor_key, critic_key = jax.random.split(key)
        obs = jnp.zeros(self.spec.obs_shape)
        params = {"actor": self.actor.init(actor_key, obs), "critic": self.critic.init(critic_key, obs)}
        return PPOState(
            params=params,
            opt_state=self.optimiser.init(params),
            statistics=running_statistics.init(self.spec.obs_shape) if self.normalise_observations else None,
        )

    def act(self, state: PPOState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Sample actions; their log-probabilities travel with the transitions."""
        policy = self.distribution(state, timestep)
        action = policy.sample(key)
        return action, {"log_prob": policy.log_prob(action)}

    def update(self, state: PPOState, rollout: Transition, key: Key, clock: Clock) -> tuple[PPOState, Metrics]:
        """Run the epochs of the surrogate on one rollout, then take its observations into the statistics."""
        batch = self.make_batch(state, rollout)
        rate = self.learning_rate * (1.0 - clock.before.progress if self.anneal else 1.0)
        (params, opt_state), metrics = on_policy.minibatch_epochs(
            self.loss,
            self.optimiser,
            rate,
            (state.params, state.opt_state),
            batch,
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        # After the epochs, so that every ratio starts at exactly 1.
        statistics = on_policy.updated(state.statistics, rollout.obs)
        return PPOState(params, opt_state, statistics), on_policy.metrics_of(metrics)

    def policy(self, state: PPOState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state, timestep)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def actor(self) -> PolicyNetwork:
        """Observations to the parameters of the action distribution."""
        return PolicyNetwork(self.spec.action_space, self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def critic(self) -> ValueNetwork:
        """Observations to state values."""
        return ValueNetwork(self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the global gradient norm."""
        return optimisers.adam(max_grad_norm=self.max_grad_norm, eps=1e-5)

    def distribution(self, state: PPOState, timestep: Timestep) -> Distribution:
        """The policy at ``timestep``."""
        outputs = self.actor.apply(state.params["actor"], on_policy.normalised(state.statistics, timestep.obs))
        return policy_of(self.spec.action_space, outputs, timestep.action_mask)

    def make_batch(self, state: PPOState, rollout: Transition) -> Batch:
        """Advantages and value targets of a rollout ``[T, N]``, flattened to ``[T * N]``."""
        obs, next_obs = (on_policy.normalised(state.statistics, seen) for seen in (rollout.obs, rollout.next_obs))
        value, next_value = (self.critic.apply(state.params["critic"], seen) for seen in (obs, next_obs))
        return on_policy.make_batch(rollout, obs, value, next_value, self.discount, self.trace_decay)

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Losses]:
        """Clipped surrogate, value loss and entropy bonus of one minibatch (PPO, eq. 9)."""
        chex.assert_rank([batch.log_prob, batch.advantage, batch.value_target], 1)
        policy = policy_of(self.spec.action_space, self.actor.apply(params["actor"], batch.obs), batch.action_mask)
        value = self.critic.apply(params["critic"], batch.obs)
        advantage = on_policy.standardise(batch.advantage) if self.normalise_advantages else batch.advantage

        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        surrogate = on_policy.surrogates(log_ratio, advantage, self.clip_epsilon).mean()  # L^CLIP (eq. 7)
        value_clip = self.clip_epsilon if self.clip_value_loss else None
        value_loss = on_policy.mean_value_loss(value, batch, value_clip)  # L^VF
        entropy = policy.entropy().mean()  # S
        loss = surrogate + self.value_coefficient * value_loss - self.entropy_coefficient * entropy  # eq. 9
        metrics = {"loss": loss, "policy_loss": surrogate, "value_loss": value_loss, "entropy": entropy}
        return loss, metrics | on_policy.ratio_metrics(log_ratio, self.clip_epsilon)
