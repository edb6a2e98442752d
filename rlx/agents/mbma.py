"""Many-actions policy gradient: Nauman and Cygan 2023, "On Many-Actions Policy Gradient" (MBMA).

PPO, whose policy loss averages over more than the one action taken in each state. ``source`` says where the extra
samples come from; collection, critic and optimiser are PPO's, and the critic never sees them:

* ``none``: there are none. This is PPO, bit for bit.
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
from collections.abc import Callable
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from rlx.agents import ppo
from rlx.agents.ppo import Batch, Distribution
from rlx.errors import ConfigurationError
from rlx.networks import dynamics, running_statistics
from rlx.networks.dynamics import DynamicsModel
from rlx.networks.ensemble import apply_ensemble, init_ensemble
from rlx.networks.heads import PairNetwork, PolicyNetwork, ValueNetwork
from rlx.networks.initialisers import orthogonal
from rlx.networks.running_statistics import RunningStatistics
from rlx.ops import gradient_variance, optimisers, policy_loss
from rlx.ops.imagination import Dynamics, Situation, follow, imagined_advantages
from rlx.ops.optimisers import Optimiser
from rlx.replay import ring, sampling
from rlx.replay.ring import Ring
from rlx.replay.transitions import example_transition, replay_of
from rlx.settings import environment_step, hyper
from rlx.types import Box, Clock, Discrete, EnvSpec, Key, Metrics, Mode, PyTree, Timestep, Transition

# States of a task ``[B]``, actions and key to the states and the timestep that follow.
Simulator = Callable[[PyTree, jax.Array, Key], tuple[PyTree, Timestep]]


@struct.dataclass
class Scorer:
    """Parameters and optimiser state of what values extra samples: the model, or the Q-functions."""

    params: PyTree
    opt_state: PyTree


@struct.dataclass
class MBMAState:
    """PPO's state, the scorer, and the transitions the model learns from; ``None`` where the source has none."""

    params: PyTree
    opt_state: PyTree
    statistics: RunningStatistics | None
    scorer: Scorer | None
    replay: Ring | None


@struct.dataclass
class Extras:
    """Extra samples ``[B, K]`` of the policy loss beside the real ones ``[B]``.

    ``obs`` and ``action_mask`` are ``None`` where they are actions of the real states.
    """

    obs: jax.Array | None
    action_mask: jax.Array | None
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array


@struct.dataclass
class MBMA:
    """PPO with extra samples in its policy loss, for discrete and continuous actions.

    ``simulator`` is the environment's step, for ``source=simulator``; ``make_agent`` fills it in.
    """

    accepts: ClassVar[tuple[type, ...]] = (Discrete, Box)

    spec: EnvSpec = struct.field(pytree_node=False)
    simulator: Simulator | None = environment_step()
    source: str = hyper(
        "model",
        "of the extra samples",
        choices=("none", "model", "states", "critic", "simulator"),
        static=True,
    )
    num_extras: int = hyper(8, "extra samples a state", within="[1, inf)", static=True)
    horizon: int = hyper(
        8,
        "longest rollout of model or simulator; of source=states always num_extras + 1",
        within="[1, inf)",
        static=True,
    )
    extras_start: int = hyper(10_000, "environment steps before the first extra sample", within="[0, inf)", static=True)
    extras_growth: float = hyper(
        0.15, "share of all updates in which numbers and lengths grow from 1 and 2; 0: none", within="[0, 1]"
    )
    num_envs: int = hyper(64, "parallel environments of one member", within="[1, inf)", static=True)
    rollout_length: int = hyper(64, "steps of each environment in one learning event", within="[1, inf)", static=True)
    num_epochs: int = hyper(4, "passes over the batch", within="[1, inf)", static=True)
    num_minibatches: int = hyper(16, "minibatches a pass", within="[1, inf)", static=True)
    learning_rate: float = hyper(1e-3, "Adam's step size", within="(0, inf)")
    anneal: bool = hyper(True, "lower the learning rate linearly to 0 over total_steps", static=True)
    discount: float = hyper(0.99, "discount of one step", within="[0, 1]")
    trace_decay: float = hyper(0.95, "lambda of real and imagined advantages", within="[0, 1]")
    truncation_is_terminal: bool = hyper(False, "do not bootstrap at time limits, as the released code", static=True)
    clip_epsilon: float = hyper(0.2, "clip range of the probability ratio", within="(0, inf)")
    clip_value_loss: bool = hyper(False, "clip the change of the value as that of the policy", static=True)
    value_coefficient: float = hyper(0.5, "weight of the value loss", within="[0, inf)")
    entropy_coefficient: float = hyper(0.0, "weight of the entropy bonus", within="[0, inf)")
    max_grad_norm: float = hyper(0.5, "largest global norm of a gradient", within="(0, inf)")
    reward_scale: float = hyper(1.0, "rewards are learned from times this", within="(0, inf)")
    normalise_observations: bool = hyper(
        False, "standardise the observations of actor and critic by their running statistics", static=True
    )
    hidden_sizes: tuple[int, ...] = hyper((64, 64), "hidden units of the actor", within="[1, inf)", static=True)
    critic_hidden_sizes: tuple[int, ...] = hyper((64, 64), "hidden units of the critic", within="[1, inf)", static=True)
    activation: str = hyper(
        "tanh", "of their hidden layers", choices=("tanh", "relu", "swish", "leaky_relu"), static=True
    )
    squash_mean: bool = hyper(False, "keep the mean of continuous actions in (-1, 1) by a tanh", static=True)
    model_hidden_sizes: tuple[int, ...] = hyper(
        (128, 128), "hidden units of the model's networks, and of the Q-functions", within="[1, inf)", static=True
    )
    model_learning_rate: float = hyper(3e-4, "step size of the model's Adam", within="(0, inf)")
    model_adam_epsilon: float = hyper(1e-8, "added to the root in its denominator", within="(0, inf)")
    model_updates: int = hyper(320, "gradient updates of the model in a learning event", within="[1, inf)", static=True)
    first_fit: int = hyper(8, "times as many in the first", within="[1, inf)", static=True)
    model_batch_size: int = hyper(128, "transitions in each", within="[1, inf)", static=True)
    replay_size: int = hyper(200_000, "transitions the model's replay holds", within="[1, inf)", static=True)
    predict_termination: bool = hyper(False, "let the model learn where episodes end", static=True)
    diagnosis_lags: int = hyper(
        0,
        "steps that the task remembers: log what more actions and more steps would gain; 0: do not",
        within="[0, inf)",
        static=True,
    )
    diagnosis_price: float = hyper(0.1, "of an action in every state, in lengths of the rollout", within="[0, inf)")

    def init(self, key: Key) -> MBMAState:
        """Return a new agent's state.

        Raises:
            ConfigurationError: if the batch cannot be cut into equal minibatches, the replay is too small, there is
                no simulator to rewind, or a diagnosis has too few actions or steps.
        """
        ppo.check_minibatches(self.num_envs * self.rollout_length, self.num_minibatches)
        if self.diagnosis_lags and self.source in ("none", "states"):
            raise ConfigurationError(
                f"diagnosis_lags needs extra actions, and source={self.source} does not draw any; leave it out"
            )
        if self.diagnosis_lags >= self.rollout_length:
            raise ConfigurationError(
                f"diagnosis_lags={self.diagnosis_lags} needs a longer rollout than rollout_length={self.rollout_length}"
            )
        if self.rewinds and self.simulator is None:
            raise ConfigurationError(
                "source=simulator rewinds the environment, and a spec is none: make_agent('mbma', make_env(...))"
            )
        actor_key, critic_key, scorer_key = jax.random.split(key, 3)
        obs = jnp.zeros(self.spec.obs_shape)
        params = {"actor": self.actor.init(actor_key, obs), "critic": self.critic.init(critic_key, obs)}
        scorer = None
        if self.imagines:
            learned = self.model.init(scorer_key)
            scorer = Scorer(learned, self.model_optimiser.init(learned))
        elif self.source == "critic":
            pair = (self.flat(obs), jnp.zeros(dynamics.action_size(self.spec.action_space)))
            learned = init_ensemble(self.q_network, scorer_key, 2, *pair)
            scorer = Scorer(learned, self.optimiser.init(learned))
        return MBMAState(
            params=params,
            opt_state=self.optimiser.init(params),
            statistics=running_statistics.init(self.spec.obs_shape) if self.normalise_observations else None,
            scorer=scorer,
            replay=self.empty_replay() if self.imagines else None,
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
        extras, weights, metrics = None, jnp.zeros(0), Metrics()
        if self.source != "none":
            key, fit_key, draw_key = jax.random.split(key, 3)
            count, horizon = self.schedule(clock)
            state, metrics = self.fit(state, rollout, batch, fit_key, clock)
            extras = self.draw_if(clock.iterations >= self.idle_events, state, rollout, batch, draw_key, horizon)
            weights = (jnp.arange(self.num_extras) < count).astype(jnp.float32)
            metrics |= {"extra_samples": count.astype(jnp.float32), "horizon": horizon.astype(jnp.float32)}
            metrics |= self.diagnosis(state, batch, extras) if self.diagnosis_lags else {}
        params, opt_state, updates = ppo.minibatch_epochs(
            lambda params, samples: self.loss(params, samples[0], samples[1], weights),
            self.optimiser,
            self.learning_rate * (1.0 - clock.progress if self.anneal else 1.0),
            state.params,
            state.opt_state,
            (batch, extras),
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        statistics = state.statistics
        if statistics is not None:
            statistics = running_statistics.update(statistics, rollout.obs)
        state = dataclasses.replace(state, params=params, opt_state=opt_state, statistics=statistics)
        return state, ppo.mean_metrics(updates) | metrics

    def policy(self, state: MBMAState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state, timestep.obs, timestep.action_mask)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def rewinds(self) -> bool:
        """Whether a rollout has to carry the states of the task."""
        return self.source == "simulator"

    @property
    def imagines(self) -> bool:
        """Whether there is a model."""
        return self.source in ("model", "states")

    @property
    def idle_events(self) -> int:
        """Learning events without extra samples."""
        return self.extras_start // (self.num_envs * self.rollout_length)

    @property
    def longest(self) -> int:
        """Steps of a rollout at full length; one that passes through ``K`` states needs ``K + 1``."""
        return self.num_extras + 1 if self.source == "states" else self.horizon

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
    def q_network(self) -> PairNetwork:
        """One Q-function, made as the critic is."""
        return PairNetwork(1, self.model_hidden_sizes, self.activation, orthogonal(math.sqrt(2)))

    @property
    def model(self) -> DynamicsModel:
        """Raw observations and actions to what follows."""
        return DynamicsModel(self.spec, self.model_hidden_sizes, self.predict_termination)

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the global gradient norm, PPO's."""
        return optimisers.adam(max_grad_norm=self.max_grad_norm, eps=1e-5)

    @property
    def model_optimiser(self) -> Optimiser:
        """Adam."""
        return optimisers.adam(eps=self.model_adam_epsilon)

    def empty_replay(self) -> Ring:
        """What the model will learn from."""
        return replay_of(example_transition(self.spec), self.replay_size, self.num_envs, self.rollout_length, 1)

    def distribution(self, state: MBMAState, obs: jax.Array, mask: jax.Array | None) -> Distribution:
        """The policy in ``obs``."""
        outputs = self.actor.apply(state.params["actor"], ppo.normalised(state.statistics, obs))
        return ppo.action_distribution(self.spec, outputs, mask)

    def value(self, state: MBMAState, obs: jax.Array) -> jax.Array:
        """The critic's value of ``obs``."""
        return self.critic.apply(state.params["critic"], ppo.normalised(state.statistics, obs))

    def flat(self, obs: jax.Array) -> jax.Array:
        """Observations as vectors."""
        return dynamics.flat_observation(self.spec, obs)

    def make_batch(self, state: MBMAState, rollout: Transition) -> Batch:
        """PPO's batch of a rollout ``[T, N]``, flattened to ``[T * N]``."""
        if self.truncation_is_terminal:
            rollout = ppo.without_truncations(rollout)
        value, next_value = self.value(state, rollout.obs), self.value(state, rollout.next_obs)
        advantage = ppo.lambda_advantages(rollout, value, next_value, self.discount, self.trace_decay)
        batch = Batch(
            obs=ppo.normalised(state.statistics, rollout.obs),
            action=rollout.action,
            action_mask=rollout.action_mask,
            log_prob=rollout.extras["log_prob"],
            value=value,
            advantage=advantage,
            value_target=advantage + value,
        )
        return ppo.flattened(batch)

    def schedule(self, clock: Clock) -> tuple[jax.Array, jax.Array]:
        """Extra samples a state and length of rollouts in this learning event, int32; 0 before the first sample.

        With ``k`` counting the events that have extra samples, ``min(K, floor(K k / L + 1))`` and
        ``min(H, floor(H k / L + 2))``, ``L`` a share of all events (released code).
        """
        active = clock.iterations + 1 - self.idle_events
        length = self.extras_growth * (clock.total_steps // (self.num_envs * self.rollout_length))
        grown = jnp.where(length > 0, active / jnp.maximum(length, 1e-6), jnp.inf)
        count = jnp.minimum(self.num_extras, jnp.floor(self.num_extras * grown + 1))
        steps = self.num_extras if self.source == "states" else self.horizon
        horizon = jnp.minimum(self.longest, jnp.floor(steps * grown + 2))
        return jnp.where(active > 0, count, 0).astype(jnp.int32), jnp.where(active > 0, horizon, 0).astype(jnp.int32)

    def fit(
        self, state: MBMAState, rollout: Transition, batch: Batch, key: Key, clock: Clock
    ) -> tuple[MBMAState, Metrics]:
        """Bring model or Q-functions up to date; the simulator needs nothing."""
        if self.source == "critic":
            return self.fit_q_functions(state, batch, key)
        return self.fit_model(state, rollout, key, clock) if self.imagines else (state, {})

    def fit_model(self, state: MBMAState, rollout: Transition, key: Key, clock: Clock) -> tuple[MBMAState, Metrics]:
        """Store the rollout and, once there are to be extra samples, descend the model's loss."""
        assert state.scorer is not None
        assert state.replay is not None
        written = clock.iterations * self.rollout_length
        replay = ring.add(state.replay, dataclasses.replace(rollout, extras={}, info={}), written)
        rows = ring.size(replay, written + self.rollout_length)
        updates = self.model_updates * jnp.where(clock.iterations == self.idle_events, self.first_fit, 1)
        updates = jnp.where(clock.iterations < self.idle_events, 0, updates)

        def step(number: jax.Array, carry: PyTree) -> PyTree:
            model = carry[0]
            row, env = sampling.uniform(jax.random.fold_in(key, number), rows, self.num_envs, self.model_batch_size)
            grads, losses = jax.grad(self.model.loss, has_aux=True)(model.params, ring.take(replay, row, env))
            learned = self.model_optimiser.step(grads, model.opt_state, model.params, self.model_learning_rate)
            return Scorer(*learned), losses

        losses = {f"{name}_loss": jnp.zeros(()) for name in self.model.networks}
        model, losses = jax.lax.fori_loop(0, updates, step, (state.scorer, losses))
        return dataclasses.replace(state, scorer=model, replay=replay), losses

    def fit_q_functions(self, state: MBMAState, batch: Batch, key: Key) -> tuple[MBMAState, Metrics]:
        """As many epochs as the critic's, towards the lambda-returns of the actions taken."""
        assert state.scorer is not None

        def loss(params: PyTree, batch: Batch) -> tuple[jax.Array, Metrics]:
            errors = self.q_values(params, batch.obs, batch.action) - batch.value_target
            loss = jnp.square(errors).mean(-1).sum()
            return loss, {"q_loss": loss}

        params, opt_state, metrics = ppo.minibatch_epochs(
            loss,
            self.optimiser,
            self.learning_rate,
            state.scorer.params,
            state.scorer.opt_state,
            batch,
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        return dataclasses.replace(state, scorer=Scorer(params, opt_state)), {"q_loss": metrics["q_loss"].mean()}

    def q_values(self, params: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both Q-functions, ``[2, ...]``, of observations as the critic sees them."""
        pair = (self.flat(obs), dynamics.action_vector(self.spec.action_space, action))
        return apply_ensemble(self.q_network, params, *pair)[..., 0]

    def draw_if(
        self, wanted: jax.Array, state: MBMAState, rollout: Transition, batch: Batch, key: Key, horizon: jax.Array
    ) -> Extras:
        """Extra samples if any are wanted; else zeros, and no computation."""
        draw = lambda: self.draw(state, rollout, batch, key, horizon)  # noqa: E731
        shapes = jax.eval_shape(draw)
        return jax.lax.cond(wanted, draw, lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))

    def draw(self, state: MBMAState, rollout: Transition, batch: Batch, key: Key, horizon: jax.Array) -> Extras:
        """Extra samples ``[B, K]`` for a rollout's states, with policy, critic and scorer as they are."""
        if self.source == "critic":
            return self.draw_by_q(state, rollout, batch, key)
        start = self.start_of(rollout)
        if self.source == "states":
            path_key, order_key = jax.random.split(key)
            return self.shuffled(self.imagine(state, start, path_key, horizon), order_key)

        def one(key: Key) -> Extras:
            path = dataclasses.replace(self.imagine(state, start, key, horizon), obs=None, action_mask=None)
            return jax.tree.map(lambda x: x[0], path)

        # One after the other: memory for one rollout, not for all.
        extras = jax.lax.map(one, jax.random.split(key, self.num_extras))
        return jax.tree.map(lambda x: x.swapaxes(0, 1), extras)

    def draw_by_q(self, state: MBMAState, rollout: Transition, batch: Batch, key: Key) -> Extras:
        """Extra actions, of advantage ``min(Q1, Q2) - V`` (QMA)."""
        _, obs, mask = self.start_of(rollout)
        policy = self.distribution(state, obs, mask)

        def one(key: Key) -> Extras:
            action = policy.sample(key)
            q_value = self.q_values(state.scorer.params, batch.obs, action).min(0)  # type: ignore[union-attr]
            return Extras(None, None, action, policy.log_prob(action), q_value - batch.value)

        return jax.vmap(one, out_axes=1)(jax.random.split(key, self.num_extras))

    def start_of(self, rollout: Transition) -> Situation:
        """Where imagined rollouts start: at every state of a rollout ``[T, N]``."""
        # What a model predicts are real numbers, whatever the task observes.
        obs = rollout.obs.astype(jnp.float32) if self.imagines else rollout.obs
        start = Situation(rollout.extras["task_state"] if self.rewinds else obs, obs, rollout.action_mask)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), start)

    def imagine(self, state: MBMAState, start: Situation, key: Key, horizon: jax.Array) -> Extras:
        """Follow the policy for ``longest`` steps of the model or the simulator.

        Returns:
            The samples met, ``[H, B]``, with the advantages of what is left of the first ``horizon`` steps.
        """
        policy = functools.partial(self.distribution, state)
        dynamics = self.simulator_step if self.rewinds else self.model_step(state)
        path = follow(policy, dynamics, start, key, self.longest)
        advantage = jax.vmap(imagined_advantages, (1, 1, 1, None, None, None), 1)(
            path.reward, path.goes_on, self.value(state, path.obs), horizon, self.discount, self.trace_decay
        )
        obs = ppo.normalised(state.statistics, path.obs[:-1])
        return Extras(obs, path.action_mask, path.action, path.log_prob, advantage)

    def model_step(self, state: MBMAState) -> Dynamics:
        """One step of the learned model."""

        def step(situation: Situation, action: jax.Array, key: Key) -> tuple[Situation, jax.Array, jax.Array]:
            following = self.model.predict(state.scorer.params, situation.obs, action)  # type: ignore[union-attr]
            situation = Situation(following.obs, following.obs, following.action_mask)
            return situation, following.reward, following.goes_on

        return step

    def simulator_step(
        self, situation: Situation, action: jax.Array, key: Key
    ) -> tuple[Situation, jax.Array, jax.Array]:
        """One step of the task itself; time limits are left out, since beyond them values are bootstrapped."""
        assert self.simulator is not None
        task_state, timestep = self.simulator(situation.state, action, key)
        goes_on = 1.0 - timestep.terminated.astype(jnp.float32)
        following = Situation(task_state, timestep.obs, timestep.action_mask)
        return following, self.reward_scale * timestep.reward, goes_on

    def shuffled(self, path: Extras, key: Key) -> Extras:
        """States 1 to ``K`` of rollouts ``[H, B]`` as samples ``[B, K]``, each step's in an order of its own.

        A minibatch of real states then holds as many imagined ones of each step, drawn independently of the real.
        """
        size = path.advantage.shape[1]
        keys = jax.random.split(key, self.num_extras)
        orders = jax.vmap(lambda key: jax.random.permutation(key, size), out_axes=1)(keys)
        steps = 1 + jnp.arange(self.num_extras)
        return jax.tree.map(lambda x: x[steps, orders], path)

    def diagnosis(self, state: MBMAState, batch: Batch, extras: Extras) -> Metrics:
        """What one more action in every state would take off the gradient's variance, and more steps at that price.

        Shares of the variance, by equation 14's two sides; noisy, to be averaged over updates, and 0 before the first
        extra sample. The gradient is that by the outputs of the actor.
        """
        gradients = self.output_gradients(state, batch, extras)
        gradients = gradients.reshape(self.rollout_length, self.num_envs, *gradients.shape[1:]).swapaxes(0, 1)
        found = gradient_variance.diagnose(gradients, self.diagnosis_price, self.diagnosis_lags)
        share = lambda gain: jnp.where(jnp.any(extras.advantage != 0), gain / found.variance, 0.0)  # noqa: E731
        return {"gain_of_an_action": share(found.action_gain), "gain_of_steps": share(found.step_gain)}

    def output_gradients(self, state: MBMAState, batch: Batch, extras: Extras) -> jax.Array:
        """``A grad ln pi`` of each real and extra action by the actor's outputs, ``[B, 1 + K, P]``."""
        outputs = self.actor.apply(state.params["actor"], batch.obs)

        def one(outputs: PyTree, mask: jax.Array | None, action: jax.Array, advantage: jax.Array) -> jax.Array:
            score = jax.grad(lambda outputs: ppo.action_distribution(self.spec, outputs, mask).log_prob(action))
            return advantage * ravel_pytree(score(outputs))[0]

        action, advantage = (
            jnp.concatenate([real[:, None], extra], axis=1)
            for real, extra in ((batch.action, extras.action), (batch.advantage, extras.advantage))
        )
        return jax.vmap(jax.vmap(one, (None, None, 0, 0)))(outputs, batch.action_mask, action, advantage)

    def loss(
        self, params: PyTree, batch: Batch, extras: Extras | None, weights: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Clipped surrogate over all samples, value loss and entropy bonus over the real ones of a minibatch ``[B]``.

        Args:
            params: of actor and critic.
            batch: the real samples ``[B]``.
            extras: the extra ones ``[B, K]``.
            weights: ``[K]``, 1 for those that count and 0 for the others.
        """
        chex.assert_rank([batch.log_prob, batch.advantage, batch.value_target], 1)
        outputs = self.actor.apply(params["actor"], batch.obs)
        policy = ppo.action_distribution(self.spec, outputs, batch.action_mask)
        value = self.critic.apply(params["critic"], batch.obs)

        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        losses = surrogates(log_ratio, batch.advantage, self.clip_epsilon)
        if extras is not None:
            if extras.obs is not None:
                outputs = self.actor.apply(params["actor"], extras.obs)
                log_prob = ppo.action_distribution(self.spec, outputs, extras.action_mask).log_prob(extras.action)
            else:
                log_prob = jax.vmap(policy.log_prob, 1, 1)(extras.action)
            extra_losses = jax.vmap(surrogates, (1, 1, None), 1)(
                log_prob - extras.log_prob, extras.advantage, self.clip_epsilon
            )
            # Every sample has weight 1 / (N + 1), the real one included.
            losses = (losses + (weights * extra_losses).sum(-1)) / (1.0 + weights.sum())
        surrogate = losses.mean()
        value_loss = ppo.mean_value_loss(value, batch, self.clip_epsilon if self.clip_value_loss else None)
        entropy = policy.entropy().mean()
        loss = surrogate + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        metrics = {"loss": loss, "policy_loss": surrogate, "value_loss": value_loss, "entropy": entropy}
        return loss, metrics | ppo.ratio_metrics(log_ratio, self.clip_epsilon)


def surrogates(log_ratio: jax.Array, advantage: jax.Array, clip_epsilon: float | jax.Array) -> jax.Array:
    """The clipped surrogate of each sample ``[B]``."""
    return jax.vmap(policy_loss.clipped_surrogate, in_axes=(0, 0, None))(log_ratio, advantage, clip_epsilon)
