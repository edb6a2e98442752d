"""Extra samples of a policy gradient, beside those that the agent collected: where they come from.

A source is fitted to each rollout, and then draws ``K`` samples for each of its ``B = T * N`` states, valued by the
critic and whatever the source has learned. `rlx.learning.extra_sources` has them; what they share is here.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from rlx.errors import ConfigurationError
from rlx.learning.on_policy import Batch
from rlx.ops import gradient_variance
from rlx.ops.distributions import policy_of
from rlx.ops.imagination import Dynamics, Situation, follow, imagined_advantages
from rlx.switches import shapes_of
from rlx.types import Clock, EnvSpec, Key, PyTree, Transition

Losses = dict[str, jax.Array]
Scalar = float | jax.Array

# More than all roundings to float32 of a share grown and of its multiple make together.
_UP = 1.0 + 2.0**-21


class ActorCritic(NamedTuple):
    """Policy and critic as they are, as functions of raw observations.

    Attributes:
        policy: from observations and action mask to a distribution.
        value: from observations to values.
        seen: from observations to what the networks see of them.
    """

    policy: Callable[[jax.Array, jax.Array | None], Any]
    value: Callable[[jax.Array], jax.Array]
    seen: Callable[[jax.Array], jax.Array]


@struct.dataclass
class Extras:
    """Extra samples ``[B, K]`` of the policy loss beside the real ones ``[B]``.

    ``obs`` and ``action_mask`` are ``None`` where they are actions of the real states.
    """

    obs: jax.Array | None
    action_mask: jax.Array | None
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array


class Source(Protocol):
    """Where extra samples come from."""

    def init(self, key: Key) -> PyTree:
        """What it has learned before any rollout."""
        ...

    def fit(self, state: PyTree, rollout: Transition, batch: Batch, key: Key, clock: Clock) -> tuple[PyTree, Losses]:
        """Learn from a rollout ``[T, N]``, whose batch ``[T * N]`` the policy will learn from.

        Returns:
            What it has learned, and losses, each averaged over the gradient updates made here; 0 where none was.
        """
        ...

    def draw(
        self, state: PyTree, actor_critic: ActorCritic, rollout: Transition, batch: Batch, key: Key, horizon: jax.Array
    ) -> Extras:
        """Samples ``[B, K]`` for the states of a rollout; ``horizon`` steps of an imagined rollout count."""
        ...


class Imagination(NamedTuple):
    """Rollouts in a learned model or in the task itself.

    Attributes:
        num_extras: ``K``.
        length: ``H``, steps of each rollout.
        discount: of one step.
        trace_decay: lambda of the advantages.
    """

    num_extras: int
    length: int
    discount: Scalar
    trace_decay: Scalar

    def path(self, actor_critic: ActorCritic, step: Dynamics, start: Situation, key: Key, horizon: jax.Array) -> Extras:
        """The samples met, ``[H, B]``, with the advantages of what is left of the first ``horizon`` steps."""
        path = follow(actor_critic.policy, step, start, key, self.length)
        advantage = jax.vmap(imagined_advantages, (1, 1, 1, None, None, None), 1)(
            path.reward, path.goes_on, actor_critic.value(path.obs), horizon, self.discount, self.trace_decay
        )
        obs = actor_critic.seen(path.obs[:-1])
        return Extras(obs, path.action_mask, path.action, path.log_prob, advantage)

    def actions(
        self, actor_critic: ActorCritic, step: Dynamics, start: Situation, key: Key, horizon: jax.Array
    ) -> Extras:
        """More actions of the states to start from, ``[B, K]``: the first of a rollout each."""

        def one(key: Key) -> Extras:
            path = self.path(actor_critic, step, start, key, horizon)
            return jax.tree.map(lambda x: x[0], dataclasses.replace(path, obs=None, action_mask=None))

        # One after the other: memory for one rollout, not for all.
        extras = jax.lax.map(one, jax.random.split(key, self.num_extras))
        return jax.tree.map(lambda x: x.swapaxes(0, 1), extras)

    def states(
        self, actor_critic: ActorCritic, step: Dynamics, start: Situation, key: Key, horizon: jax.Array
    ) -> Extras:
        """States 1 to ``K`` of a rollout as samples ``[B, K]``, each step's in an order of its own.

        A minibatch of real states then holds as many imagined ones of each step, drawn independently of the real.
        """
        path_key, order_key = jax.random.split(key)
        path = self.path(actor_critic, step, start, path_key, horizon)
        size = path.advantage.shape[1]
        keys = jax.random.split(order_key, self.num_extras)
        orders = jax.vmap(lambda key: jax.random.permutation(key, size), out_axes=1)(keys)
        return jax.tree.map(lambda x: x[1 + jnp.arange(self.num_extras), orders], path)


def flattened(tree: PyTree) -> PyTree:
    """The tree with one leading axis ``[T * N]`` in place of ``[T, N]``."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def share_grown(event: jax.Array, num_events: Scalar) -> jax.Array:
    """How far numbers and lengths have grown, from the first event with extra samples on; negative before it.

    Args:
        event: 1 in the first learning event that has extra samples.
        num_events: ``L``, learning events until they are full grown; 0 if they are from the start.

    Returns:
        ``k / L`` with ``k`` the event; infinite where ``L`` is 0.
    """
    grown = jnp.where(num_events > 0, event / jnp.maximum(num_events, 1e-6), jnp.inf)
    return jnp.where(event > 0, grown, -jnp.inf)


def floor_of(size: int, grown: jax.Array, first: int, most: int | None = None) -> jax.Array:
    """``min(most, floor(size grown + first))``, int32, ``most`` ``size`` unless given; 0 before the first event.

    The floor of what is meant: ``grown`` is rounded, and may fall just short of a whole number.
    """
    counted = jnp.floor(size * grown * _UP) + first
    return jnp.where(grown > 0, jnp.minimum(size if most is None else most, counted), 0).astype(jnp.int32)


def states_and_steps(num_states: int, grown: jax.Array, longest: int, released: bool) -> tuple[jax.Array, jax.Array]:
    """States that a rollout of a model passes through, the real one not counted, and its steps, both int32.

    There are ``n + 1`` steps for ``n`` states, so that the last of them has an advantage of one step.

    Args:
        num_states: ``K``, when full grown.
        grown: see `share_grown`.
        longest: ``H``, for ``released`` only.
        released: whether there are ``min(H, n + 2)`` steps, as in the released code of Nauman and Cygan, where ``n``
            grows on beyond ``K`` for that; and no more states than steps start from, the first of which is real.
    """
    count = floor_of(num_states, grown, first=1)
    if not released:
        return count, floor_of(num_states, grown, first=2, most=num_states + 1)
    steps = floor_of(num_states, grown, first=3, most=longest)
    return jnp.clip(steps - 1, 0, count), steps


def without_uncounted(extras: Extras, batch: Batch, weights: jax.Array) -> Extras:
    """Extra samples ``[B, K]``, those of weight 0 replaced by the real one of their state.

    Whatever they hold, infinities and NaN included, then reaches neither the loss nor its gradient.

    Args:
        extras: of which some do not count.
        batch: the real samples ``[B]``.
        weights: ``[K]``.
    """
    of_states = extras.obs is not None
    real = Extras(
        obs=batch.obs if of_states else None,
        action_mask=batch.action_mask if of_states else None,
        action=batch.action,
        log_prob=batch.log_prob,
        advantage=batch.advantage,
    )

    def choose(extra: jax.Array, real: jax.Array) -> jax.Array:
        counts = (weights > 0).reshape(-1, *[1] * (extra.ndim - 2))
        return jnp.where(counts, extra, real[:, None])

    return jax.tree.map(choose, extras, real)


def computed_if(wanted: jax.Array, compute: Callable[[], PyTree]) -> PyTree:
    """What ``compute`` gives if it is wanted; else zeros, and no computation."""
    shapes = shapes_of(compute)
    return jax.lax.cond(wanted, compute, lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))


def check_diagnosis(lags: int, source: str, rollout_length: int) -> None:
    """Refuse a diagnosis that cannot be made.

    Args:
        lags: of it; 0 for none.
        source: of extra samples.
        rollout_length: steps of a rollout.

    Raises:
        ConfigurationError: if there are no extra actions, or too few steps.
    """
    if lags and source in ("none", "states"):
        raise ConfigurationError(f"diagnosis_lags needs extra actions; source={source} does not draw any")
    if lags >= rollout_length:
        raise ConfigurationError(f"diagnosis_lags={lags} needs a longer rollout_length than that")


def diagnosis(gradients: jax.Array, num_envs: int, count: jax.Array, price: Scalar, lags: int) -> Losses:
    """What one more action in every state would take off the gradient's variance, and more steps at that price.

    Shares of the variance, by equation 14's two sides (Nauman and Cygan 2023); noisy, to be averaged over updates, and
    0 before the first extra sample. All actions help to estimate what variances are made of; whose variance that is,
    is decided by how many of them count.

    Args:
        gradients: of real and extra actions in the states of a rollout, ``[T * N, 1 + K, P]``.
        num_envs: ``N``.
        count: extra actions of each state that count, int32.
        price: of one more action in every state, in lengths of the rollout.
        lags: see `rlx.ops.gradient_variance.diagnose`.
    """
    gradients = gradients.reshape(-1, num_envs, *gradients.shape[1:]).swapaxes(0, 1)
    found = gradient_variance.diagnose(gradients, price, lags, num_actions=1 + count)
    variance = jnp.where(count > 0, found.variance, 1.0)
    share = lambda gain: jnp.where(count > 0, gain / variance, 0.0)  # noqa: E731
    return {"gain_of_an_action": share(found.action_gain), "gain_of_steps": share(found.step_gain)}


def output_gradients(spec: EnvSpec, outputs: PyTree, batch: Batch, extras: Extras) -> jax.Array:
    """``A grad ln pi`` of each real and extra action by the actor's outputs, ``[B, 1 + K, P]``."""

    def one(outputs: PyTree, mask: jax.Array | None, action: jax.Array, advantage: jax.Array) -> jax.Array:
        score = jax.grad(lambda outputs: policy_of(spec.action_space, outputs, mask).log_prob(action))
        return advantage * ravel_pytree(score(outputs))[0]

    action, advantage = (
        jnp.concatenate([real[:, None], extra], axis=1)
        for real, extra in ((batch.action, extras.action), (batch.advantage, extras.advantage))
    )
    return jax.vmap(jax.vmap(one, (None, None, 0, 0)))(outputs, batch.action_mask, action, advantage)
