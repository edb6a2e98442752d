"""BDQ: action branching with dueling heads, for factored actions (Tavakoli et al. 2018).

Every component has a branch of its own on a shared torso, ``Q_i = V + A_i - mean(A_i)``. All branches are regressed on
one target, the reward and the mean of what the branches' own double Q-learning promises. Torso, exploration and n-step
windows are those of REValueD's authors, so that the two methods differ in heads and loss alone.
"""

from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning import factored
from rlx.learning.factored import FactoredState
from rlx.learning.off_policy import Losses
from rlx.networks.decoupled import DecoupledCritics
from rlx.ops import optimisers, polyak, td
from rlx.ops import value_decomposition as decomposition
from rlx.ops.optimisers import Optimiser
from rlx.replay.replay import Sample
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, MultiDiscrete, Needs, PyTree, Timestep, Transition


@struct.dataclass
class BDQ:
    """BDQ for discrete and factored actions, masked or not."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    loss: str = hyper(
        "squared", "of each branch's TD error; squared without a half", choices=("squared", "huber"), static=True
    )
    num_envs: int = fields.num_envs(5)
    rollout_length: int = fields.rollout_length(1)
    num_updates: int = fields.num_updates(1)
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(500_000)
    learning_starts: int = fields.learning_starts(10_000)
    n_step: int = fields.n_step(3)
    drop_cut_windows: bool = fields.drop_cut_windows(False)
    prioritise: bool = fields.prioritise(False)
    priority_exponent: float = fields.priority_exponent(0.6)
    importance_exponent: float = fields.importance_exponent(0.4)
    discount: float = fields.discount(0.99)
    learning_rate: float = fields.learning_rate(1e-4)
    max_grad_norm: float = hyper(10.0, "largest norm of the gradient of each parameter array", within="(0, inf)")
    target_rate: float = fields.target_rate(0.005)
    epsilon_initial: float = fields.epsilon_initial(1.0)
    epsilon_decay: float = fields.epsilon_decay(0.999)
    epsilon_final: float = fields.epsilon_final(0.05)
    hidden_size: int = hyper(512, "width of the torso's layers", within="[1, inf)", static=True)
    branch_size: int = hyper(128, "hidden units of each branch and of the value", within="[1, inf)", static=True)

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; parameters act, and how often it has explored."""
        return Needs(self.num_envs, self.rollout_length, acting=("params", "num_explored"))

    def init(self, key: Key) -> FactoredState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one n-step window.
        """
        params = self.critic.init(key, jnp.zeros(self.spec.obs_shape))
        return factored.start(self, params, self.optimiser)

    def act(self, state: FactoredState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """The best choice of each branch, or whole random actions."""
        return factored.explore(self, state, self.critic.apply(state.params, timestep.obs)[0], timestep, key, clock)

    def update(
        self, state: FactoredState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[FactoredState, Metrics]:
        """Store the rollout; once warm, descend on minibatches of the replay, the targets following every time."""

        def descend(learner: PyTree, sample: Sample, key: Key) -> tuple[PyTree, jax.Array | None, Losses]:
            params, target_params, opt_state = learner
            grads, (errors, metrics) = jax.grad(self.branch_loss, has_aux=True)(params, target_params, sample)
            params, opt_state = self.optimiser.step(grads, opt_state, params, self.learning_rate)
            target_params = polyak.polyak(target_params, params, self.target_rate)
            return (params, target_params, opt_state), factored.priorities(self, errors), metrics

        return factored.learn(self, state, rollout, descend, key, clock)

    def policy(self, state: FactoredState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The best valid choice of each branch, in either mode."""
        valid = decomposition.valid_choices(self.spec.nvec, timestep.action_mask)
        utilities = self.critic.apply(state.params, timestep.obs)[0]
        return decomposition.greedy(utilities, valid).reshape(-1, *self.spec.action_shape)

    @property
    def critic(self) -> DecoupledCritics:
        """Observations to the branches' values ``[1, ..., N, n]``."""
        return DecoupledCritics(
            self.spec.nvec, 1, self.hidden_size, obs_rank=len(self.spec.obs_shape), dueling=self.branch_size
        )

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the gradient of each array."""
        return optimisers.adam_clipped_by_array(self.max_grad_norm)

    def branch_loss(
        self, params: PyTree, target_params: PyTree, sample: Sample
    ) -> tuple[jax.Array, tuple[jax.Array, Losses]]:
        """Mean squared error of all branches on one target; also their errors ``[N, B]`` and metrics."""
        batch, weights = sample.batch, factored.weights(self, sample)
        action = batch.action.reshape(len(batch.action), -1)
        chex.assert_rank([batch.reward, batch.terminated, weights], 1)
        next_valid = decomposition.valid_choices(self.spec.nvec, batch.next_action_mask)
        online, target = (self.critic.apply(p, batch.next_obs) for p in (params, target_params))
        value = decomposition.value_of(target, decomposition.greedy(online, next_valid), next_valid)[0]
        y = jax.vmap(td.td_target)(batch.reward, batch.discount, batch.terminated, value)
        q_value = decomposition.selected(self.critic.apply(params, batch.obs)[0], action)
        valid = decomposition.valid_choices(self.spec.nvec, batch.action_mask).any(-1)
        error = jnp.where(valid, q_value - y[:, None], 0.0)
        losses = jnp.square(error) if self.loss == "squared" else td.huber(error, 1.0)
        loss = jnp.mean(weights[:, None] * losses)
        metrics = {"loss": loss, "q_value": q_value.mean(), "td_error": jnp.abs(error).mean()}
        return loss, (error.T, metrics)
