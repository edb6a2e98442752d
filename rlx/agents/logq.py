"""LogDQN: log-mapped Q-learning with a deep network (van Seijen, Fatemi and Tavakoli 2019, section 5).

One network has two outputs for every action: ``y+`` for the value of positive rewards and ``y-`` for that of negative
ones, both on a logarithmic scale, ``q = exp((y - d) / c)``. The value that decides is ``Q = q+ - q-``. Everything is
computed on logarithms, since ``q`` itself leaves float32's range at low discounts (`rlx.ops.log_mapping`).

One learning event: every environment takes ``rollout_length`` steps, the transitions enter the replay, and once
``learning_starts`` steps have been taken ``num_updates`` minibatches are drawn from it.
"""

import dataclasses
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning.off_policy import Losses, learn_from_replay
from rlx.networks.heads import SignedQNetwork
from rlx.ops import log_mapping, optimisers, polyak, td
from rlx.ops.exploration import epsilon_greedy
from rlx.ops.log_mapping import LogMapping
from rlx.ops.optimisers import Optimiser
from rlx.replay import replay as replays
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Replay, Sample
from rlx.replay.transitions import example_transition
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition


@struct.dataclass
class LogDQNState:
    """Online and target parameters, the optimiser's state, and the replay."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay


@struct.dataclass
class LogDQN:
    """LogDQN for discrete actions, masked or not."""

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
        "adam", "rmsprop is the paper's (learning_rate 2.5e-3)", choices=("adam", "rmsprop"), static=True
    )
    learning_rate: float = hyper(1e-3, "step size in log space: the paper's beta_log", within="(0, inf)")
    beta_reg: float = hyper(0.1, "step size in value space; 1 leaves that step out", within="(0, 1]")
    beta_reg_final: float | None = hyper(
        None, "step size in value space at the end, reached linearly; null: beta_reg throughout", within="(0, 1]"
    )
    discount: float = hyper(0.96, "discount of one step", within="(0, 1)")
    k: float = hyper(
        100.0, "values below discount**k count as zero; at least the longest delay of a reward", within="(0, inf)"
    )
    c: float = hyper(0.5, "scale of the log space, and so of where the loss turns linear", within="(0, inf)")
    positive_initial: float = hyper(
        1.0, "value at which the positive head starts; discount**k at least", within="[0, inf)"
    )
    negative_initial: float = hyper(
        0.0, "value at which the negative head starts; discount**k at least", within="[0, inf)"
    )
    max_reward: float = hyper(1.0, "rewards are clipped to this absolute value", within="(0, inf)")
    mapping: str = hyper(
        "floor",
        "how values are kept above zero for the logarithm; offset as in the linear experiments",
        choices=("floor", "offset"),
        static=True,
    )
    loss: str = hyper("huber", "loss of the error in log space", choices=("huber", "squared"), static=True)
    n_step: int = fields.n_step(1)
    released_n_step: bool = hyper(
        False, "for n > 1 split the sum of rewards by its sign, with the floor discount**(n k)", static=True
    )
    truncation_is_terminal: bool = fields.truncation_is_terminal(False)
    epsilon_initial: float = fields.epsilon_initial(1.0)
    epsilon_final: float = fields.epsilon_final(0.05)
    exploration_fraction: float = fields.exploration_fraction(0.25)
    zero_negative: bool = hyper(True, "start the negative head's weights at zero", static=True)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((128, 128))
    activation: str = fields.activation("relu")

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; its parameters act."""
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key: Key) -> LogDQNState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one n-step window.
        """
        example = self.stored(example_transition(self.spec))
        params = self.network.init(key, jnp.zeros(self.spec.obs_shape))
        return LogDQNState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=self.gradient_step.init(params),
            replay=replays.create(example, self.replay_size, self.num_envs, self.rollout_length, self.n_step),
        )

    def act(self, state: LogDQNState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Epsilon-greedy actions, epsilon falling linearly with the clock."""
        epsilon = optimisers.linear_schedule(
            self.epsilon_initial, self.epsilon_final, clock.progress / self.exploration_fraction
        )
        greedy = self.greedy(state.params, timestep)
        return epsilon_greedy(key, greedy, epsilon, self.num_actions, timestep.action_mask), {}

    def update(self, state: LogDQNState, rollout: Transition, key: Key, clock: Clock) -> tuple[LogDQNState, Metrics]:
        """Store the rollout; once warm, descend on minibatches of the replay; now and then copy to the target."""
        final = self.beta_reg if self.beta_reg_final is None else self.beta_reg_final
        beta_reg = optimisers.linear_schedule(self.beta_reg, final, clock.before.progress)

        def descend(learner: PyTree, sample: Sample, key: Key) -> tuple[PyTree, None, Losses]:
            params, opt_state = learner
            log_target = self.log_targets(state.target_params, sample.batch)
            grads, metrics = jax.grad(self.td_loss, has_aux=True)(params, sample.batch, log_target, beta_reg)
            return self.gradient_step.step(grads, opt_state, params, self.learning_rate), None, metrics

        learner, rollout = (state.params, state.opt_state), self.stored(rollout)
        replay, learner, metrics = learn_from_replay(self, state.replay, rollout, learner, descend, key, clock)
        params, opt_state = learner
        target_params = polyak.periodic_copy(state.target_params, params, clock.iterations % self.target_period == 0)
        return LogDQNState(params, target_params, opt_state, replay), metrics

    def policy(self, state: LogDQNState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The valid action of the largest value, in either mode: the method's policy is greedy."""
        return self.greedy(state.params, timestep)

    @property
    def num_actions(self) -> int:
        """``A``."""
        return self.spec.action_space.n  # type: ignore[union-attr]

    @property
    def network(self) -> SignedQNetwork:
        """Observations to ``y+`` and ``y-``, ``[..., A, 2]``."""
        return SignedQNetwork(
            self.num_actions, self.hidden_sizes, self.activation, self.spec.obs_shape, self.zero_negative
        )

    @property
    def log_mapping(self) -> LogMapping:
        """The mappings of both channels; its arrays' last axis is ``[2]``."""
        initial = jnp.array([self.positive_initial, self.negative_initial])
        return LogMapping(self.discount, self.k, self.c, initial, self.mapping)

    @property
    def gradient_step(self) -> Optimiser:
        """Adam, or the centred RMSProp of the paper's DQN."""
        if self.optimiser == "adam":
            return optimisers.adam()
        return optimisers.rmsprop(decay=0.95, eps=1e-5, initial_scale=1.0, centered=True)

    def stored(self, transition: Transition) -> Transition:
        """What the replay keeps: the reward of each channel, ``[..., 2]``, in place of the reward, and no ``info``."""
        reward = jnp.clip(transition.reward, -self.max_reward, self.max_reward)
        reward = jnp.stack(log_mapping.split_reward(reward), axis=-1)
        terminated = transition.terminated
        if self.truncation_is_terminal:
            terminated = terminated | transition.truncated
        return dataclasses.replace(transition, reward=reward, terminated=terminated, info={})

    def log_values(self, params: PyTree, obs: jax.Array) -> jax.Array:
        """``ln q+`` and ``ln q-`` of every action, ``[..., A, 2]``."""
        return self.log_mapping.inverse(self.network.apply(params, obs))

    def greedy(self, params: PyTree, timestep: Timestep) -> jax.Array:
        """The valid action of the largest ``q+ - q-``, ``[N]``."""
        return best_action(self.log_values(params, timestep.obs), timestep.action_mask)

    def log_targets(self, target_params: PyTree, batch: NStepBatch) -> jax.Array:
        """``ln U`` of both channels, ``[B, 2]``; each bootstraps at the action that is best for the two together."""
        next_log_values = self.log_values(target_params, batch.next_obs)
        best = best_action(next_log_values, batch.next_action_mask)
        next_log_value = jnp.take_along_axis(next_log_values, best[:, None, None], axis=1)[:, 0]
        terminated = batch.terminated
        if batch.next_action_mask is not None:
            terminated = terminated | ~batch.next_action_mask.any(axis=-1)
        target, discount = self.log_mapping.log_target, batch.discount[:, None]
        if not self.released_n_step:
            return target(
                batch.reward, next_log_value, terminated[:, None], discount, self.max_reward / (1.0 - self.discount)
            )
        reward = jnp.stack(log_mapping.split_reward(batch.reward[:, 0] - batch.reward[:, 1]), axis=-1)
        # Both by n, also where the end of an episode cuts the window.
        max_value = self.max_reward / (1.0 - self.discount**self.n_step)
        log_floor = self.n_step * self.log_mapping.log_floor
        return target(reward, next_log_value, terminated[:, None], discount, max_value, log_floor)

    def td_loss(
        self, params: PyTree, batch: NStepBatch, log_target: jax.Array, beta_reg: jax.Array
    ) -> tuple[jax.Array, Losses]:
        """Loss in log space of one minibatch ``[B]``, by default Huber's of width 1 on ``T - y``; channels add up."""
        chex.assert_rank([batch.action, log_target], [1, 2])
        outputs = self.network.apply(params, batch.obs)
        y = jnp.take_along_axis(outputs, batch.action[:, None, None], axis=1)[:, 0]
        log_value = jax.lax.stop_gradient(self.log_mapping.inverse(y))
        # T = f(Uh), Uh = q + beta_reg (U - q): towards U in value space; the optimiser then steps in log space.
        target = self.log_mapping.forward(log_mapping.average(log_value, log_target, beta_reg))
        error = target - y
        loss = td.huber(error, 1.0) if self.loss == "huber" else 0.5 * jnp.square(error)
        loss = jnp.mean(loss.sum(axis=-1))
        log_values = self.log_mapping.inverse(outputs)
        values = jnp.exp(log_values)
        q_values = values[..., 0] - values[..., 1]
        log_gap = log_mapping.log_gap(log_values[..., 0], log_values[..., 1], batch.action_mask)
        return loss, {
            "loss": loss,
            "q_value": jnp.take_along_axis(q_values, batch.action[:, None], axis=-1).mean(),
            "log_td_error": jnp.abs(error).mean(),
            "log_gap_deviation": td.log_gap_deviation(log_gap),
        }


def best_action(log_values: jax.Array, action_mask: jax.Array | None) -> jax.Array:
    """The valid action of the largest ``q+ - q-``, int32 ``[...]``, from logarithms ``[..., A, 2]``."""
    return td.greedy_action(log_mapping.combined_q(log_values[..., 0], log_values[..., 1]), action_mask)
