"""By which rule a minibatch is drawn, as a value; what each one does stands in `rlx.replay.sampling`.

A row here is one that may be drawn: with n-step windows, one whose whole window is held.
"""

from collections.abc import Callable

import jax
from flax import struct


@struct.dataclass
class Uniform:
    """All transitions alike."""


@struct.dataclass
class Newest:
    """The newest ``window`` rows alike, or all while there are fewer; at least 1."""

    window: int | jax.Array


@struct.dataclass
class ByAge:
    """Rows by their age, ``inverse_cdf`` as for `sampling.by_age`; from a table: `sampling.inverse_cdf_of`."""

    inverse_cdf: Callable[[jax.Array], jax.Array] = struct.field(pytree_node=False)


@struct.dataclass
class Prioritised:
    """In proportion to priorities; ``beta`` from 0, no importance weights, to 1, full ones (Schaul et al. 2016)."""

    beta: float | jax.Array


Rule = Uniform | Newest | ByAge | Prioritised
UNIFORM = Uniform()
