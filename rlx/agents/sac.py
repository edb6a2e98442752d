"""Soft actor-critic with automatic temperature: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications".

Twin critics, a squashed Gaussian policy, and a temperature that keeps the policy's entropy near a target.

One learning event: every environment takes ``rollout_length`` steps, the transitions enter the replay, and once
``learning_starts`` steps have been taken ``num_updates`` minibatches are drawn from it. As many updates as steps, as in
the paper, are ``num_updates`` = ``num_envs`` x ``rollout_length``.

What `rlx.agents.ace` composes anew takes ``weights`` ``[D]`` of the action's dimensions in the entropy; they are
``None`` here, for ones.
"""

from typing import Any, ClassVar, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning import off_policy
from rlx.learning.off_policy import Losses, learn_from_replay
from rlx.networks.dynamics import flat_observation
from rlx.networks.ensemble import apply_ensemble, init_ensemble
from rlx.networks.heads import GaussianNetwork, PairNetwork
from rlx.networks.initialisers import glorot_uniform
from rlx.ops import optimisers, polyak, td
from rlx.ops.distributions import TanhNormal
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Replay, Sample
from rlx.replay.transitions import example_transition
from rlx.settings import hyper
from rlx.types import Box, Clock, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition

ACTIVATIONS = ("relu", "tanh", "swish", "elu-relu")


class Learner(NamedTuple):
    """What gradient updates change.

    Attributes:
        params: of ``actor``, ``critics`` ``[2, ...]`` and ``log_alpha``.
        target_params: of the critics' targets.
        opt_state: by name, as ``params``.
    """

    params: PyTree
    target_params: PyTree
    opt_state: PyTree


@struct.dataclass
class SACState:
    """A `Learner`'s parts, and the replay."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay


@struct.dataclass
class SAC:
    """SAC for continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Box,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = fields.num_envs(1)
    rollout_length: int = fields.rollout_length(1)
    num_updates: int = fields.num_updates(1)
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    learning_starts: int = fields.learning_starts(1_000)
    random_steps: int = fields.random_steps(1_000)
    actor_period: int = fields.actor_period(1)
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    learning_rate: float = fields.learning_rate(3e-4)
    temperature_learning_rate: float = fields.temperature_learning_rate(3e-4)
    initial_temperature: float = fields.initial_temperature(1.0)
    target_entropy: float = fields.target_entropy(-1.0)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((256, 256))
    activation: str = hyper("relu", "activation of the hidden layers", choices=ACTIVATIONS, static=True)

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; its parameters act."""
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key: Key) -> SACState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event.
        """
        actor_key, critic_key = jax.random.split(key)
        obs, action = jnp.zeros(self.spec.obs_shape), jnp.zeros(self.spec.action_shape)
        pair = (flat_observation(self.spec, obs), action)
        params = {
            "actor": self.actor.init(actor_key, obs),
            "critics": init_ensemble(self.critic, critic_key, 2, *pair),
            "log_alpha": jnp.log(jnp.asarray(self.initial_temperature, jnp.float32)),
        }
        example = example_transition(self.spec)
        return SACState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params["critics"]),
            opt_state={name: self.optimiser.init(part) for name, part in params.items()},
            replay=replays.create(example, self.replay_size, self.num_envs, self.rollout_length),
        )

    def act(self, state: SACState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """A sample of the policy; before ``random_steps`` uniform in [-1, 1]."""
        sample_key, random_key = jax.random.split(key)
        action = self.distribution(state.params["actor"], timestep.obs).sample(sample_key)
        anything = jax.random.uniform(random_key, action.shape, action.dtype, -1.0, 1.0)
        return jnp.where(clock.reached(self.random_steps), action, anything), {}

    def update(self, state: SACState, rollout: Transition, key: Key, clock: Clock) -> tuple[SACState, Metrics]:
        """Store the rollout; once warm, update critics, actor and temperature on minibatches of the replay."""

        def descend(carry: tuple[Learner, jax.Array], sample: Sample, key: Key) -> tuple[PyTree, None, Losses]:
            learner, number = carry
            learner, losses = self.descend(learner, sample.batch, key, number)
            return (learner, number + 1), None, losses

        carry = Learner(state.params, state.target_params, state.opt_state), off_policy.updates_before(self, clock)
        replay, (learner, _), metrics = learn_from_replay(self, state.replay, rollout, carry, descend, key, clock)
        return SACState(learner.params, learner.target_params, learner.opt_state, replay), metrics

    def policy(self, state: SACState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The tangent of the Gaussian's mean, or a sample."""
        policy = self.distribution(state.params["actor"], timestep.obs)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def actor(self) -> GaussianNetwork:
        """Observations to mean and log standard deviation, before the tangent."""
        return GaussianNetwork(self.spec.action_shape[0], self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def critic(self) -> PairNetwork:
        """Observations and actions to values, of one of the twins."""
        return PairNetwork(1, self.hidden_sizes, self.activation, glorot_uniform(), glorot_uniform())

    @property
    def optimiser(self) -> Optimiser:
        """Adam, of each part of the parameters by itself."""
        return optimisers.adam()

    def distribution(self, actor_params: PyTree, obs: jax.Array) -> TanhNormal:
        """The policy in ``obs``."""
        return TanhNormal(*self.actor.apply(actor_params, obs))

    def sample(
        self, actor_params: PyTree, obs: jax.Array, key: Key, weights: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """Actions ``[B, D]`` of the policy, and ``L = sum_i w_i ln pi_i``, ``[B]``."""
        action, log_probs = self.distribution(actor_params, obs).sample_and_component_log_prob(key)
        return action, (log_probs if weights is None else weights * log_probs).sum(-1)

    def values(self, critic_params: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both critics' values ``[2, B]``."""
        return apply_ensemble(self.critic, critic_params, flat_observation(self.spec, obs), action).squeeze(-1)

    def descend(self, learner: Learner, batch: NStepBatch, key: Key, number: jax.Array) -> tuple[Learner, Losses]:
        """Update ``number``, counted from 0: the critics, and every ``actor_period``-th time all the rest."""
        critic_key, actor_key = jax.random.split(key)
        alpha = jnp.exp(learner.params["log_alpha"])
        learner, losses, _ = self.fit_critics(learner, batch, critic_key, alpha, None)

        def improve(learner: Learner) -> tuple[Learner, Losses]:
            learner, losses, _ = self.improve_actor(learner, batch.obs, actor_key, alpha, None)
            return learner, losses

        learner, more = off_policy.every(self.actor_period, number, improve, learner)
        return learner, losses | more

    def fit_critics(
        self, learner: Learner, batch: NStepBatch, key: Key, alpha: jax.Array, weights: jax.Array | None
    ) -> tuple[Learner, Losses, PyTree]:
        """One step of both critics; also the losses and the gradient."""
        params, opt_state = learner.params, learner.opt_state
        y = self.value_target(learner, batch, key, alpha, weights)
        grads, losses = jax.grad(self.critic_loss, has_aux=True)(params["critics"], batch, y)
        critics, moments = self.optimiser.step(grads, opt_state["critics"], params["critics"], self.learning_rate)
        learner = learner._replace(params=params | {"critics": critics}, opt_state=opt_state | {"critics": moments})
        return learner, losses, grads

    def improve_actor(
        self, learner: Learner, obs: jax.Array, key: Key, alpha: jax.Array, weights: jax.Array | None
    ) -> tuple[Learner, Losses, PyTree]:
        """One step of actor and temperature, and the targets' move; also the losses and the actor's gradient."""
        params, states = learner.params, learner.opt_state
        grads, (log_prob, losses) = jax.grad(self.actor_loss, has_aux=True)(
            params["actor"], params["critics"], obs, key, alpha, weights
        )
        slope = jax.grad(self.temperature_loss)(params["log_alpha"], log_prob)
        steps = {"actor": (grads, self.learning_rate), "log_alpha": (slope, self.temperature_learning_rate)}
        for name, (grad, rate) in steps.items():
            param, state = self.optimiser.step(grad, states[name], params[name], rate)
            params, states = params | {name: param}, states | {name: state}
        target_params = polyak.polyak(learner.target_params, params["critics"], self.target_rate)
        losses |= {"temperature": jnp.exp(params["log_alpha"]), "entropy": -log_prob.mean()}
        return Learner(params, target_params, states), losses, grads

    def value_target(
        self, learner: Learner, batch: NStepBatch, key: Key, alpha: jax.Array, weights: jax.Array | None
    ) -> jax.Array:
        """``y = r + discount (1 - terminated) (min_j Q_target_j(s', a') - alpha L(s', a'))``, ``[B]``."""
        action, log_prob = self.sample(learner.params["actor"], batch.next_obs, key, weights)
        value = self.values(learner.target_params, batch.next_obs, action).min(0) - alpha * log_prob
        return jax.vmap(td.td_target)(batch.reward, batch.discount, batch.terminated, value)

    def critic_loss(self, critic_params: PyTree, batch: NStepBatch, y: jax.Array) -> tuple[jax.Array, Losses]:
        """The critics' mean squared errors, added."""
        chex.assert_rank([batch.reward, batch.terminated, y], 1)
        q_value = self.values(critic_params, batch.obs, batch.action)
        loss = jnp.square(q_value - y).mean(-1).sum()
        return loss, {"critic_loss": loss, "q_value": q_value.mean()}

    def actor_loss(
        self,
        actor_params: PyTree,
        critic_params: PyTree,
        obs: jax.Array,
        key: Key,
        alpha: jax.Array,
        weights: jax.Array | None,
    ) -> tuple[jax.Array, tuple[jax.Array, Losses]]:
        """Mean of ``alpha L(s, a) - min_j Q_j(s, a)``; also ``L`` ``[B]``."""
        action, log_prob = self.sample(actor_params, obs, key, weights)
        loss = jnp.mean(alpha * log_prob - self.values(critic_params, obs, action).min(0))
        return loss, (log_prob, {"actor_loss": loss})

    def temperature_loss(self, log_alpha: jax.Array, log_prob: jax.Array) -> jax.Array:
        """Mean of ``-ln(alpha) (L + H)``, ``H`` the target entropy of all dimensions."""
        target = self.target_entropy * self.spec.action_shape[0]
        return -log_alpha * (jax.lax.stop_gradient(log_prob).mean() + target)
