"""The chain with its ends exchanged, beside the chain: a program whose values break shows here, and not there."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._sweeps import METHODS, PAPER, against_discount, all_finite, grid, job, success

from rlx.envs.finite_mdp import LEFT, RIGHT, chain, mirrored_chain
from rlx.reproduce.jobs import Chunked
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS = {"mirrored chain": (mirrored_chain, RIGHT), "chain": (chain, LEFT)}
EARLY, FINITE = "early success", "all parameters finite"


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Both methods on both tasks."""
    return [
        job(f"{task}-{method}", method, make(), task, optimal, grid(), scale.seeds, scale.options["sweeps"])
        for task, (make, optimal) in TASKS.items()
        for method in METHODS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Success over all sweeps, and whether every learned value stayed finite."""
    found = []
    for task, method in itertools.product(TASKS, METHODS):
        folder, setting = folders[f"{task}-{method}"], {"task": task, "method": method}
        scores = success(folder, 0, scale.options["sweeps"])
        found += [Cell(setting | point, EARLY, values) for point, values in zip(grid(), scores.T, strict=True)]
        found.append(Cell(setting, FINITE, np.array([all_finite(folder)])))
    return found


def mirrors(cells: Cells) -> Outcome:
    """Log-mapped Q-learning scores on the mirrored chain what it scores on the chain."""
    mirrored, plain = (cells.where(task=task, method="log", metric=EARLY).centre() for task in TASKS)
    difference = np.abs(mirrored - plain)
    return Outcome(
        bool((difference <= 0.1).all()), f"{len(difference)} cells, largest difference {difference.max():.3f}"
    )


def in_range(cells: Cells) -> Outcome:
    """It scores 0.73 to 0.82 at discounts up to 0.9."""
    some = cells.where(task="mirrored chain", method="log", metric=EARLY)
    values = some.centre()[np.array([float(cell.setting["discount"]) <= 0.9 for cell in some])]
    within = bool((values >= 0.73).all() and (values <= 0.82).all())
    return Outcome(within, f"{len(values)} cells, {values.min():.3f} to {values.max():.3f}")


def finite(cells: Cells) -> Outcome:
    """No learned value is infinite or not a number."""
    return Outcome(bool(cells.where(metric=FINITE).centre().all()), "after every 1,000 sweeps")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Success on the mirrored chain against discount."""
    figure = against_discount(cells, (EARLY,), "mirrored chain", task="mirrored chain")
    return {"success_against_discount": figure}


TABLE = Table(
    title="Mirrored chain: success of regular and log-mapped Q-learning, beside the chain",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "10,000 sweeps", "1 min on 2 cores", {"sweeps": 10_000})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "The mapping works on rewards of either sign",
            "log: early success on both tasks within 0.1 of each other in all cells",
            mirrors,
        ),
        Claim("It does so at all low discounts", "log: early success 0.73 to 0.82 at discounts up to 0.9", in_range),
        Claim("Nothing underflows in single precision", "all learned values finite, both methods and tasks", finite),
    ),
    figures=figures,
    statistic="mean",
)
