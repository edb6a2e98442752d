"""TAMER: Knox and Stone 2009, "Interactively Shaping Agents via Human Reinforcement", and Q-learning on feedback.

A model ``H`` of the feedback that an action earns, and behaviour that is greedy in it. As COACH's baselines have it:

* ``credit=step``: ``H(s, a) <- H(s, a) + alpha (f - H(s, a))`` in every step, without feedback too.
* ``credit=window``: only feedback teaches, every recent step by the probability that it was meant (`uniform_credit`).
* ``discount`` above 0: Q-learning that takes feedback for reward.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning.delayed import LONGEST_DELAY, Recent, example_mask, lags_of, whole_steps
from rlx.networks.heads import PreferenceNetwork
from rlx.ops import td
from rlx.ops.credit import uniform_credit
from rlx.ops.distributions import Categorical
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, Needs, PyTree, Timestep, Transition


@struct.dataclass
class Step:
    """What was done in a step, and what came of it."""

    obs: jax.Array
    action: jax.Array
    next_obs: jax.Array
    terminated: jax.Array
    next_action_mask: jax.Array | None


@struct.dataclass
class TAMERState:
    """The model's parameters, and the last steps, which late feedback is about."""

    params: PyTree
    recent: Recent


@struct.dataclass
class TAMER:
    """TAMER for discrete actions, masked or not."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = fields.num_envs(1)
    rollout_length: int = fields.rollout_length(1)
    learning_rate: float = hyper(0.2, "step size alpha", within="(0, inf)")
    discount: float = hyper(0.0, "0: TAMER; above: Q-learning on feedback (credit=step)", within="[0, 1]")
    epsilon: float = hyper(0.1, "probability of a random action", within="[0, 1]")
    credit: str = hyper("step", "what feedback teaches: one step, or a window", choices=("step", "window"), static=True)
    delay: float = hyper(0.0, "step: steps by which feedback is late, rounded", within="[0, 16]")
    shortest_delay: float = hyper(0.0, "window: steps after which feedback comes, at least", within="[0, 16)")
    delay_spread: float = hyper(3.0, "window: up to so many steps more", within="(0, 16]")
    carry_across_reset: bool = hyper(True, "let late feedback reach into the episode before", static=True)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes(())
    activation: str = fields.activation("tanh")

    @property
    def needs(self) -> Needs:
        """Step by step by default, with a teacher's feedback for rewards; the parameters act."""
        return Needs(self.num_envs, self.rollout_length, feedback=True)

    def init(self, key: Key) -> TAMERState:
        """Return a new agent's state: a model that expects nothing if it is linear."""
        obs = jnp.zeros(self.spec.obs_shape, self.spec.obs_dtype)
        example = Step(obs, jnp.int32(0), obs, jnp.zeros((), bool), example_mask(self.spec))
        params = self.network.init(key, jnp.zeros(self.spec.obs_shape))
        return TAMERState(params, Recent.nothing(example, self.num_envs))

    def act(self, state: TAMERState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Epsilon-greedy actions; their probabilities travel along."""
        behaviour = self.behaviour(state.params, timestep, self.epsilon)
        return Categorical(jnp.log(behaviour), timestep.action_mask).sample(key), {"probabilities": behaviour}

    def update(self, state: TAMERState, rollout: Transition, key: Key, clock: Clock) -> tuple[TAMERState, Metrics]:
        """Take in the rollout step by step."""
        state, metrics = jax.lax.scan(self.learn, state, rollout)
        return state, Metrics(means=jax.tree.map(jnp.mean, metrics))

    def policy(self, state: TAMERState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """An action that the model expects most of; of several one at random."""
        greedy = self.behaviour(state.params, timestep, 0.0)
        return Categorical(jnp.log(greedy), timestep.action_mask).sample(key)

    @property
    def network(self) -> PreferenceNetwork:
        """Observations to the feedback expected of each action, ``[..., A]``."""
        spec = self.spec
        return PreferenceNetwork(spec.action_space, self.hidden_sizes, self.activation, spec.obs_shape)

    def behaviour(self, params: PyTree, timestep: Timestep, epsilon: float | jax.Array) -> jax.Array:
        """Probabilities ``[N, A]`` of epsilon-greedy actions, greedy ones all alike."""
        values = self.network.apply(params, timestep.obs)
        valid = jnp.ones(values.shape, bool) if timestep.action_mask is None else timestep.action_mask
        best = valid & (values == jnp.max(values, axis=-1, keepdims=True, where=valid, initial=-jnp.inf))
        share = lambda chosen: chosen / jnp.maximum(chosen.sum(-1, keepdims=True), 1)  # noqa: E731
        return (1.0 - epsilon) * share(best) + epsilon * share(valid)

    def learn(self, state: TAMERState, step: Transition) -> tuple[TAMERState, dict[str, jax.Array]]:
        """Take in one step of every environment, leaves ``[N, ...]``, whose reward is feedback."""
        taken = Step(step.obs, step.action, step.next_obs, step.terminated, step.next_action_mask)
        recent = state.recent.after(taken)
        loss, gradient = jax.value_and_grad(self.loss)(state.params, recent, step)
        params = jax.tree.map(lambda x, g: x - self.learning_rate * g, state.params, gradient)
        if not self.carry_across_reset:
            recent = recent.forget(step.terminated | step.truncated)
        metrics = {"loss": loss, "feedback": step.reward.mean(), "pressed": (step.reward != 0).mean()}
        return TAMERState(params, recent), metrics

    def loss(self, params: PyTree, recent: Recent, step: Transition) -> jax.Array:
        """Half the squared errors of what was expected of the steps that feedback is about, summed over them."""
        _, lag = lags_of(step)
        if self.credit == "step":
            about, there = recent.ago(whole_steps(self.delay, lag))
            return jnp.sum(there * 0.5 * jnp.square(self.errors(params, about, step.reward)))
        age = jnp.arange(LONGEST_DELAY + 1.0)[:, None]
        weight = uniform_credit(
            -age - 1.0,
            -age,
            -lag[None].astype(jnp.float32),
            self.shortest_delay,
            self.shortest_delay + self.delay_spread,
        )
        there = (age < recent.count) & (step.reward != 0)
        errors = jax.vmap(self.errors, (None, 0, None))(params, recent.steps, step.reward)
        return jnp.sum(there * weight * 0.5 * jnp.square(errors))

    def errors(self, params: PyTree, about: Step, feedback: jax.Array) -> jax.Array:
        """What feedback ``[N]`` says less what was expected of the steps it is about, ``[N]``."""
        values, following = (self.network.apply(params, obs) for obs in (about.obs, about.next_obs))
        expected = jnp.take_along_axis(values, about.action[:, None], axis=-1)[:, 0]
        target = lambda *of: td.q_target(of[0], self.discount, *of[1:])  # noqa: E731
        return jax.vmap(target)(feedback, about.terminated, following, about.next_action_mask) - expected
