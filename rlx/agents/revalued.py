"""REValueD: an ensemble of decoupled critics with a regulariser, for factored actions (Ireland and Montana 2024).

The value of an action is the mean of its components' utilities (equation 3.1). ``K`` critics share one target: the
value of the best action of the mean of their target networks. While training, one critic drawn for each environment and
step acts; the mean of all acts in evaluation.

One learning event: every environment takes ``rollout_length`` steps, the transitions enter the replay, and once
``learning_starts`` steps have been taken at random ``num_updates`` minibatches are drawn from it.
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
from rlx.ops import optimisers, polyak, target_difference, td
from rlx.ops import value_decomposition as decomposition
from rlx.ops.optimisers import Optimiser
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Sample
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, MultiDiscrete, Needs, PyTree, Timestep, Transition


@struct.dataclass
class REValueD:
    """REValueD for discrete and factored actions, masked or not."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_critics: int = hyper(10, "critics of the ensemble", within="[1, inf)", static=True)
    bootstrap: str = hyper(
        "mean",
        "value of the next state: of the target critics' mean, mean of their own best, each critic's own double "
        "Q-learning, each one's choice valued by the mean, or the lesser of two critics",
        choices=tuple(decomposition.BOOTSTRAPS),
        static=True,
    )
    regularise: bool = hyper(True, "hold utilities near the target networks' (see regulariser)", static=True)
    regulariser: float = hyper(0.5, "weight of that part of the loss: the paper's beta", within="[0, inf)")
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
    importance_exponent: float = fields.importance_exponent(0.2)
    discount: float = fields.discount(0.99)
    learning_rate: float = fields.learning_rate(1e-4)
    max_grad_norm: float = fields.max_grad_norm(40.0)
    target_rate: float = fields.target_rate(0.005)
    epsilon_initial: float = fields.epsilon_initial(1.0)
    epsilon_decay: float = fields.epsilon_decay(0.999)
    epsilon_final: float = fields.epsilon_final(0.05)
    hidden_size: int = hyper(512, "width of the layers of each critic", within="[1, inf)", static=True)
    shared_norm: bool = hyper(True, "one scale and offset of the normalisation for all critics", static=True)

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; parameters act, and how often it has explored."""
        return Needs(self.num_envs, self.rollout_length, acting=("params", "num_explored"))

    def init(self, key: Key) -> FactoredState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one n-step window, or the bootstrap needs
                more critics.
        """
        factored.check_critics(self.bootstrap, self.num_critics)
        params = self.critics.init(key, jnp.zeros(self.spec.obs_shape))
        return factored.start(self, params, self.optimiser)

    def act(self, state: FactoredState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """The best action of one critic an environment, or, as one, a random one."""
        member_key, explore_key = jax.random.split(key)
        utilities = self.critics.apply(state.params, timestep.obs)
        envs = timestep.reward.shape[0]
        member = jax.random.randint(member_key, (envs,), 0, self.num_critics)
        return factored.explore(self, state, utilities[member, jnp.arange(envs)], timestep, explore_key, clock)

    def update(
        self, state: FactoredState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[FactoredState, Metrics]:
        """Store the rollout; once warm, descend on minibatches of the replay, the targets following every time."""

        def descend(learner: PyTree, sample: Sample, key: Key) -> tuple[PyTree, jax.Array | None, Losses]:
            params, target_params, opt_state = learner
            grads, (errors, metrics) = jax.grad(self.loss, has_aux=True)(params, target_params, sample, key)
            params, opt_state = self.optimiser.step(grads, opt_state, params, self.learning_rate)
            target_params = polyak.polyak(target_params, params, self.target_rate)
            return (params, target_params, opt_state), factored.priorities(self, errors), metrics

        return factored.learn(self, state, rollout, descend, key, clock)

    def policy(self, state: FactoredState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The best valid action of the critics' mean, in either mode."""
        utilities = self.critics.apply(state.params, timestep.obs).mean(0)
        valid = decomposition.valid_choices(self.spec.nvec, timestep.action_mask)
        return decomposition.greedy(utilities, valid).reshape(-1, *self.spec.action_shape)

    @property
    def critics(self) -> DecoupledCritics:
        """Observations to utilities ``[K, ..., N, n]``."""
        shape = self.spec.obs_shape
        return DecoupledCritics(
            self.spec.nvec, self.num_critics, self.hidden_size, obs_rank=len(shape), shared_norm=self.shared_norm
        )

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the norm of all critics' gradient together."""
        return optimisers.adam(self.max_grad_norm)

    def value_target(self, params: PyTree, next_utilities: jax.Array, batch: NStepBatch, key: Key) -> jax.Array:
        """``y = R + discount^n (1 - terminated) v``, ``[B]`` of all critics or ``[K, B]`` of each.

        ``next_utilities`` are those of the target critics in the next states, ``[K, B, N, n]``.
        """
        online = self.critics.apply(params, batch.next_obs)
        valid = decomposition.valid_choices(self.spec.nvec, batch.next_action_mask)
        value = decomposition.BOOTSTRAPS[self.bootstrap](online, next_utilities, valid, key)
        targets = jax.vmap(td.td_target)
        targets = targets if value.ndim == 1 else jax.vmap(targets, (None, None, None, 0))
        return targets(batch.reward, batch.discount, batch.terminated, value)

    def taken(self, params: PyTree, batch: NStepBatch) -> jax.Array:
        """Utilities ``[K, B, N]`` of the choices taken; 0 where a component had none."""
        valid = decomposition.valid_choices(self.spec.nvec, batch.action_mask).any(-1)
        action = batch.action.reshape(len(batch.action), -1)
        return jnp.where(valid, decomposition.selected(self.critics.apply(params, batch.obs), action), 0.0)

    def loss(
        self, params: PyTree, target_params: PyTree, sample: Sample, key: Key
    ) -> tuple[jax.Array, tuple[jax.Array, Losses]]:
        """Mean Huber loss of every critic's error, and the regulariser; also the errors ``[K, B]`` and metrics."""
        batch, weights = sample.batch, factored.weights(self, sample)
        chex.assert_rank([batch.reward, batch.terminated, weights], 1)
        next_utilities = self.critics.apply(target_params, batch.next_obs)
        y = self.value_target(params, next_utilities, batch, key)
        utility = self.taken(params, batch)
        error = utility.mean(-1) - y  # delta_k = Q_k(s, a) - y
        td_loss = jnp.mean(weights * td.huber(error, 1.0))
        loss, held = td_loss, jnp.zeros(())
        if self.regularise:
            held = jnp.mean(weights[:, None] * decomposition.regulariser(utility, self.taken(target_params, batch), y))
            loss += self.regulariser * held  # L = L_td + beta L_r
        metrics = {
            "loss": loss,
            "td_loss": td_loss,
            "regulariser_loss": held,
            "q_value": utility.mean(),
            "td_error": jnp.abs(error).mean(),
        }
        return loss, (error, metrics | self.diagnostics(next_utilities, batch))

    def diagnostics(self, next_utilities: jax.Array, batch: NStepBatch) -> Losses:
        """What is seen of the target difference (section 4), and about which components critics disagree."""
        if self.num_critics == 1:
            return {}
        valid = decomposition.valid_choices(self.spec.nvec, batch.next_action_mask)
        return target_difference.observed(next_utilities, valid)
