"""PPO with invalid action masking: Huang and Ontañón 2022, "A Closer Look at Invalid Action Masking".

A task may forbid choices of a discrete action, or of components of a factored one. ``regime`` says what is made of its
masks, as the paper compares it:

* ``masking``: the policy is the softmax over the valid choices only, when it acts and when it learns.
* ``naive``: it acts by that policy, but learns as if it had acted by the unmasked one.
* ``penalty``: masks are ignored; the reward loses ``-invalid_penalty`` for each counter ``invalid_*`` of the task's
  ``info``. Logged returns leave that out.

Everything else is PPO's, stage by stage. ``configs/agent/masked_ppo_paper.yaml`` states the options with which the
paper's released code ran; docs/masked_ppo.md tells them apart.
"""

import dataclasses
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from rlx.agents import fields
from rlx.learning import on_policy
from rlx.learning.on_policy import Batch, Losses
from rlx.networks import running_statistics
from rlx.networks.conv import MAP_TRUNKS, ConvNetwork
from rlx.networks.heads import PolicyNetwork, ValueNetwork
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import invalid_actions, optimisers
from rlx.ops.distributions import FactoredCategorical
from rlx.ops.optimisers import Optimiser
from rlx.settings import hyper
from rlx.types import (
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
class MaskedPPOState:
    """PPO's state: parameters, the optimiser's state, statistics of the observations."""

    params: PyTree
    opt_state: PyTree
    statistics: RunningStatistics | None


@struct.dataclass
class MaskedPPO:
    """PPO for discrete and factored actions with invalid choices, in the regimes of Huang and Ontañón."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    regime: str = hyper(
        "masking", "what is made of the task's masks", choices=("masking", "naive", "penalty"), static=True
    )
    invalid_penalty: float = hyper(
        0.0, "regime=penalty: added to the reward for each counter of an invalid action", within="(-inf, 0]"
    )
    mask_evaluation: bool = hyper(True, "evaluate with masks; false: 'masking removed'", static=True)
    num_envs: int = fields.num_envs(64)
    rollout_length: int = fields.rollout_length(64)
    num_epochs: int = fields.num_epochs(4)
    num_minibatches: int = fields.num_minibatches(16)
    learning_rate: float = fields.learning_rate(0.001)
    anneal: bool = hyper(True, "lower the learning rate linearly to 0", static=True)
    anneal_steps: int = hyper(
        0, "environment steps over which the learning rate falls; 0: total_steps", within="[0, inf)", static=True
    )
    anneal_ahead: bool = hyper(False, "count the rollout just taken in the schedule of the learning rate", static=True)
    adam_epsilon: float = fields.adam_epsilon(1e-05)
    discount: float = fields.discount(0.99)
    trace_decay: float = fields.trace_decay(0.95)
    truncation_is_terminal: bool = fields.truncation_is_terminal(False)
    clip_epsilon: float = fields.clip_epsilon(0.2)
    ratio: str = hyper(
        "joint",
        "the ratio that is clipped: of all components together or of each",
        choices=("joint", "component"),
        static=True,
    )
    clip_value_loss: bool = fields.clip_value_loss(False)
    value_coefficient: float = fields.value_coefficient(0.5)
    entropy_coefficient: float = hyper(0.01, "weight of the entropy term", within="[0, inf)")
    entropy: str = hyper(
        "exact",
        "exact: entropy is a bonus; taken: the released code's, -p log p of the actions taken, and a cost",
        choices=("exact", "taken"),
        static=True,
    )
    max_grad_norm: float = fields.max_grad_norm(0.5)
    separate_clips: bool = hyper(False, "clip the gradients of actor and critic each by their own norm", static=True)
    advantages: str = hyper(
        "minibatch",
        "where advantages are standardised: over each minibatch, or over the whole batch",
        choices=("minibatch", "batch"),
        static=True,
    )
    normalise_observations: bool = fields.normalise_observations(True)
    step_statistics: bool = hyper(
        False, "take each observation into the statistics before acting on it, as the released code", static=True
    )
    statistics_start: float = hyper(0.0, "samples that mean 0 and variance 1 count for at first", within="[0, inf)")
    restarts: bool = hyper(
        False, "begin every batch with new episodes, as the released code; it must be longer than they are", static=True
    )
    hidden_sizes: tuple[int, ...] = hyper((64, 64), "hidden units off the paper's maps", within="[1, inf)", static=True)
    activation: str = hyper("tanh", "activation of those hidden layers", choices=("tanh", "relu", "swish"), static=True)

    @property
    def needs(self) -> Needs:
        """Long rollouts, of new episodes if asked for; parameters and statistics act, which may follow every step."""
        return Needs(
            self.num_envs,
            self.rollout_length,
            fresh_episodes=self.restarts,
            acting=("params", "statistics"),
            memory=on_policy.STATISTICS if self.follows else None,
        )

    @property
    def follows(self) -> bool:
        """Whether statistics take in every timestep before it is acted on."""
        return self.normalise_observations and self.step_statistics

    def init(self, key: Key) -> MaskedPPOState:
        """Return a new agent's state.

        Raises:
            ConfigurationError: if the batch cannot be cut into equal minibatches, or there is a single advantage.
        """
        batch_size = self.num_envs * self.rollout_length
        on_policy.check_minibatches(batch_size, self.num_minibatches)
        parts = self.num_minibatches if self.advantages == "minibatch" else 1
        on_policy.check_spread(batch_size, parts, "lower num_minibatches or raise num_envs or rollout_length")
        actor_key, critic_key = jax.random.split(key)
        obs = jnp.zeros(self.spec.obs_shape)
        params = {"actor": self.actor.init(actor_key, obs), "critic": self.critic.init(critic_key, obs)}
        statistics = running_statistics.init(self.spec.obs_shape, self.statistics_start)
        return MaskedPPOState(
            params=params,
            opt_state=self.optimiser.init(params),
            statistics=statistics if self.normalise_observations else None,
        )

    def act(
        self, state: MaskedPPOState, timestep: Timestep, key: Key, clock: Clock
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Sample actions; the log-probabilities ``[N, D]`` of their components travel with the transitions."""
        obs = on_policy.normalised(timestep.memory if self.follows else state.statistics, timestep.obs)
        logits = self.actor.apply(state.params["actor"], obs)
        action = self.policy_of(logits, self.acting_mask(timestep)).sample(key)
        log_prob = self.policy_of(logits, self.learning_mask(timestep)).component_log_prob(action)
        extras = {"log_prob": log_prob} | ({"normalised_obs": obs} if self.follows else {})
        return action.reshape(-1, *self.spec.action_shape), extras

    def update(
        self, state: MaskedPPOState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[MaskedPPOState, Metrics]:
        """Run the epochs of the surrogate on one rollout, then take its observations into the statistics."""
        (params, opt_state), updates = on_policy.minibatch_epochs(
            self.loss,
            self.optimiser,
            self.learning_rate * self.annealing(clock),
            (state.params, state.opt_state),
            self.make_batch(state, rollout),
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        metrics = on_policy.metrics_of(updates)
        of_rollout = {
            # the paper's approximate KL: mean of ln pi_old - ln pi_new in the last minibatch
            "last_approx_kl": updates["log_prob_drop"][-1],
            **invalid_actions.rates(rollout.info, rollout.action_mask, self.spec.nvec),
        }
        metrics = dataclasses.replace(metrics, means=metrics.means | of_rollout)
        return MaskedPPOState(params, opt_state, on_policy.updated(state.statistics, rollout.obs)), metrics

    def policy(self, state: MaskedPPOState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one, with the mask unless it was removed."""
        logits = self.actor.apply(state.params["actor"], on_policy.normalised(state.statistics, timestep.obs))
        policy = self.policy_of(logits, self.acting_mask(timestep) if self.mask_evaluation else None)
        action = policy.mode() if mode == "greedy" else policy.sample(key)
        return action.reshape(-1, *self.spec.action_shape)

    @property
    def actor(self) -> nn.Module:
        """Observations to logits ``[..., sum(nvec)]``."""
        if self.spec.obs_shape in MAP_TRUNKS:
            return ConvNetwork(MAP_TRUNKS[self.spec.obs_shape], (128,), sum(self.spec.nvec))
        return PolicyNetwork(self.spec.action_space, self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def critic(self) -> nn.Module:
        """Observations to values ``[...]``."""
        if self.spec.obs_shape in MAP_TRUNKS:
            return ConvNetwork(MAP_TRUNKS[self.spec.obs_shape], (128,), None)
        return ValueNetwork(self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the gradient norm, of both networks together or of each."""
        adam = optimisers.adam(max_grad_norm=self.max_grad_norm, eps=self.adam_epsilon)
        return optimisers.separately(adam) if self.separate_clips else adam

    def annealing(self, clock: Clock) -> jax.Array:
        """The share of the learning rate that is left: the paper's ``1 - 2048 (k + 1) / 500000`` in update ``k``."""
        if not self.anneal:
            return jnp.ones(())
        steps = (clock if self.anneal_ahead else clock.before).env_steps
        horizon = self.anneal_steps or clock.total_steps
        return 1.0 - jnp.minimum(steps / horizon, 1.0)

    def acting_mask(self, step: Timestep | Transition) -> jax.Array | None:
        """The mask of the policy that acts in training, ``m`` but for ``regime=penalty``."""
        return None if self.regime == "penalty" else step.action_mask

    def learning_mask(self, step: Timestep | Transition) -> jax.Array | None:
        """The mask of the policy whose probabilities are learned from, ``m`` for ``regime=masking`` only."""
        return step.action_mask if self.regime == "masking" else None

    def policy_of(self, logits: jax.Array, mask: jax.Array | None) -> FactoredCategorical:
        """The policy of those logits: a softmax over the valid choices of each component (paper, section 3)."""
        return FactoredCategorical(logits, self.spec.nvec, mask)

    def make_batch(self, state: MaskedPPOState, rollout: Transition) -> Batch:
        """PPO's batch of a rollout ``[T, N]``, flattened to ``[T * N]``, after the penalty."""
        if self.regime == "penalty":
            # r + r_inv (n_null + n_busy + n_owner)
            reward = rollout.reward + self.invalid_penalty * invalid_actions.number(rollout.info, self.spec.name)
            rollout = dataclasses.replace(rollout, reward=reward)
        if self.truncation_is_terminal:
            rollout = on_policy.without_truncations(rollout)
        obs, value, next_value = self.values_of(state, rollout)
        action = rollout.action.reshape(*rollout.reward.shape, len(self.spec.nvec))
        learned = dataclasses.replace(rollout, action=action, action_mask=self.learning_mask(rollout))
        batch = on_policy.make_batch(learned, obs, value, next_value, self.discount, self.trace_decay)
        if self.advantages == "minibatch":
            return batch
        # By the sample deviation, as the released code.
        return dataclasses.replace(batch, advantage=on_policy.standardise(batch.advantage, ddof=1, epsilon=1e-10))

    def values_of(self, state: MaskedPPOState, rollout: Transition) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Observations ``[T, N, ...]`` as the networks see them, their values, and those of what they led to."""
        value_of = lambda obs: self.critic.apply(state.params["critic"], obs)  # noqa: E731
        if not self.follows:
            obs = on_policy.normalised(state.statistics, rollout.obs)
            return obs, value_of(obs), value_of(on_policy.normalised(state.statistics, rollout.next_obs))
        obs = rollout.extras["normalised_obs"]
        value = value_of(obs)
        statistics = on_policy.updated(state.statistics, rollout.obs)
        next_value = value_of(on_policy.normalised(statistics, rollout.next_obs))
        # What was acted on next was normalised then; only what no action followed is left to be.
        acted_on = ~(rollout.terminated | rollout.truncated).at[-1].set(True)
        return obs, value, jnp.where(acted_on, jnp.roll(value, -1, axis=0), next_value)

    def loss(self, params: PyTree, batch: Batch) -> tuple[jax.Array, Losses]:
        """Clipped surrogate, value loss and entropy term of one minibatch ``[B]``."""
        chex.assert_rank([batch.action, batch.log_prob, batch.advantage, batch.value_target], [2, 2, 1, 1])
        policy = self.policy_of(self.actor.apply(params["actor"], batch.obs), batch.action_mask)
        value = self.critic.apply(params["critic"], batch.obs)
        advantage = on_policy.standardise(batch.advantage) if self.advantages == "minibatch" else batch.advantage

        log_prob = policy.component_log_prob(batch.action)
        log_ratio = log_prob - batch.log_prob
        # of the product over components d, or of each d
        ratios = log_ratio.sum(-1, keepdims=True) if self.ratio == "joint" else log_ratio
        surrogate = jax.vmap(on_policy.surrogates, (1, None, None))(ratios, advantage, self.clip_epsilon).mean(1).mean()
        value_loss = on_policy.mean_value_loss(value, batch, self.clip_epsilon if self.clip_value_loss else None)
        entropy = self.entropy_of(policy, log_prob)
        # a bonus, but a cost in the released code
        sign = -1.0 if self.entropy == "exact" else 1.0
        loss = surrogate + self.value_coefficient * value_loss + sign * self.entropy_coefficient * entropy
        metrics = {
            "loss": loss,
            "policy_loss": surrogate,
            "value_loss": value_loss,
            "entropy": entropy,
            "log_prob_drop": -log_ratio.mean(),
        }
        return loss, metrics | on_policy.ratio_metrics(ratios, self.clip_epsilon)

    def entropy_of(self, policy: FactoredCategorical, log_prob: jax.Array) -> jax.Array:
        """Mean of ``H``, or of ``-p ln p`` of the choices taken: as the ratio, of all components together or of one."""
        each = policy.component_entropy() if self.entropy == "exact" else -jnp.exp(log_prob) * log_prob
        return (each.sum(-1) if self.ratio == "joint" else each).mean()
