"""How large ``k`` must be: success of log-mapped Q-learning on the chain against the floor ``discount**k``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._sweeps import PAPER, job, success

from rlx.envs.finite_mdp import LEFT, chain
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISCOUNTS = (0.1, 0.5, 0.8, 0.94)
KS = (5, 10, 20, 30, 40, 50, 70, 100, 200)
WIDTH = 2
EARLY, LATE = "early success", "late success"
POINTS = [{"width": WIDTH, "discount": discount, "k": k} for discount in DISCOUNTS for k in KS]


def jobs(scale: Scale) -> Sequence[Chunked]:
    """One program."""
    return [job("log", "log", chain(), "chain", LEFT, POINTS, scale.seeds, scale.options["sweeps"])]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Success in the first and in the last 10,000 sweeps."""
    sweeps = scale.options["sweeps"]
    return [
        Cell({"discount": point["discount"], "k": point["k"]}, metric, scores)
        for metric, first in ((EARLY, 0), (LATE, sweeps - 10_000))
        for point, scores in zip(POINTS, success(folders["log"], first, first + 10_000).T, strict=True)
    ]


def threshold(discount: float, fails_up_to: int | None, works_from: int) -> Claim:
    """Late success is 0 up to one ``k`` and 1 from another on."""

    def check(cells: Cells) -> Outcome:
        late = cells.where(metric=LATE, discount=discount)
        ks = np.array([cell.setting["k"] for cell in late])
        fails = late.centre()[ks <= (fails_up_to or 0)]
        works = late.centre()[ks >= works_from]
        words = f"{fails.max():.3f} at most below, " if fails.size else ""
        return Outcome(bool((fails == 0).all() and (works == 1).all()), f"{words}{works.min():.3f} at least above")

    below = "" if fails_up_to is None else f"0 for k up to {fails_up_to}, "
    return Claim(
        f"At discount {discount} the floor must lie below the values that count",
        f"late success {below}1 for k from {works_from} on",
        check,
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Success against ``k``, early beside late, a curve for each discount."""
    figure, axes = new_figure(1, 2, width=9, height=3.6, share=True)
    for column, metric in enumerate((EARLY, LATE)):
        panel = axes[0, column]
        for discount, colour in zip(DISCOUNTS, COLOURS, strict=False):
            scores = np.stack([cell.scores for cell in cells.where(metric=metric, discount=discount)])
            draw_band(panel, KS, scores, f"discount {discount}", colour, statistic=cells.statistic)
        tidy(panel, f"chain, width {WIDTH}: {metric}", "k", "share of checks with success")
        panel.set_xscale("log")
        panel.set_xticks(KS, [str(k) for k in KS], minor=False)
        panel.minorticks_off()
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"success_against_k": figure}


TABLE = Table(
    title="Chain: success of log-mapped Q-learning by k, where discount**k is the smallest value told from zero",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "30,000 sweeps", "1 min on 2 cores", {"sweeps": 30_000})},
    jobs=jobs,
    cells=cells,
    claims=(threshold(0.1, 20, 40), threshold(0.5, 20, 50), threshold(0.8, 20, 50), threshold(0.94, None, 5)),
    figures=figures,
    statistic="mean",
)
