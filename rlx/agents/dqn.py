"""Deep Q-networks: Mnih et al. 2015, with double targets, dueling heads and n-step returns as options.

Double targets: van Hasselt et al. 2016. Dueling heads: Wang et al. 2016.

One learning event: every environment takes ``rollout_length`` steps, the transitions enter the replay, and once
``learning_starts`` steps have been taken ``num_updates`` minibatches are drawn from it.
"""

from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning.off_policy import Losses, learn_from_replay
from rlx.networks.heads import QNetwork
from rlx.ops import optimisers, polyak, td, value_rescaling
from rlx.ops.exploration import epsilon_greedy
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Replay, Sample
from rlx.replay.transitions import example_transition
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition


@struct.dataclass
class DQNState:
    """Online and target parameters, the optimiser's state, and the replay."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay


@struct.dataclass
class DQN:
    """DQN for discrete actions, masked or not."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = fields.num_envs(4)
    rollout_length: int = fields.rollout_length(1)
    num_updates: int = fields.num_updates(1)
    batch_size: int = fields.batch_size(64)
    replay_size: int = fields.replay_size(100000)
    learning_starts: int = fields.learning_starts(1000)
    target_period: int = fields.target_period(100)
    optimiser: str = hyper(
        "adam", "rmsprop is that of Mnih et al. (learning_rate 2.5e-4)", choices=("adam", "rmsprop"), static=True
    )
    learning_rate: float = fields.learning_rate(0.001)
    discount: float = fields.discount(0.99)
    n_step: int = fields.n_step(1)
    double: bool = hyper(True, "choose the bootstrap action by the online network", static=True)
    dueling: bool = hyper(False, "split the head into value and advantages", static=True)
    loss: str = hyper(
        "squared",
        "loss of the TD error; huber clips its gradient at 1 as Mnih et al. do",
        choices=("squared", "huber"),
        static=True,
    )
    value_rescaling: bool = hyper(False, "learn signed square roots of values (Pohlen et al. 2018)", static=True)
    max_grad_norm: float = fields.max_grad_norm(10.0)
    epsilon_initial: float = fields.epsilon_initial(1.0)
    epsilon_final: float = fields.epsilon_final(0.05)
    exploration_fraction: float = fields.exploration_fraction(0.25)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((128, 128))
    activation: str = fields.activation("relu")

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; its parameters act."""
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key: Key) -> DQNState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one n-step window.
        """
        params = self.network.init(key, jnp.zeros(self.spec.obs_shape))
        return DQNState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=self.gradient_step.init(params),
            replay=replays.create(
                example_transition(self.spec), self.replay_size, self.num_envs, self.rollout_length, self.n_step
            ),
        )

    def act(self, state: DQNState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Epsilon-greedy actions, epsilon falling linearly with the clock."""
        epsilon = optimisers.linear_schedule(
            self.epsilon_initial, self.epsilon_final, clock.progress / self.exploration_fraction
        )
        greedy = self.greedy(state.params, timestep)
        return epsilon_greedy(key, greedy, epsilon, self.num_actions, timestep.action_mask), {}

    def update(self, state: DQNState, rollout: Transition, key: Key, clock: Clock) -> tuple[DQNState, Metrics]:
        """Store the rollout; once warm, descend on minibatches of the replay; now and then copy to the target."""

        def descend(learner: PyTree, sample: Sample, key: Key) -> tuple[PyTree, None, Losses]:
            params, opt_state = learner
            grads, metrics = jax.grad(self.td_loss, has_aux=True)(params, state.target_params, sample.batch)
            return self.gradient_step.step(grads, opt_state, params, self.learning_rate), None, metrics

        learner = (state.params, state.opt_state)
        replay, learner, metrics = learn_from_replay(self, state.replay, rollout, learner, descend, key, clock)
        params, opt_state = learner
        target_params = polyak.periodic_copy(state.target_params, params, clock.iterations % self.target_period == 0)
        return DQNState(params, target_params, opt_state, replay), metrics

    def policy(self, state: DQNState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The valid action of the largest value, in either mode: the method's policy is greedy."""
        return self.greedy(state.params, timestep)

    @property
    def num_actions(self) -> int:
        """``A``."""
        return self.spec.action_space.n  # type: ignore[union-attr]

    @property
    def network(self) -> QNetwork:
        """Observations to action values ``[..., A]``."""
        return QNetwork(self.num_actions, self.hidden_sizes, self.activation, self.spec.obs_shape, self.dueling)

    @property
    def gradient_step(self) -> Optimiser:
        """Adam or centred RMSProp behind a clip of the global gradient norm."""
        if self.optimiser == "adam":
            return optimisers.adam(self.max_grad_norm)
        return optimisers.rmsprop(self.max_grad_norm, decay=0.95, eps=1e-5, initial_scale=1.0, centered=True)

    def greedy(self, params: PyTree, timestep: Timestep) -> jax.Array:
        """The valid action of the largest value, ``[N]``."""
        return td.greedy_action(self.network.apply(params, timestep.obs), timestep.action_mask)

    def td_loss(self, params: PyTree, target_params: PyTree, batch: NStepBatch) -> tuple[jax.Array, Losses]:
        """Loss of the TD errors of one minibatch ``[B]``."""
        chex.assert_rank([batch.action, batch.reward], 1)
        q_values = self.network.apply(params, batch.obs)
        next_q_target = self.network.apply(target_params, batch.next_obs)
        if self.value_rescaling:
            next_q_target = value_rescaling.restore(next_q_target)
        if self.double:
            next_q_online = self.network.apply(params, batch.next_obs)
            target = jax.vmap(td.double_q_target)(
                batch.reward, batch.discount, batch.terminated, next_q_online, next_q_target, batch.next_action_mask
            )
        else:
            target = jax.vmap(td.q_target)(
                batch.reward, batch.discount, batch.terminated, next_q_target, batch.next_action_mask
            )
        if self.value_rescaling:
            target = value_rescaling.rescale(target)
        q_value = jnp.take_along_axis(q_values, batch.action[:, None], axis=-1)[:, 0]
        td_error = target - q_value
        loss = jnp.mean(td.huber(td_error, 1.0) if self.loss == "huber" else 0.5 * jnp.square(td_error))
        in_rewards = value_rescaling.restore if self.value_rescaling else lambda values: values
        return loss, {
            "loss": loss,
            "q_value": in_rewards(q_value).mean(),
            "td_error": jnp.abs(td_error).mean(),
            "log_gap_deviation": td.log_gap_deviation(td.log_gap(in_rewards(q_values), batch.action_mask)),
        }
