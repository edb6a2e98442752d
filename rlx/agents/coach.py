"""COACH: MacGlashan et al. 2017, "Interactive Learning from Policy-Dependent Human Feedback", in its real-time form.

A policy-gradient learner in which feedback stands where an actor-critic has the TD error: a person praises what is
better than what the learner usually does, which is an advantage under the learner's present policy. No critic, no
discount, no bootstrap, so that the end of an episode means nothing to it.

In every step the gradient of the delayed step's log-probability enters an eligibility trace of each speed, whether
there is feedback or not; feedback then moves the parameters along the trace that the button belongs to. docs/coach.md
says where the author's program does something else.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from rlx.agents import fields
from rlx.learning.delayed import Recent, example_mask, lags_of, whole_steps
from rlx.networks.heads import PreferenceNetwork
from rlx.ops.distributions import Distribution, policy_of
from rlx.ops.telling import told
from rlx.settings import hyper
from rlx.types import (
    Box,
    Clock,
    Discrete,
    EnvSpec,
    Key,
    Metrics,
    Mode,
    MultiDiscrete,
    Needs,
    PyTree,
    Timestep,
    Transition,
)


@struct.dataclass
class Choice:
    """What was done in a step, and among what."""

    obs: jax.Array
    action: jax.Array
    action_mask: jax.Array | None


@struct.dataclass
class COACHState:
    """The policy, and what it did lately.

    Attributes:
        params: of the policy.
        traces: like ``params`` with leading axes ``[max_lag + 1, K, N]``, the newest first.
        recent: the last choices, which late feedback is about.
    """

    params: PyTree
    traces: PyTree
    recent: Recent


@struct.dataclass
class COACH:
    """COACH for discrete, factored (both with masks) and continuous actions."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete, Box)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = fields.num_envs(1)
    rollout_length: int = fields.rollout_length(1)
    learning_rate: float = hyper(0.1, "step size alpha", within="(0, inf)")
    trace_decays: tuple[float, ...] = hyper((0.95, 0.9999), "lambda of each trace, one a button", within="[0, 1]")
    delay: float = hyper(0.0, "steps by which feedback is later than its action, rounded", within="[0, 16]")
    max_lag: int = hyper(0, "most steps of lag that a teacher may tell beyond the delay", within="[0, 16]", static=True)
    carry_across_reset: bool = hyper(True, "let late feedback reach into the episode before", static=True)
    greedy: bool = hyper(False, "act by the likeliest action, as on the robot", static=True)
    max_grad_norm: float | None = hyper(
        None, "largest norm of a gradient that enters a trace; null: any", within="(0, inf)"
    )
    initial_std: float = hyper(0.5, "deviation of continuous actions at the start", within="(0, inf)")
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes(())
    activation: str = fields.activation("tanh")

    @property
    def needs(self) -> Needs:
        """Step by step by default, with a teacher's feedback for rewards; the parameters act."""
        return Needs(self.num_envs, self.rollout_length, feedback=True)

    def init(self, key: Key) -> COACHState:
        """Return a new agent's state: a uniform policy if it is linear."""
        params = self.network.init(key, jnp.zeros(self.spec.obs_shape))
        lead = (self.max_lag + 1, len(self.trace_decays), self.num_envs)
        return COACHState(
            params=params,
            traces=jax.tree.map(lambda x: jnp.zeros((*lead, *x.shape), x.dtype), params),
            recent=Recent.nothing(self.example, self.num_envs),
        )

    def act(self, state: COACHState, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Sample actions, or take the likeliest; the policy in numbers travels along."""
        policy = self.distribution(state.params, timestep.obs, timestep.action_mask)
        return policy.mode() if self.greedy else policy.sample(key), told(policy)

    def update(self, state: COACHState, rollout: Transition, key: Key, clock: Clock) -> tuple[COACHState, Metrics]:
        """Take in the rollout step by step."""
        state, metrics = jax.lax.scan(self.learn, state, rollout)
        return state, Metrics(means=jax.tree.map(jnp.mean, metrics))

    def policy(self, state: COACHState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state.params, timestep.obs, timestep.action_mask)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def network(self) -> PreferenceNetwork:
        """Observations to the parameters of the action distribution."""
        spec = self.spec
        return PreferenceNetwork(spec.action_space, self.hidden_sizes, self.activation, spec.obs_shape)

    @property
    def example(self) -> Choice:
        """A choice of zeros."""
        action = jnp.zeros(self.spec.action_shape, self.spec.action_dtype)
        return Choice(jnp.zeros(self.spec.obs_shape, self.spec.obs_dtype), action, example_mask(self.spec))

    def distribution(self, params: PyTree, obs: jax.Array, action_mask: jax.Array | None) -> Distribution:
        """The policy in ``obs``; a Gaussian's deviation is at least 0.001."""
        outputs = self.network.apply(params, obs)
        if isinstance(self.spec.action_space, Box):
            mean, log_std = outputs
            outputs = mean, jnp.log(jnp.maximum(self.initial_std * jnp.exp(log_std), 1e-3))
        return policy_of(self.spec.action_space, outputs, action_mask)

    def learn(self, state: COACHState, step: Transition) -> tuple[COACHState, dict[str, jax.Array]]:
        """Take in one step of every environment, leaves ``[N, ...]``, whose reward is feedback."""
        trace, lag = lags_of(step)
        recent = state.recent.after(Choice(step.obs, step.action, step.action_mask))
        choice, there = recent.ago(whole_steps(self.delay, jnp.zeros_like(lag)))
        gradients = jax.vmap(self.gradient, (None, 0))(state.params, choice)
        decays = jnp.stack([jnp.asarray(decay) for decay in self.trace_decays])

        def decayed(history: jax.Array, gradient: jax.Array) -> jax.Array:
            """e_k <- lambda_k e_k + grad log pi, in every step, before feedback is applied."""
            newest = _like(decays, history[0]) * history[0] + _like(there, gradient) * gradient
            return jnp.concatenate([newest[None], history[:-1]])

        traces = jax.tree.map(decayed, state.traces, gradients)
        lag = jnp.minimum(lag, self.max_lag)
        meant = lambda history: jax.vmap(lambda e, lag, k: e[lag, k], (2, 0, 0))(history, lag, trace)  # noqa: E731
        # theta <- theta + alpha f e_k
        change = lambda history: self.learning_rate * jnp.tensordot(step.reward, meant(history), 1)  # noqa: E731
        changes = jax.tree.map(change, traces)
        params = jax.tree.map(jnp.add, state.params, changes)
        after = self.at_reset(COACHState(params, traces, recent), step.terminated | step.truncated)
        pressed = (step.reward != 0).mean()
        return after, {"feedback": step.reward.mean(), "pressed": pressed, "change": optax.global_norm(changes)}

    def at_reset(self, state: COACHState, ended: jax.Array) -> COACHState:
        """The state as the next episode finds it, where episodes have ``ended``, bool ``[N]``."""
        if self.carry_across_reset:
            return state
        cleared = lambda e: jnp.where(_like(ended, e[0, 0]), 0.0, e)  # noqa: E731
        traces = jax.tree.map(cleared, state.traces)
        return dataclasses.replace(state, traces=traces, recent=state.recent.forget(ended))

    def gradient(self, params: PyTree, choice: Choice) -> PyTree:
        """``grad log pi(a|s)`` of one choice, shortened if it is too long."""
        gradient = jax.grad(self.log_prob)(params, choice)
        if self.max_grad_norm is None:
            return gradient
        length = optax.global_norm(gradient)
        return jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, self.max_grad_norm / (length + 1e-12)), gradient)

    def log_prob(self, params: PyTree, choice: Choice) -> jax.Array:
        """``log pi(a|s)`` of one choice."""
        return self.distribution(params, choice.obs, choice.action_mask).log_prob(choice.action)


def _like(values: jax.Array, array: jax.Array) -> jax.Array:
    """``values`` ``[n]`` with as many axes as ``array`` ``[n, ...]``."""
    return values.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
