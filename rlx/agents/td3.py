"""TD3 (Fujimoto et al. 2018, "Addressing Function Approximation Error in Actor-Critic Methods"), and DDPG.

A deterministic policy climbs the value of one critic; critics learn towards the lesser of the target critics' values of
a slightly disturbed target action. With one critic, no disturbance and an actor that follows in every update it is
DDPG (Lillicrap et al. 2016, algorithm 1) with Gaussian exploration: ``configs/agent/ddpg.yaml``.

One learning event: every environment takes ``rollout_length`` steps, the transitions enter the replay, and once
``learning_starts`` steps have been taken ``num_updates`` minibatches are drawn from it.
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
from rlx.networks.heads import DeterministicNetwork, PairNetwork
from rlx.networks.initialisers import glorot_uniform
from rlx.ops import optimisers, polyak, td
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Replay, Sample
from rlx.replay.transitions import example_transition
from rlx.settings import hyper
from rlx.types import Box, Clock, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition


class Learner(NamedTuple):
    """What gradient updates change, each by name: ``actor``, and ``critics`` ``[K, ...]``."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree


@struct.dataclass
class TD3State:
    """A `Learner`'s parts, and the replay."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay


@struct.dataclass
class TD3:
    """TD3 for continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Box,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_critics: int = hyper(2, "critics, of whose targets the least counts", within="[1, inf)", static=True)
    exploration_noise: float = hyper(0.1, "deviation of the noise on actions", within="[0, inf)")
    target_noise: float = hyper(0.2, "deviation of the noise on target actions", within="[0, inf)")
    target_noise_clip: float = hyper(0.5, "largest noise on a target action", within="[0, inf)")
    num_envs: int = fields.num_envs(1)
    rollout_length: int = fields.rollout_length(1)
    num_updates: int = fields.num_updates(1)
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    learning_starts: int = fields.learning_starts(1_000)
    random_steps: int = fields.random_steps(1_000)
    actor_period: int = hyper(
        2, "updates of the critics for one of actor and targets: the policy delay", within="[1, inf)", static=True
    )
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    learning_rate: float = fields.learning_rate(3e-4)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((256, 256))
    activation: str = fields.activation("relu")

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; its parameters act."""
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key: Key) -> TD3State:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event.
        """
        actor_key, critic_key = jax.random.split(key)
        obs, action = jnp.zeros(self.spec.obs_shape), jnp.zeros(self.spec.action_shape)
        pair = (flat_observation(self.spec, obs), action)
        params = {
            "actor": self.actor.init(actor_key, obs),
            "critics": init_ensemble(self.critic, critic_key, self.num_critics, *pair),
        }
        example = example_transition(self.spec)
        return TD3State(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state={name: self.optimiser.init(part) for name, part in params.items()},
            replay=replays.create(example, self.replay_size, self.num_envs, self.rollout_length),
        )

    def act(self, state: TD3State, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """The policy's action with noise; before ``random_steps`` uniform in [-1, 1]."""
        noise_key, random_key = jax.random.split(key)
        action = self.disturbed(self.actor.apply(state.params["actor"], timestep.obs), noise_key)
        anything = jax.random.uniform(random_key, action.shape, action.dtype, -1.0, 1.0)
        return jnp.where(clock.reached(self.random_steps), action, anything), {}

    def update(self, state: TD3State, rollout: Transition, key: Key, clock: Clock) -> tuple[TD3State, Metrics]:
        """Store the rollout; once warm, update critics, and less often actor and targets, on minibatches."""

        def descend(carry: tuple[Learner, jax.Array], sample: Sample, key: Key) -> tuple[PyTree, None, Losses]:
            learner, number = carry
            learner, losses = self.descend(learner, sample.batch, key, number)
            return (learner, number + 1), None, losses

        carry = Learner(state.params, state.target_params, state.opt_state), off_policy.updates_before(self, clock)
        replay, (learner, _), metrics = learn_from_replay(self, state.replay, rollout, carry, descend, key, clock)
        return TD3State(learner.params, learner.target_params, learner.opt_state, replay), metrics

    def policy(self, state: TD3State, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The policy's action, sampled with noise."""
        action = self.actor.apply(state.params["actor"], timestep.obs)
        return action if mode == "greedy" else self.disturbed(action, key)

    @property
    def actor(self) -> DeterministicNetwork:
        """Observations to actions in [-1, 1]."""
        size = self.spec.action_shape[0]
        return DeterministicNetwork(size, self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def critic(self) -> PairNetwork:
        """Observations and actions to values, of one of the critics."""
        return PairNetwork(1, self.hidden_sizes, self.activation, glorot_uniform(), glorot_uniform())

    @property
    def optimiser(self) -> Optimiser:
        """Adam, of actor and critics each by itself."""
        return optimisers.adam()

    def disturbed(self, action: jax.Array, key: Key) -> jax.Array:
        """``action`` as it explores."""
        return jnp.clip(action + self.exploration_noise * jax.random.normal(key, action.shape), -1.0, 1.0)

    def values(self, critic_params: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
        """All critics' values ``[K, B]``."""
        return apply_ensemble(self.critic, critic_params, flat_observation(self.spec, obs), action).squeeze(-1)

    def descend(self, learner: Learner, batch: NStepBatch, key: Key, number: jax.Array) -> tuple[Learner, Losses]:
        """Update ``number``, counted from 0: the critics, and every ``actor_period``-th time all the rest."""
        params, opt_state = learner.params, learner.opt_state
        y = self.value_target(learner.target_params, batch, key)
        grads, losses = jax.grad(self.critic_loss, has_aux=True)(params["critics"], batch, y)
        critics, moments = self.optimiser.step(grads, opt_state["critics"], params["critics"], self.learning_rate)
        learner = learner._replace(params=params | {"critics": critics}, opt_state=opt_state | {"critics": moments})
        improve = lambda learner: self.improve_actor(learner, batch.obs)  # noqa: E731
        learner, more = off_policy.every(self.actor_period, number, improve, learner)
        return learner, losses | more

    def improve_actor(self, learner: Learner, obs: jax.Array) -> tuple[Learner, Losses]:
        """One step of the actor, and the move of all targets."""
        params, opt_state = learner.params, learner.opt_state
        loss, grads = jax.value_and_grad(self.actor_loss)(params["actor"], params["critics"], obs)
        actor, moments = self.optimiser.step(grads, opt_state["actor"], params["actor"], self.learning_rate)
        params, opt_state = params | {"actor": actor}, opt_state | {"actor": moments}
        target_params = polyak.polyak(learner.target_params, params, self.target_rate)
        return Learner(params, target_params, opt_state), {"actor_loss": loss}

    def value_target(self, target_params: PyTree, batch: NStepBatch, key: Key) -> jax.Array:
        """``y = r + discount (1 - terminated) min_j Q_j(s', clip(mu(s') + noise))`` of the targets, ``[B]``."""
        action = self.actor.apply(target_params["actor"], batch.next_obs)
        noise = self.target_noise * jax.random.normal(key, action.shape)
        noise = jnp.clip(noise, -self.target_noise_clip, self.target_noise_clip)
        action = jnp.clip(action + noise, -1.0, 1.0)
        value = self.values(target_params["critics"], batch.next_obs, action).min(0)
        return jax.vmap(td.td_target)(batch.reward, batch.discount, batch.terminated, value)

    def critic_loss(self, critic_params: PyTree, batch: NStepBatch, y: jax.Array) -> tuple[jax.Array, Losses]:
        """The critics' mean squared errors, added."""
        chex.assert_rank([batch.reward, batch.terminated, y], 1)
        q_value = self.values(critic_params, batch.obs, batch.action)
        loss = jnp.square(q_value - y).mean(-1).sum()
        return loss, {"critic_loss": loss, "q_value": q_value.mean()}

    def actor_loss(self, actor_params: PyTree, critic_params: PyTree, obs: jax.Array) -> jax.Array:
        """Mean of ``-Q_1(s, mu(s))``, ``Q_1`` the first critic."""
        first = jax.tree.map(lambda leaf: leaf[0], critic_params)
        action = self.actor.apply(actor_params, obs)
        return -self.critic.apply(first, flat_observation(self.spec, obs), action).mean()
