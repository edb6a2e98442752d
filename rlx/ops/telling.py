"""What an agent tells of its policy beside its actions: for teachers, who judge by it, and for people who watch."""

import jax
import jax.numpy as jnp

from rlx.ops.distributions import Distribution, Normal


def told(policy: Distribution) -> dict[str, jax.Array]:
    """The policy in numbers, as entries of ``extras``.

    Returns:
        ``probabilities`` of all actions ``[..., A]``, or of the choices of all components ``[..., sum(nvec)]``; of a
        Gaussian ``mean`` and ``std`` ``[..., D]``.
    """
    if isinstance(policy, Normal):
        return {"mean": policy.mean, "std": jnp.broadcast_to(jnp.exp(policy.log_std), policy.mean.shape)}
    return {"probabilities": policy.probabilities}
