"""Many-actions policy gradient: Nauman and Cygan 2023, "On Many-Actions Policy Gradient" (MBMA).

PPO, whose policy loss averages over more than the one action taken in each state. ``source`` says where the extra
samples come from; collection, critic and optimiser are PPO's, and the critic never sees them:

* ``none``: there are none. This is PPO, bit for bit, with ``normalise_advantages=false``, and with the same
  ``normalise_observations`` and ``entropy_coefficient``, whose defaults differ here.
* ``model``: more actions of the visited states, valued by rollouts of a learned model (MBMA, section 5).
* ``states``: states that such a rollout passes through, with its actions (MBPO-style).
* ``critic``: more actions of the visited states, valued by two Q-functions (QMA).
* ``simulator``: more actions of the visited states, valued by rollouts of the task itself, rewound to that state.

Number of extra samples and length of rollouts grow over training; both are masks over fixed shapes.
``configs/agent/mbma_code.yaml`` and ``mbma_paper.yaml`` state the published settings; docs/mbma.md tells them apart.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.errors import ConfigurationError
from rlx.learning import extra_samples, on_policy
from rlx.learning.extra_samples import ActorCritic, Extras, Imagination, Scalar, Source
from rlx.learning.extra_sources import CriticSource, Fit, ModelSource, ReplaySize, Simulator, SimulatorSource
from rlx.learning.on_policy import Batch, Losses
from rlx.networks import running_statistics
from rlx.networks.dynamics import DynamicsModel
from rlx.networks.heads import PairNetwork, PolicyNetwork, ValueNetwork
from rlx.networks.initialisers import orthogonal
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import optimisers
from rlx.ops.distributions import Distribution, policy_of
from rlx.ops.optimisers import Optimiser
from rlx.settings import environment_step, hyper
from rlx.types import Box, Clock, Discrete, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition

SOURCES = ("none", "model", "states", "critic", "simulator")
ACTIVATIONS = ("tanh", "relu", "swish", "leaky_relu")


@struct.dataclass
class MBMAState:
    """PPO's state, and what the source of extra samples has learned."""

    params: PyTree
    opt_state: PyTree
    statistics: RunningStatistics | None
    source: PyTree


@struct.dataclass
class MBMA:
    """PPO with extra samples in its policy loss, for discrete and continuous actions.

    ``simulator`` is the environment's step, for ``source=simulator``; ``make_agent`` fills it in.
    """

    accepts: ClassVar[tuple[type, ...]] = (Discrete, Box)

    spec: EnvSpec = struct.field(pytree_node=False)
    simulator: Simulator | None = environment_step()
    source: str = hyper("model", "where extra samples come from; none: PPO without any", choices=SOURCES, static=True)
    num_extras: int = hyper(8, "extra samples a state", within="[1, inf)", static=True)
    horizon: int = hyper(8, "longest rollout; source=states: with released_states only", within="[1, inf)", static=True)
    released_states: bool = hyper(False, "states: min(horizon, n + 2) steps for n of them, as released", static=True)
    extras_start: int = hyper(10_000, "environment steps before the first extra sample", within="[0, inf)", static=True)
    extras_growth: float = hyper(0.15, "share of updates in which numbers and lengths grow; 0: none", within="[0, 1]")
    num_envs: int = fields.num_envs(64)
    rollout_length: int = fields.rollout_length(64)
    num_epochs: int = fields.num_epochs(4)
    num_minibatches: int = fields.num_minibatches(16)
    learning_rate: float = fields.learning_rate(0.001)
    anneal: bool = fields.anneal(True)
    anneal_updates: bool = hyper(False, "lower the learning rate event by event, as the released code", static=True)
    discount: float = fields.discount(0.99)
    trace_decay: float = hyper(0.95, "lambda of real and imagined advantages", within="[0, 1]")
    truncation_is_terminal: bool = fields.truncation_is_terminal(False)
    clip_epsilon: float = fields.clip_epsilon(0.2)
    clip_value_loss: bool = fields.clip_value_loss(False)
    value_coefficient: float = fields.value_coefficient(0.5)
    entropy_coefficient: float = fields.entropy_coefficient(0.0)
    max_grad_norm: float = fields.max_grad_norm(0.5)
    reward_scale: float = hyper(1.0, "rewards are learned from times this", within="(0, inf)")
    normalise_observations: bool = hyper(
        False, "standardise the observations of actor and critic by their running statistics", static=True
    )
    hidden_sizes: tuple[int, ...] = hyper((64, 64), "hidden units of the actor", within="[1, inf)", static=True)
    critic_hidden_sizes: tuple[int, ...] = fields.critic_hidden_sizes((64, 64))
    activation: str = hyper("tanh", "activation of hidden layers", choices=ACTIVATIONS, static=True)
    squash_mean: bool = hyper(False, "keep the mean of continuous actions in (-1, 1) by a tanh", static=True)
    model_hidden_sizes: tuple[int, ...] = hyper(
        (128, 128), "hidden units of the model's networks, and of the Q-functions", within="[1, inf)", static=True
    )
    model_learning_rate: float = hyper(3e-4, "step size of the model's Adam", within="(0, inf)")
    model_adam_epsilon: float = hyper(1e-8, "epsilon in the denominator of the model's Adam", within="(0, inf)")
    model_updates: int = hyper(320, "gradient updates of the model in a learning event", within="[1, inf)", static=True)
    first_fit: int = hyper(8, "factor of model_updates in the first event with a model", within="[1, inf)", static=True)
    model_batch_size: int = hyper(128, "transitions in a minibatch of the model", within="[1, inf)", static=True)
    replay_size: int = hyper(200_000, "transitions the model's replay holds", within="[1, inf)", static=True)
    predict_termination: bool = hyper(False, "let the model learn where episodes end", static=True)
    diagnosis_lags: int = hyper(0, "log what actions or steps gain, by so many lags", within="[0, inf)", static=True)
    diagnosis_price: float = hyper(0.1, "diagnosis: price of an action, in rollout lengths", within="[0, inf)")

    @property
    def needs(self) -> Needs:
        """Long rollouts, with the task's states where it is rewound; parameters and statistics act."""
        rewinds = self.source == "simulator"
        return Needs(self.num_envs, self.rollout_length, task_states=rewinds, acting=("params", "statistics"))

    def init(self, key: Key) -> MBMAState:
        """Return a new agent's state.

        Raises:
            ConfigurationError: if the batch cannot be cut into equal minibatches, the replay is too small, there is
                no simulator to rewind, or a diagnosis has too few actions or steps.
        """
        on_policy.check_minibatches(self.num_envs * self.rollout_length, self.num_minibatches)
        extra_samples.check_diagnosis(self.diagnosis_lags, self.source, self.rollout_length)
        actor_key, critic_key, source_key = jax.random.split(key, 3)
        obs = jnp.zeros(self.spec.obs_shape)
        params = {"actor": self.actor.init(actor_key, obs), "critic": self.critic.init(critic_key, obs)}
        source = self.extra_source()
        return MBMAState(
            params=params,
            opt_state=self.optimiser.init(params),
            statistics=running_statistics.init(self.spec.obs_shape) if self.normalise_observations else None,
            source=None if source is None else source.init(source_key),
        )

    def act(self, state: MBMAState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Sample actions; their log-probabilities, before any clipping to [-1, 1], travel with the transitions."""
        policy = self.distribution(state, timestep.obs, timestep.action_mask)
        action = policy.sample(key)
        return action, {"log_prob": policy.log_prob(action)}

    def update(self, state: MBMAState, rollout: Transition, key: Key, clock: Clock) -> tuple[MBMAState, Metrics]:
        """Fit what values extra samples, draw them, and run the epochs of the surrogate on all samples."""
        rollout = dataclasses.replace(rollout, reward=self.reward_scale * rollout.reward)
        batch = self.make_batch(state, rollout)
        extras, weights, learned = None, jnp.zeros(0), None
        last: Losses = {}
        source = self.extra_source()
        if source is not None:
            key, fit_key, draw_key = jax.random.split(key, 3)
            count, horizon = self.schedule(clock)
            learned, last = source.fit(state.source, rollout, batch, fit_key, clock)
            draw = lambda: source.draw(learned, self.actor_critic(state), rollout, batch, draw_key, horizon)  # noqa: E731
            extras = extra_samples.computed_if(clock.iterations > self.idle_events, draw)
            weights = (jnp.arange(self.num_extras) < count).astype(jnp.float32)
            last |= {"extra_samples": count.astype(jnp.float32), "horizon": horizon.astype(jnp.float32)}
            if self.diagnosis_lags:
                outputs = self.actor.apply(state.params["actor"], batch.obs)
                gradients = extra_samples.output_gradients(self.spec, outputs, batch, extras)
                last |= extra_samples.diagnosis(
                    gradients, self.num_envs, count, self.diagnosis_price, self.diagnosis_lags
                )
        (params, opt_state), updates = on_policy.minibatch_epochs(
            lambda params, samples: self.loss(params, samples[0], samples[1], weights),
            self.optimiser,
            self.annealed_rate(clock),
            (state.params, state.opt_state),
            (batch, extras),
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        statistics = on_policy.updated(state.statistics, rollout.obs)
        return MBMAState(params, opt_state, statistics, learned), on_policy.metrics_of(updates, last)

    def policy(self, state: MBMAState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state, timestep.obs, timestep.action_mask)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def idle_events(self) -> int:
        """Learning events without extra samples."""
        return self.extras_start // (self.num_envs * self.rollout_length)

    @property
    def actor(self) -> PolicyNetwork:
        """Observations to the parameters of the action distribution."""
        return PolicyNetwork(
            self.spec.action_space, self.hidden_sizes, self.activation, self.spec.obs_shape, self.squash_mean
        )

    @property
    def critic(self) -> ValueNetwork:
        """Observations to state values."""
        return ValueNetwork(self.critic_hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the global gradient norm, PPO's."""
        return optimisers.adam(max_grad_norm=self.max_grad_norm, eps=1e-5)

    def annealed_rate(self, clock: Clock) -> Scalar:
        """The learning rate of actor, critic and Q-functions in a learning event."""
        progress = on_policy.progress_in_events(clock) if self.anneal_updates else clock.before.progress
        return self.learning_rate * (1.0 - progress if self.anneal else 1.0)

    def extra_source(self) -> Source | None:
        """Where extra samples come from, with its hyperparameters; ``None`` for none.

        Raises:
            ConfigurationError: if there should be a simulator to rewind, but there is none.
        """
        length = self.num_extras + 1 if self.source == "states" else self.horizon
        length = max(length, self.horizon) if self.released_states else length
        imagination = Imagination(self.num_extras, length, self.discount, self.trace_decay)
        if self.source in ("model", "states"):
            model = DynamicsModel(self.spec, self.model_hidden_sizes, self.predict_termination)
            optimiser = optimisers.adam(eps=self.model_adam_epsilon)
            fit = Fit(self.idle_events + 1, self.model_updates, self.first_fit, self.model_batch_size)
            size = ReplaySize(self.replay_size, self.num_envs, self.rollout_length)
            takes_states = self.source == "states"
            return ModelSource(imagination, takes_states, model, optimiser, self.model_learning_rate, fit, size)
        if self.source == "critic":
            network = PairNetwork(1, self.model_hidden_sizes, self.activation, orthogonal(math.sqrt(2)))
            epochs = (self.num_epochs, self.num_minibatches, self.num_extras)
            return CriticSource(network, self.spec, self.optimiser, self.annealed_rate, *epochs)
        if self.source == "none":
            return None
        if self.simulator is None:
            raise ConfigurationError(
                "source=simulator rewinds the environment, and a spec is none: make_agent('mbma', make_env(...))"
            )
        return SimulatorSource(imagination, self.simulator, self.reward_scale)

    def distribution(self, state: MBMAState, obs: jax.Array, mask: jax.Array | None) -> Distribution:
        """The policy in ``obs``."""
        outputs = self.actor.apply(state.params["actor"], on_policy.normalised(state.statistics, obs))
        return policy_of(self.spec.action_space, outputs, mask)

    def value(self, state: MBMAState, obs: jax.Array) -> jax.Array:
        """The critic's value of ``obs``."""
        return self.critic.apply(state.params["critic"], on_policy.normalised(state.statistics, obs))

    def actor_critic(self, state: MBMAState) -> ActorCritic:
        """Policy and critic as functions of raw observations."""
        seen = functools.partial(on_policy.normalised, state.statistics)
        return ActorCritic(functools.partial(self.distribution, state), functools.partial(self.value, state), seen)

    def make_batch(self, state: MBMAState, rollout: Transition) -> Batch:
        """PPO's batch of a rollout ``[T, N]``, flattened to ``[T * N]``."""
        if self.truncation_is_terminal:
            rollout = on_policy.without_truncations(rollout)
        value, next_value = self.value(state, rollout.obs), self.value(state, rollout.next_obs)
        obs = on_policy.normalised(state.statistics, rollout.obs)
        return on_policy.make_batch(rollout, obs, value, next_value, self.discount, self.trace_decay)

    def schedule(self, clock: Clock) -> tuple[jax.Array, jax.Array]:
        """Extra samples a state and length of rollouts in this learning event, int32; 0 before the first sample."""
        events = clock.iterations - self.idle_events
        grown = extra_samples.share_grown(events, self.extras_growth * clock.total_iterations)
        if self.source == "states":
            return extra_samples.states_and_steps(self.num_extras, grown, self.horizon, self.released_states)
        count = extra_samples.floor_of(self.num_extras, grown, first=1)  # min(K, floor(K k / L + 1))
        return count, extra_samples.floor_of(self.horizon, grown, first=2)  # min(H, floor(H k / L + 2))

    def loss(self, params: PyTree, batch: Batch, extras: Extras | None, weights: jax.Array) -> tuple[jax.Array, Losses]:
        """Clipped surrogate over all samples, value loss and entropy bonus over the real ones of a minibatch ``[B]``.

        Args:
            params: of actor and critic.
            batch: the real samples ``[B]``.
            extras: the extra ones ``[B, K]``.
            weights: ``[K]``, 1 for those that count and 0 for the others.
        """
        chex.assert_rank([batch.log_prob, batch.advantage, batch.value_target], 1)
        outputs = self.actor.apply(params["actor"], batch.obs)
        policy = policy_of(self.spec.action_space, outputs, batch.action_mask)
        value = self.critic.apply(params["critic"], batch.obs)

        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        losses = on_policy.surrogates(log_ratio, batch.advantage, self.clip_epsilon)
        if extras is not None:
            extras = extra_samples.without_uncounted(extras, batch, weights)
            if extras.obs is not None:
                outputs = self.actor.apply(params["actor"], extras.obs)
                log_prob = policy_of(self.spec.action_space, outputs, extras.action_mask).log_prob(extras.action)
            else:
                log_prob = jax.vmap(policy.log_prob, 1, 1)(extras.action)
            ratios = log_prob - extras.log_prob
            extra = jax.vmap(on_policy.surrogates, (1, 1, None), 1)(ratios, extras.advantage, self.clip_epsilon)
            # 1 / (N + 1) sum_n l_n in each state, the real sample included.
            losses = (losses + (weights * extra).sum(-1)) / (1.0 + weights.sum())
        surrogate = losses.mean()
        value_loss = on_policy.mean_value_loss(value, batch, self.clip_epsilon if self.clip_value_loss else None)
        entropy = policy.entropy().mean()
        loss = surrogate + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        metrics = {"loss": loss, "policy_loss": surrogate, "value_loss": value_loss, "entropy": entropy}
        return loss, metrics | on_policy.ratio_metrics(log_ratio, self.clip_epsilon)
