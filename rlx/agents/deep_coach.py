"""Deep COACH: Arumugam et al. 2019, "Deep Reinforcement Learning from Policy-Dependent Human Feedback" (algorithm 1).

COACH for networks. The steps that led up to a press are kept as a *window*, and every step from the first press on
learns from a minibatch of windows, so that one press is used many times. In a window, weights fall by lambda from its
newest step back; importance ratios stand for how likely its actions are now; an entropy bonus keeps the policy, which
acts by its likeliest action, from hardening.

The paper's frozen encoder of images is not here: observations go into the network as they are.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rlx.agents import fields
from rlx.learning.delayed import Recent, example_mask, whole_steps
from rlx.networks.heads import PreferenceNetwork
from rlx.ops import optimisers
from rlx.ops.distributions import Distribution, policy_of
from rlx.ops.optimisers import Optimiser
from rlx.ops.telling import told
from rlx.settings import hyper
from rlx.types import Clock, Discrete, EnvSpec, Key, Metrics, Mode, MultiDiscrete, Needs, PyTree, Timestep, Transition


@struct.dataclass
class Entry:
    """What was done in a step, and how likely it was, as a logarithm."""

    obs: jax.Array
    action: jax.Array
    action_mask: jax.Array | None
    log_prob: jax.Array


@struct.dataclass
class Windows:
    """Stored windows, ``C`` at most, the oldest overwritten first.

    Attributes:
        entries: leaves ``[C, L, ...]``, the newest step last.
        length: int32 ``[C]``, how many of a window's last entries are there.
        feedback: float32 ``[C]``, what closed it.
        count: int32, windows ever stored.
    """

    entries: Entry
    length: jax.Array
    feedback: jax.Array
    count: jax.Array


@struct.dataclass
class DeepCOACHState:
    """The policy, its optimiser, the window that is open, and those that are closed.

    Attributes:
        params: of the policy.
        opt_state: RMSProp's.
        recent: the last steps, which late feedback is about.
        window: the open window, leaves ``[L, ...]``, the newest step last.
        length: int32, how many steps it has.
        windows: the closed ones.
    """

    params: PyTree
    opt_state: PyTree
    recent: Recent
    window: Entry
    length: jax.Array
    windows: Windows


@struct.dataclass
class DeepCOACH:
    """Deep COACH for discrete and factored actions, masked or not, in one environment."""

    accepts: ClassVar[tuple[type, ...]] = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    learning_rate: float = fields.learning_rate(2.5e-4)
    trace_decay: float = hyper(0.35, "lambda, by which a window's older steps count less", within="[0, 1]")
    delay: float = hyper(1.0, "steps by which feedback is later than its action, rounded", within="[0, 16]")
    window_length: int = hyper(10, "most steps of a window: L", within="[1, inf)", static=True)
    batch_size: int = hyper(16, "windows in a minibatch; 0: learn from a window once, when it closes", static=True)
    replay_size: int = hyper(512, "windows that are kept", within="[1, inf)", static=True)
    entropy_coefficient: float = fields.entropy_coefficient(1.5)
    greedy: bool = hyper(True, "act by the likeliest action", static=True)
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((30, 30))
    activation: str = fields.activation("relu")

    @property
    def needs(self) -> Needs:
        """One environment, step by step, with a teacher's feedback for rewards; the parameters act."""
        return Needs(1, 1, feedback=True)

    def init(self, key: Key) -> DeepCOACHState:
        """Return a new agent's state, no window stored."""
        params = self.network.init(key, jnp.zeros(self.spec.obs_shape))
        blank = lambda *lead: jax.tree.map(lambda x: jnp.zeros((*lead, *x.shape), x.dtype), self.example)  # noqa: E731
        size, zero = self.replay_size, jnp.int32(0)
        return DeepCOACHState(
            params=params,
            opt_state=self.optimiser.init(params),
            recent=Recent.nothing(self.example, 1),
            window=blank(self.window_length),
            length=zero,
            windows=Windows(blank(size, self.window_length), jnp.zeros(size, jnp.int32), jnp.zeros(size), zero),
        )

    def act(
        self, state: DeepCOACHState, timestep: Timestep, key: Key, clock: Clock
    ) -> tuple[jax.Array, dict[str, Any]]:
        """The likeliest action, or a sampled one; its log-probability and the policy in numbers travel along."""
        policy = self.distribution(state.params, timestep.obs, timestep.action_mask)
        action = policy.mode() if self.greedy else policy.sample(key)
        return action, {"log_prob": policy.log_prob(action), **told(policy)}

    def update(
        self, state: DeepCOACHState, rollout: Transition, key: Key, clock: Clock
    ) -> tuple[DeepCOACHState, Metrics]:
        """Add the delayed step to the open window, close it if there is feedback, and learn from closed ones."""
        step: Transition = jax.tree.map(lambda x: x[0], rollout)
        entry = Entry(step.obs, step.action, step.action_mask, step.extras["log_prob"])
        recent, feedback = state.recent.after(entry), step.reward[0]
        window, length = self.opened(state, recent)
        closes = (feedback != 0) & (length > 0)
        windows = _stored(state.windows, window, length, feedback, closes)
        batch, there = self.minibatch(windows, closes, key)
        current = jax.tree.map(lambda x: x[0], entry)
        loss, gradients = jax.value_and_grad(lambda params: -self.objective(params, *batch, current))(state.params)
        stepped = self.optimiser.step(gradients, state.opt_state, state.params, self.learning_rate)
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(there, new, old), stepped, (state.params, state.opt_state)
        )
        length = jnp.where(closes, 0, length)
        metrics = Metrics(
            means={"loss": loss, "feedback": feedback, "pressed": (feedback != 0).astype(jnp.float32)},
            last={"windows": windows.count.astype(jnp.float32)},
        )
        return DeepCOACHState(params, opt_state, recent, window, length, windows), metrics

    def policy(self, state: DeepCOACHState, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """The most likely action, or a sampled one."""
        policy = self.distribution(state.params, timestep.obs, timestep.action_mask)
        return policy.mode() if mode == "greedy" else policy.sample(key)

    @property
    def network(self) -> PreferenceNetwork:
        """Observations to logits."""
        return PreferenceNetwork(self.spec.action_space, self.hidden_sizes, self.activation, self.spec.obs_shape)

    @property
    def optimiser(self) -> Optimiser:
        """RMSProp."""
        return optimisers.rmsprop(decay=0.99, eps=1e-5)

    @property
    def example(self) -> Entry:
        """An entry of zeros."""
        obs = jnp.zeros(self.spec.obs_shape, self.spec.obs_dtype)
        action = jnp.zeros(self.spec.action_shape, self.spec.action_dtype)
        return Entry(obs, action, example_mask(self.spec), jnp.zeros(()))

    def distribution(self, params: PyTree, obs: jax.Array, action_mask: jax.Array | None) -> Distribution:
        """The policy in ``obs``."""
        return policy_of(self.spec.action_space, self.network.apply(params, obs), action_mask)

    def opened(self, state: DeepCOACHState, recent: Recent) -> tuple[Entry, jax.Array]:
        """The open window and its length with the delayed step added, if there is one."""
        delayed, there = recent.ago(whole_steps(self.delay, jnp.zeros(1, jnp.int32)))
        added = jax.tree.map(lambda kept, new: jnp.concatenate([kept[1:], new]), state.window, delayed)
        window = jax.tree.map(lambda new, old: jnp.where(there[0], new, old), added, state.window)
        return window, jnp.minimum(state.length + there[0], self.window_length)

    def minibatch(
        self, windows: Windows, closes: jax.Array, key: Key
    ) -> tuple[tuple[Entry, jax.Array, jax.Array], jax.Array]:
        """Windows to learn from, as `objective` takes them, and whether there are any."""
        stored = jnp.minimum(windows.count, self.replay_size)
        if self.batch_size == 0:
            chosen, there = (windows.count[None] - 1) % self.replay_size, closes
        else:
            chosen = jax.random.randint(key, (self.batch_size,), 0, jnp.maximum(stored, 1))
            there = stored > 0
        entries, length, feedback = jax.tree.map(
            lambda x: x[chosen], (windows.entries, windows.length, windows.feedback)
        )
        return (entries, length, feedback), there

    def objective(
        self, params: PyTree, entries: Entry, length: jax.Array, feedback: jax.Array, current: Entry
    ) -> jax.Array:
        """``1/m sum_w F sum_i lambda^i pi(a_i|s_i) / p_i + beta H(pi(.|s_t))``, to be maximised.

        Args:
            params: of the policy.
            entries: of windows, leaves ``[m, L, ...]``, the newest last: ``i`` counts back from it.
            length: int32 ``[m]``, entries that are there.
            feedback: ``[m]``: ``F``.
            current: the present step, whose entropy counts.
        """
        log_prob = self.distribution(params, entries.obs, entries.action_mask).log_prob(entries.action)
        age = jnp.arange(self.window_length)[::-1]
        weight = jnp.where(age < length[:, None], jnp.asarray(self.trace_decay) ** age, 0.0)
        ratio = jnp.where(weight > 0, jnp.exp(log_prob - entries.log_prob), 0.0)
        entropy = self.distribution(params, current.obs, current.action_mask).entropy()
        return jnp.mean(feedback * jnp.sum(weight * ratio, axis=-1)) + self.entropy_coefficient * entropy


def _stored(windows: Windows, window: Entry, length: jax.Array, feedback: jax.Array, closes: jax.Array) -> Windows:
    """The closed windows with this one more, where it ``closes``."""
    # Outside the array nothing is written.
    at = jnp.where(closes, windows.count % len(windows.length), len(windows.length))
    put = lambda kept, new: kept.at[at].set(new, mode="drop")  # noqa: E731
    return Windows(
        entries=jax.tree.map(put, windows.entries, window),
        length=put(windows.length, length),
        feedback=put(windows.feedback, feedback),
        count=windows.count + closes,
    )
