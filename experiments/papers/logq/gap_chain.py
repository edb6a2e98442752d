"""A chain whose action gaps are chosen: what makes regular Q-learning fail is how unequal gaps are, at any discount."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._sweeps import METHODS, PAPER, job, success

from rlx.envs.finite_mdp import LEFT, action_gaps, gap_chain, gap_deviation, q_values
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPONENTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
DISCOUNTS = (0.5, 0.9)
WIDTHS = (2, 5)
LATE = "late success"
POINTS = [{"width": width, "discount": discount} for width in WIDTHS for discount in DISCOUNTS]


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Each exponent is a task of its own."""
    sweeps = scale.options["sweeps"]
    return [
        job(
            f"{method}-{exponent}",
            method,
            gap_chain(exponent),
            f"gap chain {exponent}",
            LEFT,
            POINTS,
            scale.seeds,
            sweeps,
        )
        for method in METHODS
        for exponent in EXPONENTS
    ]


def deviation(exponent: float) -> float:
    """Deviation of the log-gaps of the task, in powers of ten; the same at every discount."""
    return round(gap_deviation(action_gaps(q_values(gap_chain(exponent), DISCOUNTS[0]))), 2)


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Success in the last 10,000 sweeps."""
    sweeps = scale.options["sweeps"]
    return [
        Cell({"method": method, **point, "exponent": exponent, "gap deviation": deviation(exponent)}, LATE, scores)
        for method in METHODS
        for exponent in EXPONENTS
        for point, scores in zip(
            POINTS, success(folders[f"{method}-{exponent}"], sweeps - 10_000, sweeps).T, strict=True
        )
    ]


def by_deviation(discount: float) -> Claim:
    """Regular Q-learning succeeds where gaps are alike and fails where they are not."""

    def check(cells: Cells) -> Outcome:
        some = cells.where(method="regular", discount=discount)
        exponents = np.array([cell.setting["exponent"] for cell in some])
        alike, unlike = some.centre()[exponents <= 0.1], some.centre()[exponents >= 0.2]
        holds = bool((alike == 1).all() and (unlike == 0).all())
        return Outcome(holds, f"{alike.min():.3f} at least up to 0.1, {unlike.max():.3f} at most from 0.2")

    return Claim(
        f"Regular Q-learning fails by the inequality of gaps, not by the discount: {discount}",
        "regular: late success 1 at exponents up to 0.1 and 0 from 0.2 on, widths 2 and 5",
        check,
    )


def log_succeeds(cells: Cells) -> Outcome:
    """The mapping makes the gaps alike."""
    values = cells.where(method="log", discount=0.5).centre()
    return Outcome(bool((values == 1).all()), f"{len(values)} cells, least {values.min():.3f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Late success against the deviation of gaps; regular beside log."""
    figure, axes = new_figure(1, len(METHODS), width=9, height=3.6, share=True)
    for column, method in enumerate(METHODS):
        for point, colour in zip(POINTS, COLOURS, strict=False):
            scores = np.stack([cell.scores for cell in cells.where(method=method, **point)])
            label = f"discount {point['discount']}, width {point['width']}"
            x = [deviation(exponent) for exponent in EXPONENTS]
            draw_band(axes[0, column], x, scores, label, colour, statistic=cells.statistic)
        tidy(axes[0, column], f"gap-controlled chain, {method}", "deviation of log10 action gaps", LATE)
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"success_against_gap_deviation": figure}


TABLE = Table(
    title="Gap-controlled chain: success by the deviation of log action gaps, at two discounts",
    paper=PAPER,
    source="no published numbers: the task is ours",
    scales={"small": Scale(8, "30,000 sweeps", "2 min on 2 cores", {"sweeps": 30_000})},
    jobs=jobs,
    cells=cells,
    claims=(
        by_deviation(0.5),
        by_deviation(0.9),
        Claim(
            "Log-mapped Q-learning does not mind unequal gaps",
            "log, discount 0.5: late success 1 at all exponents up to 0.3, widths 2 and 5",
            log_succeeds,
        ),
    ),
    figures=figures,
    statistic="mean",
)
