"""Symphony: a heuristic normalised calibrated advantage actor and critic (Ishuov et al. 2025, arXiv 2512.10477).

One loss for actor and critics. The actor follows the slow target critics in next observations: it raises their value
relative to its own running mean. Every node of three critics learns towards the same target, and a target is a weighed
order statistic of all their nodes. A regulariser swaddles actions: it draws their scale to 1 / e and walls off 1.

The untrained policy fills the replay: its ``exploration_steps`` transitions are tiled until the ring is full for ever.
From then on old transitions fade, terminations count as new again whenever they are the oldest, and every environment
step is followed by ``updates_per_step`` updates, however many environments run side by side.

The defaults are Symphony-S3; ``configs/agent/symphony_se.yaml``, ``symphony_s2.yaml`` and ``symphony_ed.yaml`` are the
other variants. Where paper and released code differ this is the code; docs/symphony.md tells where.
"""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.errors import ConfigurationError
from rlx.learning.off_policy import Losses, learn_from_replay
from rlx.networks.dynamics import flat_observation
from rlx.networks.ensemble import init_ensemble
from rlx.networks.resine import SineNetwork
from rlx.ops import fading, optimisers, polyak, td
from rlx.ops.hyperbolic import rehae, rehse
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay import sampling
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Replay, Sample
from rlx.replay.rules import UNIFORM, ByAge, Rule
from rlx.replay.transitions import example_transition
from rlx.settings import hyper
from rlx.types import Box, Clock, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition

MARGIN = 1e-3  # of what is regularised from 0 and 1
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class Learner(NamedTuple):
    """What updates change: ``actor`` and ``critics`` ``[K, ...]``, the critics' targets, Adam's state, a mean value."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    mean_value: jax.Array


@struct.dataclass
class SymphonyState:
    """A `Learner`'s parts, the replay, and the mean size of rewards while exploring, as far as it is summed up."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    mean_value: jax.Array
    replay: Replay
    reward_size: jax.Array


@struct.dataclass
class Symphony:
    """Symphony for continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Box,)

    spec: EnvSpec = struct.field(pytree_node=False)
    noise_std: float = hyper(1.0 / math.e, "deviation of the noise before the tangent", within="[0, inf)")
    noise_clip: float = hyper(math.e, "largest noise, in deviations", within="[0, inf)")
    target_noise: bool = hyper(True, "noise on the actions in next observations as well", static=True)
    shut_off: float = hyper(0.05, "last share of the time limit, where only noise acts in training", within="[0, 1]")
    swaddling: float = hyper(1.0, "weight of the regulariser", within="[0, inf)")
    advantage: str = hyper(
        "temporal",
        "what the actor raises: its gain on the running mean, or the value",
        choices=("temporal", "plain"),
        static=True,
    )
    momentum: float = hyper(GOLDEN, "weight of the past in the running mean of values: alpha", within="[0, 1)")
    num_critics: int = hyper(3, "critic networks", within="[1, inf)", static=True)
    num_nodes: int = hyper(128, "outputs of each critic", within="[1, inf)", static=True)
    nodes: str = hyper(
        "fading",
        "value of a target: all nodes weighed by their order, their mean, or the least critic's mean",
        choices=("fading", "mean", "least"),
        static=True,
    )
    gradient_dropout: str = hyper(
        "none",
        "whose outputs drop half of the gradients: no network's, all but the targets', or every one's",
        choices=("none", "online", "all"),
        static=True,
    )
    draw: str = hyper("fading", "transitions by age, or all alike", choices=("fading", "uniform"), static=True)
    requeue: bool = hyper(True, "let terminations count as new whenever they are the oldest", static=True)
    exploration_steps: int = hyper(10_240, "environment steps of the untrained policy", within="[1, inf)", static=True)
    copies: int = hyper(50, "how often they are tiled, which fills the replay", within="[1, inf)", static=True)
    num_envs: int = fields.num_envs(1)
    rollout_length: int = fields.rollout_length(1)
    updates_per_step: int = hyper(3, "gradient updates for each environment step", within="[1, inf)", static=True)
    batch_size: int = fields.batch_size(384)
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    learning_rate: float = fields.learning_rate(1e-4)
    b1: float = hyper(GOLDEN, "decay of Adam's mean gradient", within="[0, 1)")
    b2: float = hyper(0.995, "decay of Adam's mean square", within="[0, 1)")
    weight_decay: float = hyper(0.01, "share of a parameter that a step of size 1 subtracts", within="[0, inf)")
    bias_correction: bool = hyper(False, "Adam's usual one", static=True)
    hidden_size: int = hyper(512, "units of each hidden layer", within="[1, inf)", static=True)
    activation: str = hyper("resine", "of the second layer", choices=("resine", "silu"), static=True)

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; its parameters act."""
        return Needs(self.num_envs, self.rollout_length)

    @property
    def exploration_events(self) -> int:
        """Whole rollouts of the untrained policy."""
        return self.exploration_steps // (self.num_envs * self.rollout_length)

    @property
    def learning_starts(self) -> int:
        """The first updates follow the first rollout after exploration."""
        return self.exploration_events * self.num_envs * self.rollout_length + 1

    @property
    def num_updates(self) -> int:
        """In one learning event: as many for each environment step, however many are taken at once."""
        return self.updates_per_step * self.num_envs * self.rollout_length

    def init(self, key: Key) -> SymphonyState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if exploration is shorter than one event.
        """
        if not self.exploration_events:
            event = self.num_envs * self.rollout_length
            raise ConfigurationError(
                f"exploration_steps={self.exploration_steps} is less than a learning event of {event} steps; take more"
            )
        actor_key, critic_key = jax.random.split(key)
        obs = flat_observation(self.spec, jnp.zeros(self.spec.obs_shape))
        pair = jnp.concatenate([obs, jnp.zeros(self.spec.action_shape)])
        params = {
            "actor": self.actor.init(actor_key, obs),
            "critics": init_ensemble(self.critic, critic_key, self.num_critics, pair),
        }
        example, rows = example_transition(self.spec), (self.num_envs, self.rollout_length)
        return SymphonyState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params["critics"]),
            opt_state=self.optimiser.init(params),
            mean_value=jnp.zeros(()),
            replay=replays.create_tiled(example, self.exploration_steps, self.copies, *rows, self.requeue),
            reward_size=jnp.zeros(()),
        )

    def act(self, state: SymphonyState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """The policy with noise, and noise alone near the time limit: a fall in place of a truncation."""
        direction, scale, _ = self.heads(state.params["actor"], timestep.obs)
        acts = self.acts(timestep.episode_step + 1, clock)[:, None]
        return squashed(jnp.where(acts, scale * direction, 0.0), self.noise(key, direction.shape)), {}

    def update(
        self, state: SymphonyState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[SymphonyState, Metrics]:
        """Store the rollout; once exploration is over, update on minibatches, rewards in units of their first size."""
        exploring = clock.iterations <= self.exploration_events
        share = jnp.abs(rollout.reward).mean() / self.exploration_events
        reward_size = state.reward_size + jnp.where(exploring, share, 0.0)
        # Without any reward in all of exploration the released code divides by 0.
        unit = jnp.where(reward_size > 0, reward_size, 1.0)

        def descend(learner: Learner, sample: Sample, key: Key) -> tuple[Learner, None, Losses]:
            batch = dataclasses.replace(sample.batch, reward=sample.batch.reward / unit)
            learner, losses = self.descend(learner, batch, key)
            return learner, None, losses

        learner = Learner(state.params, state.target_params, state.opt_state, state.mean_value)
        rule = self.rule(state.replay.ring.capacity)
        replay, learner, metrics = learn_from_replay(self, state.replay, rollout, learner, descend, key, clock, rule)
        return SymphonyState(**learner._asdict(), replay=replay, reward_size=reward_size), metrics

    def policy(self, state: SymphonyState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The policy without noise, or with it."""
        direction, scale, _ = self.heads(state.params["actor"], timestep.obs)
        noise = 0.0 if mode == "greedy" else self.noise(key, direction.shape)
        return squashed(scale * direction, noise)

    @property
    def actor(self) -> SineNetwork:
        """Observations to three numbers for each dimension of the action."""
        return SineNetwork(self.hidden_size, 3 * self.spec.action_shape[0], self.activation)

    @property
    def critic(self) -> SineNetwork:
        """Observations and actions side by side to the nodes of one of the critics."""
        return SineNetwork(self.hidden_size, self.num_nodes, self.activation)

    @property
    def optimiser(self) -> Optimiser:
        """Equation 6, of all parameters alike."""
        if self.bias_correction:
            return optimisers.adamw(None, self.weight_decay, self.b1, self.b2)
        return optimisers.adamw_uncorrected(self.weight_decay, self.b1, self.b2)

    def rule(self, rows: int) -> Rule:
        """Table II: how transitions are drawn from a full replay of so many rows."""
        return ByAge(sampling.inverse_cdf_of(fading.age_weights(rows))) if self.draw == "fading" else UNIFORM

    def acts(self, step: jax.Array, clock: Clock) -> jax.Array:
        """Whether the policy acts in a step of its episode, the first of which is 1; while exploring it always does."""
        limit = self.spec.max_episode_steps
        if limit is None:
            return jnp.ones(step.shape, bool)
        shut = jnp.round(self.shut_off * limit)
        return (step < limit - shut) | (shut == 0) | (clock.iterations < self.exploration_events)

    def noise(self, key: Key, shape: tuple[int, ...]) -> jax.Array:
        """Normal, clipped and then scaled."""
        return self.noise_std * jnp.clip(jax.random.normal(key, shape), -self.noise_clip, self.noise_clip)

    def heads(self, actor_params: PyTree, obs: jax.Array, key: Key | None = None) -> tuple[jax.Array, ...]:
        """Figure 6: direction in [-1, 1], and scale sigma and beta in [0, 1], each ``[..., D]``."""
        raw = self.actor.apply(actor_params, flat_observation(self.spec, obs), key)
        direction, sigma, beta = jnp.split(jnp.tanh(0.5 * raw), 3, axis=-1)
        return direction, jnp.abs(sigma), jnp.abs(beta)

    def values(self, critic_params: PyTree, obs: jax.Array, action: jax.Array, key: Key | None = None) -> jax.Array:
        """The nodes of all critics, one critic after the other, ``[B, K n]``."""
        pair = jnp.concatenate([flat_observation(self.spec, obs), action], axis=-1)
        keys = None if key is None else jax.random.split(key, self.num_critics)
        nodes = jax.vmap(self.critic.apply, (0, None, 0))(critic_params, pair, keys)
        return jnp.moveaxis(nodes, 0, -2).reshape(*pair.shape[:-1], -1)

    def aggregated(self, nodes: jax.Array) -> jax.Array:
        """Table I: the value ``[B]`` of nodes ``[B, K n]``."""
        if self.nodes == "fading":
            return fading.weighed_by_order(nodes, fading.order_weights(nodes.shape[-1]))
        critics = nodes.reshape(*nodes.shape[:-1], self.num_critics, self.num_nodes).mean(-1)
        return critics.mean(-1) if self.nodes == "mean" else critics.min(-1)

    def descend(self, learner: Learner, batch: NStepBatch, key: Key) -> tuple[Learner, Losses]:
        """One update of everything; the targets move last."""
        params, target_params, opt_state, _ = learner
        grads, (mean_value, losses) = jax.grad(self.loss, has_aux=True)(
            params, target_params, learner.mean_value, batch, key
        )
        params, opt_state = self.optimiser.step(grads, opt_state, params, self.learning_rate)
        target_params = polyak.polyak(target_params, params["critics"], self.target_rate)
        return Learner(params, target_params, opt_state, mean_value), losses

    def loss(
        self, params: PyTree, target_params: PyTree, mean_value: jax.Array, batch: NStepBatch, key: Key
    ) -> tuple[jax.Array, tuple[jax.Array, Losses]]:
        """Equations 1 to 3 and the pseudo-code: the one loss, the new running mean of values, and the loss's parts."""
        chex.assert_rank([batch.reward, batch.terminated], 1)
        noise_key, *keys = jax.random.split(key, 4)
        drops = {"none": (False, False), "online": (True, False), "all": (True, True)}[self.gradient_dropout]
        of_actor, of_critics, of_target = (k if d else None for k, d in zip(keys, (drops[0], *drops), strict=True))

        direction, sigma, beta = self.heads(params["actor"], batch.next_obs, of_actor)
        noise = self.noise(noise_key, direction.shape) if self.target_noise else 0.0
        action = squashed(sigma * direction, noise)
        value = self.aggregated(self.values(target_params, batch.next_obs, action, of_target))

        known = jax.lax.stop_gradient(value)
        y = jax.vmap(td.td_target)(batch.reward, batch.discount, batch.terminated, known)
        errors = self.values(params["critics"], batch.obs, batch.action, of_critics) - y[:, None]
        temporal = self.momentum * mean_value + (1.0 - self.momentum) * known
        gain = value if self.advantage == "plain" else rehae((value - temporal) / jnp.maximum(jnp.abs(temporal), 1e-8))
        bounded = (jnp.clip(part, MARGIN, 1.0 - MARGIN) for part in (sigma, beta))
        parts = {"gain": gain.mean(), "critic_loss": rehse(errors).mean(), "swaddle": swaddle(*bounded).mean()}

        total = -parts["gain"] + parts["critic_loss"] + self.swaddling * parts["swaddle"]
        losses = parts | {"sigma": sigma.mean(), "beta": beta.mean(), "q_value": known.mean()}
        return total, (temporal.mean(), losses)


def squashed(action: jax.Array, noise: jax.Array | float) -> jax.Array:
    """The action as the environment takes it, within (-1, 1)."""
    return jnp.tanh(action + noise)


def swaddle(sigma: jax.Array, beta: jax.Array) -> jax.Array:
    """Figure 7: ``Omega(sigma^(1 / sg(beta))) + beta omega(sigma) + Omega(beta^2)``, elementwise.

    ``Omega(x) = ln((1 + x) / (1 - x))`` is a wall at 1, and ``omega(x) = x ln x`` is least at 1 / e.
    """
    wall = 2.0 * jnp.arctanh(sigma ** (1.0 / jax.lax.stop_gradient(beta)))
    return wall + beta * sigma * jnp.log(sigma) + 2.0 * jnp.arctanh(jnp.square(beta))
