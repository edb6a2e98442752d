"""A cart-pole that falls: terminations that return to the replay, actions shut off near the limit, gentle forces."""

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
    TD3_3,
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
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK, STEPS = "rlx/continuous-cartpole", 8_000


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each method."""
    return [training(job_name(name), method, TASK, scale, STEPS) for name, method in METHODS.items()]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns and actions of the last evaluations; of S3 also between which values sigma and beta stayed."""
    found = [cell for name in METHODS for cell in cells_of({"method": name}, folders[job_name(name)])]
    return found + extreme_cells({"method": S3}, folders[job_name(S3)])


def steadier(cells: Cells) -> Outcome:
    """Symphony's actions change less from step to step."""
    ours, theirs = (cells.one(method=method, metric=CHANGE).scores.mean() for method in (S3, TD3_3))
    return Outcome(bool(ours <= theirs / 5), f"{ours:.4f} to {theirs:.4f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns and changes of actions against steps."""
    methods = {name: job_name(name) for name in METHODS}
    metrics = {RETURN: "return of an episode", CHANGE: "mean |a_t - a_(t-1)|", "power": "power, W"}
    return {"curves": figure_of(folders, methods, "cart-pole", metrics)}


TABLE = Table(
    title="A cart-pole that falls: Symphony beside TD3, DDPG and SAC",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "8,000 steps after 1,000 of exploration", "40 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        mechanism(method=S3),
        without_swaddling(method=NO_SWADDLING),
        gentle(method=S3),
        Claim(
            "Its actions are steadier than TD3's",
            "mean |a_t - a_(t-1)| at most a fifth of TD3's with as many updates",
            steadier,
        ),
        learns(150.0, method=S3),
    ),
    figures=figures,
    statistic="mean",
)
