"""The logging window: what training reports, summed on the device and divided on the host.

Means are over all updates and episodes of a window, however long it is: sums keep 48 bits (`rlx.sums`), and the
host divides in float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.runner.action_use import ActionUse
from rlx.runner.episodes import Episodes, summary_of
from rlx.sums import Sum
from rlx.types import Metrics


@struct.dataclass
class Updates:
    """What the updates of a logging window reported.

    Attributes:
        means: by name, the sum over gradient updates.
        last: by name, the last values.
        number: int32, gradient updates.
    """

    means: dict[str, Sum]
    last: dict[str, jax.Array]
    number: jax.Array

    @classmethod
    def start(cls, metrics: Metrics) -> "Updates":
        """Of no update; ``metrics`` tells names and shapes."""
        return cls(
            means={name: Sum.zeros(mean.shape) for name, mean in metrics.means.items()},
            last={name: jnp.zeros(value.shape, jnp.float32) for name, value in metrics.last.items()},
            number=jnp.zeros((), jnp.int32),
        )

    def after(self, metrics: Metrics) -> "Updates":
        """With one call of ``update`` more."""
        number = jnp.asarray(metrics.updates, jnp.int32)
        learned, weight = number > 0, number.astype(jnp.float32)
        term = lambda mean: jnp.where(learned, weight * jnp.asarray(mean, jnp.float32), 0.0)  # noqa: E731
        return Updates(
            means={name: total.add(term(metrics.means[name])) for name, total in self.means.items()},
            last={
                name: jnp.where(learned, jnp.asarray(metrics.last[name], jnp.float32), before)
                for name, before in self.last.items()
            },
            number=self.number + number,
        )

    def new_window(self, begins: jax.Array) -> "Updates":
        """Of no update where ``begins``, a bool scalar."""
        return jax.tree.map(lambda x: jnp.where(begins, jnp.zeros_like(x), x), self)


class Totals(NamedTuple):
    """A logging window of members ``[M]``, summed over environments; ``actions`` where they are continuous."""

    updates: Updates
    episodes: Episodes
    actions: ActionUse | None


def summary(totals: Totals) -> dict[str, np.ndarray]:
    """What the logging window holds, ``[M]`` or ``[M, k]`` by name; NaN where it holds no update or no episode.

    Args:
        totals: on the host.
    """
    updates = totals.updates
    of_each = lambda value: updates.number.reshape(-1, *[1] * (value.ndim - 1))  # noqa: E731
    with np.errstate(divide="ignore", invalid="ignore"):
        means = {name: total.on_host() / of_each(total.total) for name, total in updates.means.items()}
        last = {name: np.where(of_each(value) > 0, value, np.nan) for name, value in updates.last.items()}
        trained = summary_of(totals.episodes) | ({} if totals.actions is None else totals.actions.summary())
        return {
            **{f"training/{name}": value for name, value in trained.items()},
            **{f"update/{name}": value for name, value in (means | last).items()},
            "update/count": np.asarray(updates.number),
        }
