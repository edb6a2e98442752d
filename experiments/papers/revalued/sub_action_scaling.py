"""Figures 2 and 4, on the factor regulator: returns by the choices of a component and by the number of components."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.revalued._regulator import (
    AVERAGE,
    BDQ,
    DECQN,
    FINAL,
    METHODS,
    PAPER,
    REVALUED,
    average,
    final,
    name_of,
    training,
)

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Setting, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW, MOST = 6, 24
FEWEST_BINS, MOST_BINS = 3, 31
# Components and bins: first more bins, then more components.
SIZES = (*((FEW, bins) for bins in (FEWEST_BINS, 7, 15, MOST_BINS)), (12, FEWEST_BINS), (MOST, FEWEST_BINS))


def job_name(method: str, components: int, bins: int) -> str:
    """Of a training."""
    return f"{name_of(method)}-{components}x{bins}"


def settings() -> list[tuple[str, int, int]]:
    """Method, components and bins of every training."""
    return [(method, *size) for size in SIZES for method in METHODS]


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each setting."""
    return [
        training(job_name(method, n, bins), METHODS[method], {"num_components": n, "bins": bins}, scale)
        for method, n, bins in settings()
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Final and average returns."""
    found = []
    for method, n, bins in settings():
        folder = folders[job_name(method, n, bins)]
        setting: Setting = {"components": n, "bins": bins, "method": method}
        found += [Cell(setting, FINAL, final(folder)), Cell(setting, AVERAGE, average(folder))]
    return found


def mean_of(cells: Cells, method: str, metric: str, components: int = FEW, bins: int = FEWEST_BINS) -> float:
    """Mean over seeds."""
    return float(cells.one(components=components, bins=bins, method=method, metric=metric).scores.mean())


def ensemble_keeps_more(cells: Cells) -> Outcome:
    """REValueD loses a smaller share of its return to more choices than DecQN does."""
    kept = {
        method: mean_of(cells, method, AVERAGE, bins=MOST_BINS) / mean_of(cells, method, AVERAGE)
        for method in (REVALUED, DECQN)
    }
    return Outcome(kept[REVALUED] > kept[DECQN], f"REValueD keeps {kept[REVALUED]:.3f}, DecQN {kept[DECQN]:.3f}")


def branches_stand_many_choices(cells: Cells) -> Outcome:
    """BDQ keeps up with DecQN where components have many choices."""
    bdq, decqn = (mean_of(cells, method, FINAL, bins=MOST_BINS) for method in (BDQ, DECQN))
    return Outcome(bdq >= 0.85 * decqn, f"BDQ {bdq:.1f}, DecQN {decqn:.1f}")


def ratios(cells: Cells, method: str) -> list[float]:
    """A method's mean final return over DecQN's, by the number of components."""
    return [mean_of(cells, method, FINAL, n) / mean_of(cells, DECQN, FINAL, n) for n in (FEW, 12, MOST)]


def lead_grows(cells: Cells) -> Outcome:
    """The more components, the more the ensemble is ahead."""
    found = ratios(cells, REVALUED)
    return Outcome(found[0] < found[-1], f"REValueD to DecQN: {_listed(found)}")


def branches_fall_behind(cells: Cells) -> Outcome:
    """The more components, the further BDQ is behind."""
    found = ratios(cells, BDQ)
    return Outcome(bool((np.diff(found) < 0).all()), f"BDQ to DecQN: {_listed(found)}")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Average returns by the number of bins and by that of components."""
    figure, axes = new_figure(1, 2, width=9.2)
    few = [size for size in SIZES if size[0] == FEW]
    rest = [size for size in SIZES if size[1] == FEWEST_BINS]
    for panel, sizes, axis in zip(axes[0], (few, rest), (1, 0), strict=True):
        for method, colour in zip(METHODS, COLOURS, strict=False):
            scores = [cells.one(components=n, bins=b, method=method, metric=AVERAGE).scores for n, b in sizes]
            draw_band(panel, range(len(sizes)), scores, method, colour, statistic=cells.statistic)
        panel.set_xticks(range(len(sizes)), [str(size[axis]) for size in sizes])
    tidy(axes[0, 0], f"{FEW} components", "choices of a component", "average return over training")
    tidy(axes[0, 1], f"{FEWEST_BINS} choices a component", "components", "average return over training")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return_by_size": figure}


TABLE = Table(
    title="Factor regulator: more choices a component, and more components",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "16,000 steps", "10 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "An ensemble stands more choices of a component better",
            "6 components: average return with 31 bins as a share of that with 3, larger for REValueD than for DecQN",
            ensemble_keeps_more,
        ),
        Claim(
            "Branches keep up however many choices a component has",
            "6 components, 31 bins: BDQ's mean final return at least 0.85 of DecQN's",
            branches_stand_many_choices,
        ),
        Claim(
            "The ensemble's lead grows with the number of components",
            "3 bins: ratio of mean final returns, REValueD to DecQN, with 24 components above that with 6",
            lead_grows,
        ),
        Claim(
            "Branches fall behind as components become more",
            "3 bins: ratio of mean final returns, BDQ to DecQN, falls from 6 to 12 to 24 components",
            branches_fall_behind,
        ),
    ),
    figures=figures,
    statistic="mean",
)
