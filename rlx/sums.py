"""Sums of many terms, exact to rounding.

A float32 has 24 bits: a sum of ten million terms stops growing, and a count sticks at 16,777,216. A `Sum` keeps what
rounding cut off in a second float32 and so counts with about 48 bits, at a few additions a term.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


@struct.dataclass
class Sum:
    """The unevaluated sum of two floats of one shape.

    Attributes:
        total: float32, the sum rounded.
        rest: float32, what is missing in it.
    """

    total: jax.Array
    rest: jax.Array

    @classmethod
    def zeros(cls, shape: tuple[int, ...] = ()) -> "Sum":
        """A sum of no terms."""
        return cls(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32))

    @property
    def value(self) -> jax.Array:
        """The sum rounded to float32."""
        return self.total + self.rest

    def add(self, term: jax.Array | float) -> "Sum":
        """The sum with one float32 ``term`` more, of the same shape."""
        total, lost = _exact_sum(self.total, jnp.asarray(term, jnp.float32))
        return self._rounded(total, self.rest + lost)

    def merge(self, other: "Sum") -> "Sum":
        """The sum of both."""
        total, lost = _exact_sum(self.total, other.total)
        return self._rounded(total, self.rest + other.rest + lost)

    def where(self, condition: jax.Array) -> "Sum":
        """The sum where ``condition`` holds, and 0 elsewhere."""
        return jax.tree.map(lambda x: jnp.where(condition, x, jnp.zeros_like(x)), self)

    def over(self, axis: int) -> "Sum":
        """The sum over an axis of its elements, each of whose parts is rounded once."""
        return Sum(self.total.sum(axis), self.rest.sum(axis))

    def on_host(self) -> np.ndarray:
        """The sum as float64, of parts on the host."""
        return np.asarray(self.total, np.float64) + np.asarray(self.rest, np.float64)

    @staticmethod
    def _rounded(total: jax.Array, rest: jax.Array) -> "Sum":
        # |total| >= |rest|: three operations suffice (Dekker 1971).
        rounded = total + rest
        return Sum(rounded, rest - (rounded - total))


def _exact_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b`` rounded, and what rounding cut off: exact for any two floats (Knuth, TAOCP 2, theorem 4.2.2 B)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)
