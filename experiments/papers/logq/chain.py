"""Early and late performance of regular and log-mapped Q-learning on the chain, over discounts and tile widths."""

import csv
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._sweeps import METHODS, PAPER, against_discount, grid, job, success

from rlx.envs.finite_mdp import LEFT, chain
from rlx.reproduce.jobs import Chunked
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 10_000  # sweeps at either end
EARLY, LATE = "early success", "late success"
# Success comes and goes with the seed there, and the paper has one seed.
TRANSITION = (0.9, 0.94, 0.96)


def published() -> dict[tuple[str, str, int, float], float]:
    """The authors' numbers by metric, method, width and discount."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8") as file:
        return {
            (f"{row['metric']} success", row["method"], int(row["width"]), float(row["discount"])): float(
                row["success"]
            )
            for row in csv.DictReader(file)
        }


def jobs(scale: Scale) -> Sequence[Chunked]:
    """All settings and seeds of a method are one program."""
    return [
        job(method, method, chain(), "chain", LEFT, grid(), scale.seeds, scale.options["sweeps"]) for method in METHODS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Success in the first and in the last 10,000 sweeps."""
    known = published()
    comparable = (EARLY, LATE) if scale.options["comparable_late"] else (EARLY,)
    found = []
    for (metric, first), method in itertools.product(((EARLY, 0), (LATE, scale.options["sweeps"] - WINDOW)), METHODS):
        scores = success(folders[method], first, first + WINDOW)
        for point, values in zip(grid(), scores.T, strict=True):
            number = known[metric, method, point["width"], point["discount"]]
            found.append(Cell({"method": method, **point}, metric, values, number if metric in comparable else None))
    return found


def chosen(cells: Cells, keep: Callable[[int, float], bool], **query: str) -> np.ndarray:
    """The mean of each cell of ``query`` whose width and discount are to be kept."""
    some = cells.where(**query)
    kept = [keep(int(cell.setting["width"]), float(cell.setting["discount"])) for cell in some]
    return some.centre()[np.array(kept)]


def at_least(statement: str, least: float, keep: Callable[[int, float], bool], words: str, **query: str) -> Claim:
    """Every such cell reaches ``least``."""

    def check(cells: Cells) -> Outcome:
        values = chosen(cells, keep, **query)
        return Outcome(bool((values >= least).all()), f"{len(values)} cells, least {values.min():.3f}")

    return Claim(statement, f"{query['method']}, {query['metric']} at least {least} {words}", check)


def at_most(statement: str, most: float, keep: Callable[[int, float], bool], words: str, **query: str) -> Claim:
    """No such cell exceeds ``most``."""

    def check(cells: Cells) -> Outcome:
        values = chosen(cells, keep, **query)
        return Outcome(bool((values <= most).all()), f"{len(values)} cells, largest {values.max():.3f}")

    return Claim(statement, f"{query['method']}, {query['metric']} at most {most} {words}", check)


def highest_discount(cells: Cells) -> Outcome:
    """At discount 0.99 and width 5 both are near the authors' numbers."""
    log, plain = (
        cells.where(metric=EARLY, method=method, width=5, discount=0.99).centre()[0] for method in ("log", "regular")
    )
    return Outcome(bool(abs(log - 0.34) <= 0.15 and abs(plain - 0.25) <= 0.15), f"log {log:.2f}, regular {plain:.2f}")


def in_transition(cell: Cell) -> bool:
    """Whether success in that cell is a matter of luck."""
    method, width, discount = (cell.setting[name] for name in ("method", "width", "discount"))
    return method == "regular" and width != 1 and discount in TRANSITION


def agrees(cells: Cells) -> Outcome:
    """All cells outside the transition are within 0.05 of the authors'."""
    settled = np.array([not in_transition(cell) for cell in cells])
    difference = np.abs(cells.centre() - cells.published())[settled]
    lowest, highest = np.array([(cell.scores.min(), cell.scores.max()) for cell in cells]).T
    beyond = (cells.published() < lowest - 0.005) | (cells.published() > highest + 0.005)  # theirs are rounded
    return Outcome(
        bool((difference <= 0.05).all()),
        f"{int((difference <= 0.05).sum())} of {len(difference)} cells, largest difference {difference.max():.3f}; "
        f"the authors' one run is outside the range of our seeds in {int(beyond[settled].sum())} cells",
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Early and late performance against discount."""
    return {"success_against_discount": against_discount(cells, (EARLY, LATE), "chain")}


TABLE = Table(
    title="Chain: success of regular and log-mapped Q-learning, early and late, by discount and tile width",
    paper=PAPER,
    source="the result arrays released with the paper's code (one run a cell), early: sweeps 0 to 10,000, "
    "late: 100,000 to 110,000",
    scales={
        "small": Scale(8, "30,000 sweeps", "2 min on 2 cores", {"sweeps": 30_000, "comparable_late": False}),
        "paper": Scale(20, "110,000 sweeps", "15 min on 2 cores", {"sweeps": 110_000, "comparable_late": True}),
    },
    jobs=jobs,
    cells=cells,
    claims=(
        at_least(
            "Log-mapped Q-learning learns at low discounts whatever the width",
            0.7,
            lambda width, discount: discount <= 0.9,
            "at all widths and discounts up to 0.9",
            metric=EARLY,
            method="log",
        ),
        at_least(
            "A table has no trouble with low discounts",
            0.7,
            lambda width, discount: width == 1,
            "at width 1",
            metric=EARLY,
            method="regular",
        ),
        at_most(
            "Regular Q-learning with function approximation fails at low discounts",
            0.05,
            lambda width, discount: width >= 2 and discount <= 0.85,
            "at widths from 2 and discounts up to 0.85",
            metric=EARLY,
            method="regular",
        ),
        at_least(
            "It learns at high discounts",
            0.4,
            lambda width, discount: width in (2, 3) and discount == 0.98,
            "at widths 2 and 3 and discount 0.98",
            metric=EARLY,
            method="regular",
        ),
        Claim(
            "The mapping does not help at the highest discount",
            "early success at discount 0.99 and width 5: log 0.34 +- 0.15, regular 0.25 +- 0.15",
            highest_discount,
        ),
        at_least(
            "Log-mapped Q-learning succeeds everywhere in the end",
            0.99,
            lambda width, discount: True,
            "in all cells",
            metric=LATE,
            method="log",
        ),
        at_most(
            "Regular Q-learning never recovers at low discounts",
            0.0,
            lambda width, discount: width >= 2 and discount <= 0.85,
            "at widths from 2 and discounts up to 0.85",
            metric=LATE,
            method="regular",
        ),
        at_least(
            "Regular Q-learning succeeds in the end at high discounts",
            0.99,
            lambda width, discount: discount >= 0.98,
            "at discounts from 0.98",
            metric=LATE,
            method="regular",
        ),
        Claim(
            "Our numbers are the authors'",
            "every cell within 0.05, but for regular Q-learning at widths from 2 and discounts 0.9 to 0.96",
            agrees,
            scales=("paper",),
        ),
    ),
    figures=figures,
    statistic="mean",
)
