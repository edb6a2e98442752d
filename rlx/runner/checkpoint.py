"""Saved states, atomic, through Orbax: of the whole run, and of the part of it that acts."""

import logging
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from rlx.runner.failures import as_disk_error, out_of_memory
from rlx.runner.memory_plan import num_bytes
from rlx.runner.pieces import PIECE_BYTES, Joined, PieceHandler
from rlx.types import PyTree

_SCORE = "evaluation_return"
# Orbax raises what goes wrong, and logs the traceback as well.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


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
            # `save` decides what is done in the background. What Orbax does there waits for signals that it numbers
            # per process: the saves of two runs in threads would wait for each other's.
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=_by_itself(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None
        pieces = PieceHandler()
        types = ocp.type_handlers.create_type_handler_registry(
            *((kind, pieces) for kind in (np.ndarray, jax.Array, Joined))
        )
        handler = ocp.PyTreeCheckpointHandler(type_handler_registry=types, multiprocessing_options=_by_itself())
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handler)

    def save(self, step: int, state: PyTree, score: float = 0.0) -> None:
        """Save ``state``, unless ``step`` is saved already.

        The next chunk overwrites what lies on the devices. So a small state is copied, and written while training goes
        on; a large one is written at once, piece by piece, and never there twice.

        Args:
            step: environment step.
            state: arrays, or `Joined` ones.
            score: the highest is the best.

        Raises:
            OSError: if this state, or the one before, cannot be written. Those before are whole, and nothing is left
                of it.
        """
        if step in self.steps():
            return
        stored = jax.tree.map(_stored, state)
        if num_bytes(stored) <= PIECE_BYTES:
            self._pending = self._writer.submit(self._write, step, jax.tree.map(np.array, stored), score)
        else:
            self._write(step, stored, score)

    def _write(self, step: int, stored: PyTree, score: float) -> None:
        try:
            self._manager.save(step, args=ocp.args.PyTreeSave(stored), metrics={_SCORE: score})
        except Exception as error:
            for unfinished in self._folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            raise as_disk_error(error, self._folder) from error

    def _wait(self) -> None:
        """Wait until everything is on disk; a failure is raised once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def steps(self) -> list[int]:
        """Steps of the saved states, oldest first."""
        self._wait()
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
        # Leaf by leaf: to JAX's caches two states of equal fields are one, whatever their classes.
        shapes = jax.tree.map(lambda leaf: jax.eval_shape(_stored, leaf), like)
        target = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes)
        plain = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray, dtype=leaf.dtype), target)
        try:
            with _one_complaint():
                restored = self._manager.restore(step, args=ocp.args.PyTreeRestore(target, restore_args=plain))
            chex.assert_trees_all_equal_shapes(restored, target)  # Orbax itself hands out any shape
        except Exception as error:
            if out_of_memory(error):
                raise
            remedy = "remove it to go on from the one before" if earlier else "start a new run"
            raise ConfigurationError(
                f"{self._folder / str(step)} is damaged or belongs to another configuration; {remedy}"
            ) from error
        return step, jax.tree.map(_as_saved, restored, like)

    def close(self) -> None:
        """Wait until everything is on disk.

        Raises:
            OSError: if it cannot be written.
        """
        try:
            self._wait()
        finally:
            self._writer.shutdown()
            self._manager.close()


def _by_itself() -> Any:
    """Under ``jax.distributed`` each process saves what it has trained, and waits for no other."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process-{process}"
    )


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: Any) -> Any:
    """What Orbax stores: typed PRNG keys as plain integers, and a zero in place of an array without elements."""
    if leaf.size == 0:
        return jnp.zeros(1)
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


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
