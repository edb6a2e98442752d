"""Learning from a replay: once there is enough in it, a number of updates in each learning event."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlx.switches import shapes_of
from rlx.types import Key, Metrics, PyTree

Losses = dict[str, jax.Array]
# From what is learned and a key to the same after one gradient update, and the metrics of that update.
Update = Callable[[PyTree, Key], tuple[PyTree, Losses]]


def learn_when_warm(
    warm: jax.Array, update: Update, learner: PyTree, key: Key, num_updates: int
) -> tuple[PyTree, Metrics]:
    """Make ``num_updates`` updates, each with a key of its own; none, and no computation, unless ``warm``.

    Args:
        warm: bool scalar, of the shared clock, so that this stays a branch in a population.
        update: draws from the replay and descends.
        learner: what is learned: parameters, optimiser states, priorities.
        key: of this learning event.
        num_updates: at least 1.
    """

    def learn(learner: PyTree) -> tuple[PyTree, Metrics]:
        learner, metrics = jax.lax.scan(update, learner, jax.random.split(key, num_updates))
        return learner, Metrics(means=jax.tree.map(jnp.mean, metrics), updates=jnp.int32(num_updates))

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes_of(learn, learner)[1])
    return jax.lax.cond(warm, learn, lambda learner: (learner, nothing), learner)
