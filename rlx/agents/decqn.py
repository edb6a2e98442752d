"""DecQN: decoupled Q-learning of factored actions (Seyde et al. 2023), in two versions.

The value of an action is the mean of its components' utilities (equation 3). ``version=baseline`` is what REValueD's
authors compare with: one critic, double Q-learning, and their torso, exploration and targets that follow smoothly.
``version=2022`` is the first release: twin critics, each of which chooses what the mean of both targets values; the
elementwise maximum of the twins acts; components explore by themselves; targets are copied now and then.
"""

import dataclasses
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
from rlx.ops import exploration, optimisers, polyak, td
from rlx.ops import value_decomposition as decomposition
from rlx.ops.optimisers import Optimiser
from rlx.replay.replay import Sample
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, MultiDiscrete, Needs, PyTree, Timestep, Transition


@struct.dataclass
class DecQN:
    """DecQN for discrete and factored actions, masked or not."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    version: str = hyper(
        "baseline",
        "that of REValueD's authors, or the first release",
        choices=("baseline", "2022"),
        static=True,
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
    importance_exponent: float = fields.importance_exponent(0.2)
    discount: float = fields.discount(0.99)
    learning_rate: float = fields.learning_rate(1e-4)
    max_grad_norm: float = fields.max_grad_norm(40.0)
    target_rate: float = fields.target_rate(0.005)
    target_period: int = hyper(
        0,
        "learning events between copies to the target; 0: it follows by target_rate",
        within="[0, inf)",
        static=True,
    )
    epsilon_initial: float = fields.epsilon_initial(1.0)
    epsilon_decay: float = fields.epsilon_decay(0.999)
    epsilon_final: float = fields.epsilon_final(0.05)
    hidden_size: int = hyper(512, "width of the layers of each critic", within="[1, inf)", static=True)

    @property
    def needs(self) -> Needs:
        """Rollouts of one step by default; parameters act, and how often it has explored."""
        return Needs(self.num_envs, self.rollout_length, acting=("params", "num_explored"))

    def init(self, key: Key) -> FactoredState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one n-step window.
        """
        params = self.critics.init(key, jnp.zeros(self.spec.obs_shape))
        return factored.start(self, params, self.optimiser)

    def act(self, state: FactoredState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """The best choices, or whole random actions; in 2022 random choices of single components."""
        utilities = self.utilities(state, timestep)
        if self.version == "baseline":
            return factored.explore(self, state, utilities, timestep, key, clock)
        # The released code divides the uniform part by N n and not by n, and normalises what comes of it.
        share = self.epsilon_final / len(self.spec.nvec)
        epsilon = share / (1.0 - self.epsilon_final + share)
        valid = decomposition.valid_choices(self.spec.nvec, timestep.action_mask)
        greedy = decomposition.greedy(utilities, valid)
        action = exploration.component_epsilon_greedy(key, greedy, epsilon, valid)
        return action.reshape(-1, *self.spec.action_shape), {"explored": jnp.zeros(len(action), bool)}

    def update(
        self, state: FactoredState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[FactoredState, Metrics]:
        """Store the rollout; once warm, descend on minibatches of the replay; move or copy the targets."""

        def descend(learner: PyTree, sample: Sample, key: Key) -> tuple[PyTree, jax.Array | None, Losses]:
            params, target_params, opt_state = learner
            grads, (errors, metrics) = jax.grad(self.loss, has_aux=True)(params, target_params, sample)
            params, opt_state = self.optimiser.step(grads, opt_state, params, self.learning_rate)
            if self.target_period == 0:
                target_params = polyak.polyak(target_params, params, self.target_rate)
            return (params, target_params, opt_state), factored.priorities(self, errors), metrics

        state, metrics = factored.learn(self, state, rollout, descend, key, clock)
        if self.target_period == 0:
            return state, metrics
        copies = clock.iterations % self.target_period == 0
        return dataclasses.replace(
            state, target_params=polyak.periodic_copy(state.target_params, state.params, copies)
        ), metrics

    def policy(self, state: FactoredState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The best valid action, in either mode."""
        valid = decomposition.valid_choices(self.spec.nvec, timestep.action_mask)
        return decomposition.greedy(self.utilities(state, timestep), valid).reshape(-1, *self.spec.action_shape)

    def utilities(self, state: FactoredState, timestep: Timestep) -> jax.Array:
        """What acts: the greater of the critics' utilities, entry by entry, ``[B, N, n]``."""
        return self.critics.apply(state.params, timestep.obs).max(0)

    @property
    def critics(self) -> DecoupledCritics:
        """Observations to utilities ``[K, ..., N, n]``, ``K`` 1 or, of the twins, 2."""
        first = self.version == "2022"
        return DecoupledCritics(
            self.spec.nvec,
            2 if first else 1,
            self.hidden_size,
            obs_rank=len(self.spec.obs_shape),
            as_released_2022=first,
            shared_norm=not first,
        )

    @property
    def optimiser(self) -> Optimiser:
        """Adam behind a clip of the global gradient norm."""
        return optimisers.adam(self.max_grad_norm)

    def loss(self, params: PyTree, target_params: PyTree, sample: Sample) -> tuple[jax.Array, tuple[jax.Array, Losses]]:
        """Mean Huber loss of the error, summed over twins; also the errors ``[K, B]`` and metrics."""
        batch, weights = sample.batch, factored.weights(self, sample)
        action = batch.action.reshape(len(batch.action), -1)
        chex.assert_rank([batch.reward, batch.terminated, weights], 1)
        next_valid = decomposition.valid_choices(self.spec.nvec, batch.next_action_mask)
        online, target = (self.critics.apply(p, batch.next_obs) for p in (params, target_params))
        value = decomposition.value_of(target.mean(0), decomposition.greedy(online, next_valid), next_valid)
        targets = jax.vmap(jax.vmap(td.td_target), (None, None, None, 0))
        y = targets(batch.reward, batch.discount, batch.terminated, value)
        valid = decomposition.valid_choices(self.spec.nvec, batch.action_mask)
        q_value = decomposition.value_of(self.critics.apply(params, batch.obs), action, valid)
        error = q_value - y
        loss = jnp.mean(weights * td.huber(error, 1.0), axis=1).sum()
        return loss, (error, {"loss": loss, "q_value": q_value.mean(), "td_error": jnp.abs(error).mean()})
