"""Saved states, atomic, through Orbax: of the whole run, and of the part of it that acts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from rlx.errors import ConfigurationError
from rlx.types import PyTree

_SCORE = "evaluation_return"


class Checkpoints:
    """A folder of saved states, each under the environment step it was taken at.

    It keeps the last ``keep`` and, with ``best``, the one of the highest score. A state appears under its final name
    only once it is complete, so a killed run leaves no half-written one. With ``read_only`` half-written
    ones are left alone: the run may still be at them.
    """

    def __init__(self, folder: Path, keep: int, best: bool = False, read_only: bool = False) -> None:
        policies: list[Any] = [checkpoint_managers.LatestN(keep)]
        if best:
            policies.append(checkpoint_managers.BestN(get_metric_fn=lambda metrics: metrics[_SCORE], n=1))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
            cleanup_tmp_directories=not read_only,
        )
        self._folder = folder
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, state: PyTree, score: float = 0.0) -> None:
        """Save ``state`` in the background, unless ``step`` is saved already."""
        if step not in self.steps():
            # The next chunk may overwrite what lies on a device; what is on the host already is nobody else's.
            on_host = lambda leaf: np.array(leaf) if isinstance(leaf, jax.Array) else leaf  # noqa: E731
            copied = jax.tree.map(on_host, _storable(state))
            self._manager.save(step, args=ocp.args.StandardSave(copied), metrics={_SCORE: score})

    def steps(self) -> list[int]:
        """Steps of the saved states, oldest first."""
        return sorted(self._manager.all_steps())

    def restore(self, like: PyTree) -> tuple[int, PyTree]:
        """The newest state and its step, as host arrays.

        Args:
            like: shapes and dtypes of the state.

        Raises:
            ConfigurationError: if there is no state, or it is damaged or of another shape.
        """
        if not self.steps():
            raise ConfigurationError(
                f"nothing is saved in {self._folder} yet; resume={self._folder.parent} goes on with the run"
            )
        *earlier, step = self.steps()
        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), jax.eval_shape(_storable, like))
        try:
            with _one_complaint():
                restored = self._manager.restore(step, args=ocp.args.StandardRestore(target))
            chex.assert_trees_all_equal_shapes(restored, target)  # Orbax itself hands out any shape
        except Exception as error:
            remedy = "remove it to go on from the one before" if earlier else "start a new run"
            raise ConfigurationError(
                f"{self._folder / str(step)} is damaged or belongs to another configuration; {remedy}"
            ) from error
        return step, jax.tree.map(_as_saved, restored, like)

    def close(self) -> None:
        """Wait until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _storable(tree: PyTree) -> PyTree:
    """What Orbax stores: typed PRNG keys as plain integers, and a zero in place of an array without elements."""

    def convert(leaf: Any) -> Any:
        if leaf.size == 0:
            return jnp.zeros(1)
        return jax.random.key_data(leaf) if _is_key(leaf) else leaf

    return jax.tree.map(convert, tree)


def _as_saved(leaf: Any, like: Any) -> Any:
    if like.size == 0:
        return np.empty(like.shape, like.dtype)
    return jax.random.wrap_key_data(leaf) if _is_key(like) else leaf


@contextmanager
def _one_complaint() -> Iterator[None]:
    """Silence the reads that are under way when another fails: each would print a traceback of its own."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    yield
    sys.unraisablehook = hook  # not after a failure, since those reads end later
