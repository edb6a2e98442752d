"""Sources of extra samples: a learned model of the task, the task itself, or Q-functions (Nauman and Cygan 2023)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from rlx.learning.extra_samples import ActorCritic, Extras, Imagination, Losses, Scalar, flattened
from rlx.learning.on_policy import Batch, minibatch_epochs
from rlx.networks import dynamics
from rlx.networks.dynamics import DynamicsModel
from rlx.networks.ensemble import apply_ensemble, init_ensemble
from rlx.networks.heads import PairNetwork
from rlx.networks.inputs import as_float
from rlx.ops.imagination import Dynamics, Situation
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay import ring as rings
from rlx.replay import sampling
from rlx.replay.replay import Replay
from rlx.replay.transitions import example_transition
from rlx.types import Clock, EnvSpec, Key, PyTree, Timestep, Transition

# States of a task ``[B]``, actions and key to the states and the timestep that follow.
Simulator = Callable[[PyTree, jax.Array, Key], tuple[PyTree, Timestep]]


@struct.dataclass
class Learner:
    """Parameters of a network, and the state of its optimiser."""

    params: PyTree
    opt_state: PyTree


class Fit(NamedTuple):
    """When and how often a model is fitted.

    Attributes:
        first_event: the first learning event that does so, counted from 1.
        num_updates: gradient updates in a learning event.
        first_factor: times as many in the first.
        batch_size: transitions in each.
    """

    first_event: int
    num_updates: int
    first_factor: int
    batch_size: int


class ReplaySize(NamedTuple):
    """Transitions that a replay holds, and the shape in which they come: as for `rlx.replay.replay.create`."""

    num_transitions: int
    num_envs: int
    rollout_length: int


class ModelSource(NamedTuple):
    """A learned model of the task, fitted to a replay of its own (Nauman and Cygan 2023, section 5).

    Attributes:
        imagination: rollouts in the model.
        takes_states: whether samples are the states that a rollout passes through, not actions of the real states.
        model: raw observations and actions to what follows.
        optimiser: of the model.
        learning_rate: of the model.
        schedule: when it is fitted, and how often.
        size: of its replay.
    """

    imagination: Imagination
    takes_states: bool
    model: DynamicsModel
    optimiser: Optimiser
    learning_rate: Scalar
    schedule: Fit
    size: ReplaySize

    def init(self, key: Key) -> tuple[Learner, Replay]:
        """A new model, and an empty replay.

        Raises:
            ConfigurationError: if the replay is too small for one rollout.
        """
        params = self.model.init(key)
        example = example_transition(self.model.spec)
        replay = replays.create(example, *self.size)
        return Learner(params, self.optimiser.init(params)), replay

    def fit(
        self, state: tuple[Learner, Replay], rollout: Transition, batch: Batch, key: Key, clock: Clock
    ) -> tuple[PyTree, Losses]:
        """Store the rollout and, from the first event on, descend the model's losses."""
        count, schedule = clock.iterations * self.size.rollout_length, self.schedule
        replay = replays.add(state[1], rollout, count)
        factor = jnp.where(clock.iterations == schedule.first_event, schedule.first_factor, 1)
        updates = jnp.where(clock.iterations < schedule.first_event, 0, schedule.num_updates * factor)

        def step(number: jax.Array, carry: tuple[Learner, Losses]) -> tuple[Learner, Losses]:
            learner, totals = carry
            draw_key = jax.random.fold_in(key, number)
            # Single transitions in any order, so their places in the ring are as good as their age.
            rows = rings.size(replay.ring, count)
            row, env = sampling.uniform(draw_key, rows, self.size.num_envs, schedule.batch_size)
            transitions = rings.take(replay.ring, row, env)
            grads, losses = jax.grad(self.model.loss, has_aux=True)(learner.params, transitions)
            learned = self.optimiser.step(grads, learner.opt_state, learner.params, self.learning_rate)
            return Learner(*learned), jax.tree.map(jnp.add, totals, losses)

        totals = {f"{name}_loss": jnp.zeros(()) for name in self.model.networks}
        learner, totals = jax.lax.fori_loop(0, updates, step, (state[0], totals))
        return (learner, replay), jax.tree.map(lambda total: total / jnp.maximum(updates, 1), totals)

    def draw(
        self,
        state: tuple[Learner, Replay],
        actor_critic: ActorCritic,
        rollout: Transition,
        batch: Batch,
        key: Key,
        horizon: jax.Array,
    ) -> Extras:
        """Actions of the real states, or states, valued in the model."""
        draw = self.imagination.states if self.takes_states else self.imagination.actions
        return draw(actor_critic, self.dynamics(state[0]), self.start_of(rollout), key, horizon)

    def start_of(self, rollout: Transition) -> Situation:
        """Where imagined rollouts start: at every state of the rollout."""
        # What a model predicts are real numbers, whatever the task observes.
        obs = as_float(rollout.obs)
        return flattened(Situation(obs, obs, rollout.action_mask))

    def dynamics(self, learner: Learner) -> Dynamics:
        """One step of the model."""

        def step(situation: Situation, action: jax.Array, key: Key) -> tuple[Situation, jax.Array, jax.Array]:
            following = self.model.predict(learner.params, situation.obs, action)
            situation = Situation(following.obs, following.obs, following.action_mask)
            return situation, following.reward, following.goes_on

        return step


class SimulatorSource(NamedTuple):
    """The task itself, rewound to the states of the rollout.

    Attributes:
        imagination: rollouts in the task.
        simulator: one step of it.
        reward_scale: rewards count times this.
    """

    imagination: Imagination
    simulator: Simulator
    reward_scale: Scalar

    def init(self, key: Key) -> None:
        """There is nothing to learn."""

    def fit(self, state: None, rollout: Transition, batch: Batch, key: Key, clock: Clock) -> tuple[None, Losses]:
        """There is nothing to learn."""
        return None, {}

    def draw(
        self, state: None, actor_critic: ActorCritic, rollout: Transition, batch: Batch, key: Key, horizon: jax.Array
    ) -> Extras:
        """Actions of the real states."""
        return self.imagination.actions(actor_critic, self.dynamics, self.start_of(rollout), key, horizon)

    def start_of(self, rollout: Transition) -> Situation:
        """Where rollouts start: at every state of the rollout."""
        return flattened(Situation(rollout.task_state, rollout.obs, rollout.action_mask))

    def dynamics(self, situation: Situation, action: jax.Array, key: Key) -> tuple[Situation, jax.Array, jax.Array]:
        """One step of the task; time limits are left out, since beyond them values are bootstrapped."""
        task_state, timestep = self.simulator(situation.state, action, key)
        goes_on = 1.0 - timestep.terminated.astype(jnp.float32)
        following = Situation(task_state, timestep.obs, timestep.action_mask)
        return following, self.reward_scale * timestep.reward, goes_on


class CriticSource(NamedTuple):
    """Two Q-functions, fitted to the lambda-returns of each batch in as many epochs as the critic (QMA).

    Attributes:
        network: one Q-function, of flat observations as the critic sees them and of an action vector.
        spec: of the task.
        optimiser: of both.
        learning_rate: of both, by the clock of the learning event.
        num_epochs: passes over the batch.
        num_minibatches: minibatches a pass.
        num_extras: ``K``.
    """

    network: PairNetwork
    spec: EnvSpec
    optimiser: Optimiser
    learning_rate: Callable[[Clock], Scalar]
    num_epochs: int
    num_minibatches: int
    num_extras: int

    def init(self, key: Key) -> Learner:
        """Two new Q-functions."""
        obs = dynamics.flat_observation(self.spec, jnp.zeros(self.spec.obs_shape))
        pair = (obs, jnp.zeros(dynamics.action_size(self.spec.action_space)))
        params = init_ensemble(self.network, key, 2, *pair)
        return Learner(params, self.optimiser.init(params))

    def fit(self, state: Learner, rollout: Transition, batch: Batch, key: Key, clock: Clock) -> tuple[Learner, Losses]:
        """Descend ``(Q_j(s, a) - G)^2`` of the actions taken, ``G`` the lambda-return, over both Q-functions ``j``."""

        def loss(params: PyTree, batch: Batch) -> tuple[jax.Array, Losses]:
            errors = self.q_values(params, batch.obs, batch.action) - batch.value_target
            loss = jnp.square(errors).mean(-1).sum()
            return loss, {"q_loss": loss}

        learner = (state.params, state.opt_state)
        rate = self.learning_rate(clock)
        learned, losses = minibatch_epochs(
            loss, self.optimiser, rate, learner, batch, key, self.num_epochs, self.num_minibatches
        )
        return Learner(*learned), {"q_loss": losses["q_loss"].mean()}

    def draw(
        self, state: Learner, actor_critic: ActorCritic, rollout: Transition, batch: Batch, key: Key, horizon: jax.Array
    ) -> Extras:
        """Actions of the real states, of advantage ``min(Q1, Q2) - V``."""
        obs, mask = flattened((rollout.obs, rollout.action_mask))
        policy = actor_critic.policy(obs, mask)

        def one(key: Key) -> Extras:
            action = policy.sample(key)
            q_value = self.q_values(state.params, batch.obs, action).min(0)
            return Extras(None, None, action, policy.log_prob(action), q_value - batch.value)

        return jax.vmap(one, out_axes=1)(jax.random.split(key, self.num_extras))

    def q_values(self, params: PyTree, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Both Q-functions, ``[2, ...]``, of observations as the critic sees them."""
        pair = (dynamics.flat_observation(self.spec, obs), dynamics.action_vector(self.spec.action_space, action))
        return apply_ensemble(self.network, params, *pair)[..., 0]
