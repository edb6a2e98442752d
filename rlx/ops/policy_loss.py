"""The clipped losses of proximal policy optimisation, for one transition."""

import chex
import jax
import jax.numpy as jnp


def clipped_surrogate(log_ratio: jax.Array, advantage: jax.Array, clip_epsilon: float | jax.Array) -> jax.Array:
    """``max(-A rho, -A clip(rho, 1 - epsilon, 1 + epsilon))``, to be minimised (Schulman et al. 2017, eq. 7).

    ``rho`` is the probability ratio, ``A`` the advantage.

    Args:
        log_ratio: scalar, log-probability of the action under the new policy less that under the old one.
        advantage: scalar.
        clip_epsilon: scalar above 0; beyond a ratio of ``1 ± clip_epsilon`` there is no more to gain.

    Returns:
        float scalar.
    """
    chex.assert_rank([log_ratio, advantage, clip_epsilon], 0)
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_epsilon, 1.0 + clip_epsilon)
    return -jnp.minimum(ratio * advantage, clipped * advantage)


def clipped_value_loss(
    value: jax.Array, old_value: jax.Array, target: jax.Array, clip_epsilon: float | jax.Array
) -> jax.Array:
    """Half the squared error, or that of the value held near its old one, whichever is larger.

    The common companion of PPO's policy loss, not in its paper (Engstrom et al. 2020, "Implementation Matters
    in Deep Policy Gradients").

    Args:
        value: scalar, of the new critic.
        old_value: scalar, of the critic that collected the transition.
        target: scalar.
        clip_epsilon: scalar above 0, in units of value.

    Returns:
        float scalar.
    """
    chex.assert_rank([value, old_value, target, clip_epsilon], 0)
    clipped = old_value + jnp.clip(value - old_value, -clip_epsilon, clip_epsilon)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(clipped - target))


def approx_kl(log_ratio: jax.Array) -> jax.Array:
    """Unbiased, never negative estimate of KL(old, new) from one action of the old policy; elementwise.

    ``exp(log_ratio) - 1 - log_ratio`` (Schulman 2020, "Approximating KL Divergence", estimator k3).

    Args:
        log_ratio: float [...], log-probability under the new policy less that under the old one.

    Returns:
        float [...].
    """
    return jnp.expm1(log_ratio) - log_ratio
