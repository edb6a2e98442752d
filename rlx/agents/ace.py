"""ACE: off-policy actor-critic with causality-aware entropy regularisation (Ji et al. 2024).

SAC, whose entropy weighs each dimension of the action by what it causes of the reward (section 3.2), and whose
networks are now and then mixed with new ones, the more so the more neurons of the policy are gradient-dormant (section
3.3). With ``weights=none`` and ``reset=false`` it is `rlx.agents.sac`, bit for bit.

``configs/agent/ace_released.yaml`` states the settings of the released code; docs/ace.md tells where it differs from
the paper.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.agents.sac import ACTIVATIONS, SAC, Learner
from rlx.errors import ConfigurationError
from rlx.learning import off_policy
from rlx.learning.off_policy import Losses
from rlx.networks.dormancy import dormancy, fresh
from rlx.networks.dynamics import flat_observation
from rlx.ops import lingam, polyak
from rlx.replay import replay as replays
from rlx.replay.replay import Replay, Sample
from rlx.settings import hyper, settings_of
from rlx.types import Box, Clock, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition


@struct.dataclass
class ACEState:
    """SAC's state, the causal weights, and how many neurons were dormant.

    Attributes:
        params: of actor, critics and temperature.
        target_params: of the critics' targets.
        opt_state: by name, as ``params``.
        replay: the transitions.
        weights: of the action's dimensions in the entropy, ``[D]``; their sum is ``D``.
        dormancy: share of the policy's neurons whose gradient was small when it was last updated.
    """

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    replay: Replay
    weights: jax.Array
    dormancy: jax.Array


@struct.dataclass
class ACE:
    """ACE for continuous actions; causal SAC with ``reset=false``, SAC with resets with ``weights=none``."""

    accepts: ClassVar[tuple[type, ...]] = (Box,)

    spec: EnvSpec = struct.field(pytree_node=False)
    weights: str = hyper(
        "lingam",
        "how they are estimated: with a search of the causal order, by a regression as if the reward caused nothing, "
        "or not at all",
        choices=("lingam", "sink", "none"),
        static=True,
    )
    variant: str = hyper("orig", "arithmetic of the causal discovery", choices=lingam.VARIANTS, static=True)
    constants: str = hyper(
        "collapse",
        "with a constant variable, order all as they come, as the released code, or leave it out",
        choices=lingam.CONSTANTS,
        static=True,
    )
    standardise: bool = hyper(False, "weights of coefficients in deviations of action and reward", static=True)
    interval: int = hyper(10_000, "environment steps between estimates", within="[1, inf)", static=True)
    window: int = hyper(10_000, "newest transitions of an estimate", within="[1, inf)", static=True)
    reset: bool = hyper(True, "mix the networks with new ones", static=True)
    reset_period: int = hyper(100_000, "updates between resets", within="[1, inf)", static=True)
    dormancy_threshold: float = hyper(0.05, "share of its layer's mean gradient below which a neuron is dormant: tau",
                                      within="[0, inf)")  # fmt: skip
    least_reset: float = hyper(0.1, "least share of the new networks in a reset", within="[0, 1]")
    most_reset: float = hyper(0.8, "largest share of the new networks in a reset", within="[0, 1]")
    released_start: bool = hyper(False, "a temperature of 0.2 in the first update, as the released code", static=True)
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
    def sac(self) -> SAC:
        """The agent that this one is made of."""
        return SAC(self.spec, **{name: vars(self)[name] for name in settings_of(SAC)})

    @property
    def needs(self) -> Needs:
        """SAC's."""
        return self.sac.needs

    def init(self, key: Key) -> ACEState:
        """Return a new agent's state, its replay empty.

        Raises:
            ConfigurationError: if the replay is too small for one event or one window, the interval is no whole number
                of events, or the window holds fewer transitions than there are variables.
        """
        state = self.sac.init(key)
        if self.weights != "none":
            self._check_window(state.replay.ring.capacity * self.num_envs)
        parts = {field.name: vars(state)[field.name] for field in dataclasses.fields(state)}
        return ACEState(**parts, weights=jnp.ones(self.spec.action_shape), dormancy=jnp.zeros(()))

    def act(self, state: ACEState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """SAC's action."""
        return self.sac.act(state, timestep, key, clock)  # type: ignore[arg-type]

    def update(self, state: ACEState, rollout: Transition, key: Key, clock: Clock) -> tuple[ACEState, Metrics]:
        """Store the rollout, estimate the weights where it is time, and once warm make SAC's updates with them."""
        count = clock.iterations * self.rollout_length
        replay = replays.add(state.replay, rollout, count)
        weights = self.estimated(state.weights, replay, count, clock)

        def descend(carry: PyTree, sample: Sample, key: Key) -> tuple[PyTree, None, Losses]:
            learner, share, number = carry
            learner, share, losses = self.descend(learner, share, sample, key, number, weights)
            return (learner, share, number + 1), None, losses

        learner = Learner(state.params, state.target_params, state.opt_state)
        carry = learner, state.dormancy, off_policy.updates_before(self, clock)
        replay, (learner, share, _), metrics = off_policy.learn_from_stored(
            self, replay, count, carry, descend, key, clock
        )
        last = {"causal_weights": weights, "weights_from_uniform": distance_from_uniform(weights)}
        state = ACEState(learner.params, learner.target_params, learner.opt_state, replay, weights, share)
        return state, dataclasses.replace(metrics, last=last)

    def policy(self, state: ACEState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """SAC's action."""
        return self.sac.policy(state, timestep, key, mode)  # type: ignore[arg-type]

    def estimated(self, weights: jax.Array, replay: Replay, count: jax.Array, clock: Clock) -> jax.Array:
        """New weights of the newest transitions where an interval ends and the window is full, else the old ones."""
        if self.weights == "none":
            return weights
        ends = clock.iterations % (self.interval // clock.steps_per_iteration) == 0

        def estimate() -> jax.Array:
            newest, _ = replays.newest_in_order(replay, count, self.window)
            return self.causal_weights(newest)

        return jax.lax.cond(ends & clock.reached(self.window), estimate, lambda: weights)

    def causal_weights(self, transitions: Transition) -> jax.Array:
        """``D softmax(c)`` of the effects ``c`` of the action's dimensions on the reward, from ``[n, ...]``."""
        obs, action = flat_observation(self.spec, transitions.obs), transitions.action
        x = jnp.concatenate([obs, action, transitions.reward[:, None]], axis=-1)
        reward = x.shape[1] - 1
        if self.weights == "sink":
            effect = lingam.sink_row(x, reward, self.variant)
        else:
            effect = lingam.row(x, reward, self.variant, self.constants)
        if self.standardise:
            effect = effect * x.std(0) / jnp.maximum(x[:, reward].std(), jnp.finfo(x.dtype).tiny)
        return action.shape[1] * jax.nn.softmax(effect[obs.shape[1] : reward])

    def descend(
        self, learner: Learner, share: jax.Array, sample: Sample, key: Key, number: jax.Array, weights: jax.Array
    ) -> tuple[Learner, jax.Array, Losses]:
        """SAC's update ``number`` with weights, and where it is time a reset; also the policy's dormancy."""
        sac, batch = self.sac, sample.batch
        key, reset_key = jax.random.split(key) if self.reset else (key, key)
        critic_key, actor_key = jax.random.split(key)
        alpha = jnp.exp(learner.params["log_alpha"])
        if self.released_start:
            alpha = jnp.where(number == 0, 0.2, alpha)
        learner, losses, grads = sac.fit_critics(learner, batch, critic_key, alpha, weights)
        of_critics = jax.vmap(dormancy, (0, None))(grads, self.dormancy_threshold).mean()

        def improve(carry: tuple[Learner, jax.Array]) -> tuple[tuple[Learner, jax.Array], Losses]:
            learner, losses, grads = sac.improve_actor(carry[0], batch.obs, actor_key, alpha, weights)
            return (learner, dormancy(grads, self.dormancy_threshold)), losses

        (learner, share), more = off_policy.every(self.actor_period, number, improve, (learner, share))
        if self.reset:
            ends = (number > 0) & (number % self.reset_period == 0)
            learner = jax.lax.cond(ends, lambda: self.mixed(learner, share, reset_key), lambda: learner)
        return learner, share, losses | more | {"dormancy_actor": share, "dormancy_critics": of_critics}

    def mixed(self, learner: Learner, share: jax.Array, key: Key) -> Learner:
        """Networks ``(1 - eta) theta + eta phi``, ``phi`` new and ``eta`` the clipped dormancy, and new Adams of them.

        Policy, critics and their targets each get an independent draw; the temperature stays as it is.
        """
        eta = jnp.clip(share, self.least_reset, self.most_reset)
        actor_key, critic_key, target_key = jax.random.split(key, 3)
        twins = lambda key, like: jax.vmap(fresh)(jax.random.split(key, 2), like)  # noqa: E731
        networks = {
            "actor": polyak.polyak(learner.params["actor"], fresh(actor_key, learner.params["actor"]), eta),
            "critics": polyak.polyak(learner.params["critics"], twins(critic_key, learner.params["critics"]), eta),
        }
        opt_state = {name: self.sac.optimiser.init(part) for name, part in networks.items()}
        return Learner(
            params=learner.params | networks,
            target_params=polyak.polyak(learner.target_params, twins(target_key, learner.target_params), eta),
            opt_state=learner.opt_state | opt_state,
        )

    def _check_window(self, held: int) -> None:
        """Refuse windows and intervals that do not fit.

        Raises:
            ConfigurationError: naming what does.
        """
        variables = flat_observation(self.spec, jnp.zeros(self.spec.obs_shape)).size + self.spec.action_shape[0] + 1
        if not variables < self.window <= held:
            raise ConfigurationError(
                f"window={self.window} must exceed the {variables} variables of {self.spec.name}, and its transitions "
                f"fit into the replay's {held}"
            )
        event = self.num_envs * self.rollout_length
        if self.interval % event:
            raise ConfigurationError(
                f"interval={self.interval} is no whole number of learning events of {event} steps; "
                f"take {max(event, self.interval - self.interval % event)}"
            )


def distance_from_uniform(weights: jax.Array) -> jax.Array:
    """Share of the weight that would have to move to make all weights 1: total variation, in [0, 1 - 1 / D]."""
    return 0.5 * jnp.abs(weights / len(weights) - 1.0 / len(weights)).sum()
