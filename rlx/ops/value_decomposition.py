"""Values of factored actions that are means over their components (Seyde et al. 2023, equation 3; REValueD, section 3).

A critic gives every choice of every component a utility, and an action is worth the mean of its components' utilities.
The best action is then the best choice of each component, without a search. Utilities are ``[..., N, n]`` with ``N``
components and ``n`` the choices of the largest; ``valid`` says which of these there are. An ensemble has a leading axis
``[K]``. A component without a valid choice is worth 0, as a state without a valid action is elsewhere.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rlx.components import by_component
from rlx.types import Key

# From online and target utilities of the next states, each [K, B, N, n], which of their entries are valid, and a key:
# the values to bootstrap with, [B] of all critics or [K, B] of each.
Bootstrap = Callable[[jax.Array, jax.Array, jax.Array, Key], jax.Array]


def valid_choices(nvec: tuple[int, ...], action_mask: jax.Array | None) -> jax.Array:
    """Which choices there are and are allowed: bool ``[N, n]``, or ``[..., N, n]`` by a mask ``[..., sum(nvec)]``."""
    if action_mask is None:
        return jnp.arange(max(nvec)) < np.array(nvec)[:, None]
    return by_component(action_mask, nvec, fill=False)


def selected(utilities: jax.Array, action: jax.Array) -> jax.Array:
    """The utilities ``[..., N]`` of the choices ``action`` ``[..., N]``; leading axes broadcast."""
    shape = jnp.broadcast_shapes(utilities.shape[:-1], action.shape)
    index = jnp.broadcast_to(action, shape)[..., None]
    return jnp.take_along_axis(jnp.broadcast_to(utilities, (*shape, utilities.shape[-1])), index, axis=-1)[..., 0]


def greedy(utilities: jax.Array, valid: jax.Array) -> jax.Array:
    """The best valid choice of each component, int32 ``[..., N]``, the first of equals; 0 where none is valid."""
    return jnp.argmax(jnp.where(valid, utilities, -jnp.inf), axis=-1).astype(jnp.int32)


def value_of(utilities: jax.Array, action: jax.Array, valid: jax.Array) -> jax.Array:
    """The value ``[...]`` of actions ``[..., N]``, the mean over components (paper, equation 3.1)."""
    return jnp.where(valid.any(-1), selected(utilities, action), 0.0).mean(-1)


def greedy_value(utilities: jax.Array, valid: jax.Array) -> jax.Array:
    """The value ``[...]`` of the best action."""
    best = jnp.max(utilities, axis=-1, where=valid, initial=-jnp.inf)
    return jnp.where(valid.any(-1), best, 0.0).mean(-1)


def mean(online: jax.Array, target: jax.Array, valid: jax.Array, key: Key) -> jax.Array:
    """REValueD's: the best action of the target critics' mean, ``[B]``."""
    return greedy_value(target.mean(0), valid)


def mean_of_max(online: jax.Array, target: jax.Array, valid: jax.Array, key: Key) -> jax.Array:
    """The mean over target critics of what each one's best action is worth to it, ``[B]``: the paper's theorem."""
    return greedy_value(target, valid).mean(0)


def independent(online: jax.Array, target: jax.Array, valid: jax.Array, key: Key) -> jax.Array:
    """Double Q-learning of every critic by itself, ``[K, B]``."""
    return value_of(target, greedy(online, valid), valid)


def double(online: jax.Array, target: jax.Array, valid: jax.Array, key: Key) -> jax.Array:
    """Every online critic chooses, the target critics' mean values it, ``[K, B]``: DecQN, and its twins of 2022."""
    return value_of(target.mean(0), greedy(online, valid), valid)


def redq(online: jax.Array, target: jax.Array, valid: jax.Array, key: Key) -> jax.Array:
    """The lesser of what the best actions of two target critics are worth to them, ``[B]``; one pair a minibatch."""
    pair = jax.random.choice(key, target.shape[0], (2,), replace=False)
    return greedy_value(target[pair], valid).min(0)


BOOTSTRAPS: dict[str, Bootstrap] = {
    "mean": mean,
    "mean_of_max": mean_of_max,
    "independent": independent,
    "double": double,
    "redq": redq,
}
# How many critics each needs.
LEAST_CRITICS = {"redq": 2}


def regulariser(utility: jax.Array, anchor: jax.Array, value_target: jax.Array) -> jax.Array:
    """What holds the utilities of choices near their target network's where a component's own error is large.

    ``w (U_target - U)^2`` with ``w = 1 - exp(-|y - U|)``; no gradient flows through ``w`` and ``U_target``. A large
    error of one component alone suggests that others decided the reward. Reconstructed from what is publicly said of
    the paper's section 3.2, which was not read.

    Args:
        utility: of the choices taken, online, ``[K, B, N]``.
        anchor: the same of the target network.
        value_target: ``y``, ``[B]`` or ``[K, B]``.

    Returns:
        ``[K, B, N]``, to be averaged.
    """
    weight = -jnp.expm1(-jnp.abs(value_target[..., None] - utility))
    return jax.lax.stop_gradient(weight) * jnp.square(jax.lax.stop_gradient(anchor) - utility)
