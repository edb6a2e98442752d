"""Pendulum: Symphony's variants beside TD3, DDPG and SAC: what they reach, and how they use their actions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from papers.symphony._small import (
    CHANGE,
    METHODS,
    NO_SWADDLING,
    PAPER,
    RETURN,
    S3,
    cells_of,
    extreme_cells,
    figure_of,
    gentle,
    job_name,
    learns,
    mechanism,
    training,
    without_swaddling,
)

from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK, STEPS = "gymnax/Pendulum-v1", 10_000


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each method."""
    return [training(job_name(name), method, TASK, scale, STEPS) for name, method in METHODS.items()]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns and actions of the last evaluations; of S3 also between which values sigma and beta stayed."""
    found = [cell for name in METHODS for cell in cells_of({"method": name}, folders[job_name(name)])]
    return found + extreme_cells({"method": S3}, folders[job_name(S3)])


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns and changes of actions against steps."""
    methods = {name: job_name(name) for name in METHODS}
    metrics = {RETURN: "return of an episode", CHANGE: "mean |a_t - a_(t-1)|"}
    return {"curves": figure_of(folders, methods, "Pendulum", metrics)}


TABLE = Table(
    title="Pendulum: Symphony beside TD3, DDPG and SAC",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "10,000 steps after 1,000 of exploration", "45 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(mechanism(method=S3), without_swaddling(method=NO_SWADDLING), gentle(method=S3), learns(-600.0, method=S3)),
    figures=figures,
    statistic="mean",
)
