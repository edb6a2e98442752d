"""The factor regulator: REValueD, DecQN and BDQ with few and with many components, critics and kinds of targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from papers.revalued._regulator import DECQN, ENSEMBLE, FINAL, METHODS, PAPER, REVALUED, curve, final, name_of, training

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW, MANY = 6, 24
STEPS = {FEW: 24_000, MANY: 16_000}
ABLATIONS: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{f"REValueD, {k} critics": ("revalued", {**ENSEMBLE, "num_critics": k}) for k in (1, 2, 3, 10)},
    "target: mean of maxima": ("revalued", {**ENSEMBLE, "bootstrap": "mean_of_max"}),
    "target: each critic's own": ("revalued", {**ENSEMBLE, "bootstrap": "independent"}),
}


def settings() -> list[tuple[str, int]]:
    """Method and components of every training."""
    return [*((method, n) for n in (FEW, MANY) for method in METHODS), *((method, MANY) for method in ABLATIONS)]


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each setting."""
    known = {**METHODS, **ABLATIONS}
    return [
        training(f"{name_of(method)}-{n}", known[method], {"num_components": n}, scale, STEPS[n])
        for method, n in settings()
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Final returns."""
    return [
        Cell({"components": n, "method": method}, FINAL, final(folders[f"{name_of(method)}-{n}"]))
        for method, n in settings()
    ]


def ensemble_helps(cells: Cells) -> Outcome:
    """With many components REValueD ends above DecQN."""
    ours, theirs = (cells.one(components=MANY, method=method).scores for method in (REVALUED, DECQN))
    higher = int((ours > theirs).sum())
    holds = ours.mean() >= 1.15 * theirs.mean() and higher >= len(ours) - 1
    return Outcome(bool(holds), f"{ours.mean():.1f} to {theirs.mean():.1f}, higher for {higher} of {len(ours)} seeds")


def branches_fall_behind(cells: Cells) -> Outcome:
    """With many components DecQN ends far above BDQ."""
    decqn, bdq = (cells.one(components=MANY, method=method).scores.mean() for method in ("DecQN", "BDQ"))
    return Outcome(bool(decqn >= 3 * bdq), f"{decqn:.1f} to {bdq:.1f}")


def all_learn_few(cells: Cells) -> Outcome:
    """With few components all three learn the task."""
    means = np.array([cells.one(components=FEW, method=method).scores.mean() for method in METHODS])
    holds = means.min() > 40 and means.min() >= 0.85 * means.max()
    listed = ", ".join(f"{method} {mean:.1f}" for method, mean in zip(METHODS, means, strict=True))
    return Outcome(bool(holds), listed)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, with few and with many components."""
    figure, axes = new_figure(1, 2, width=9.2)
    for panel, n in zip(axes[0], (FEW, MANY), strict=True):
        for method, colour in zip(METHODS, COLOURS, strict=False):
            steps, values = curve(folders[f"{name_of(method)}-{n}"])
            draw_band(panel, steps, values.T, method, colour, statistic=cells.statistic)
        tidy(panel, f"{n} components", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Factor regulator: one to ten critics, branches, and kinds of targets",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "16,000 steps, 24,000 with 6 components", "20 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "An ensemble of critics helps where there are many components",
            "24 components: REValueD's mean at least 1.15 times DecQN's, and higher for all seeds but one",
            ensemble_helps,
        ),
        Claim(
            "Branches that are regressed one by one fall behind",
            "24 components: DecQN's mean at least 3 times BDQ's",
            branches_fall_behind,
        ),
        Claim("With few components all do", "6 components: all means above 40, within 15 %", all_learn_few),
    ),
    figures=figures,
    statistic="mean",
)
