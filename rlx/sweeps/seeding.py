"""The states that members of a segment begin with, taken from where other segments ended."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlx.runner.checkpoint import Checkpoints
from rlx.runner.loop import RunState, without_clock
from rlx.sweeps import segments
from rlx.sweeps.segments import Segment
from rlx.types import PyTree


def seed(sweep: Path, segment: Segment, shapes: RunState, folder: Path) -> None:
    """Save the states of the segment's members in ``folder``, as if its own run had come so far.

    Args:
        sweep: folder of the sweep.
        segment: with a source for each point, all of which have ended at one step.
        shapes: of the states of its members.
        folder: of its run.
    """
    num_seeds = shapes.key.shape[0] // len(segment.points)
    ended = {
        number: _end_of(sweep, number, shapes, num_seeds) for number in {source.segment for source in segment.sources}
    }
    members = [
        _members(sweep, segment, index, ended[source.segment][1], num_seeds)
        for index, source in enumerate(segment.sources)
    ]
    step, first = ended[segment.sources[0].segment]
    joined = dataclasses.replace(jax.tree.map(_joined, *members), clock=first.clock)
    saves = Checkpoints(folder / "checkpoints", keep=1)
    saves.save(step, joined)
    saves.close()


def _end_of(sweep: Path, number: int, shapes: RunState, num_seeds: int) -> tuple[int, RunState]:
    """The step at which a segment ended, and the states of its members there."""
    size = len(segments.read(sweep, number).points) * num_seeds
    resized = lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
    like = dataclasses.replace(jax.tree.map(resized, without_clock(shapes)), clock=shapes.clock)
    saves = Checkpoints(segments.run_folder(sweep, number) / "checkpoints", keep=1, read_only=True)
    try:
        return saves.restore(like)
    finally:
        saves.close()


def _members(sweep: Path, segment: Segment, index: int, state: RunState, num_seeds: int) -> PyTree:
    """The members of one point; a copy of another point draws other numbers from here on."""
    source, point = segment.sources[index], segment.points[index]
    rows = slice(source.slot * num_seeds, (source.slot + 1) * num_seeds)
    members = jax.tree.map(lambda leaf: leaf[rows], without_clock(state))
    if point.number == segments.read(sweep, source.segment).points[source.slot].number:
        return members
    keys = jax.vmap(lambda key: jax.random.fold_in(key, point.number))(members.key)
    return dataclasses.replace(members, key=keys)


def _joined(*leaves: Any) -> Any:
    return np.concatenate(leaves) if isinstance(leaves[0], np.ndarray) else jnp.concatenate(leaves)
