"""Figures 3 and 5, on the factor regulator: noise on rewards or observations, with one critic and with five."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from papers.revalued._regulator import DECQN, FINAL, METHODS, PAPER, REVALUED, curve, final, name_of, training

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPONENTS = 24
REWARDS, OBSERVATIONS = "rewards, 0.1", "observations, 0.1"
NOISES = {REWARDS: {"reward_noise": 0.1}, OBSERVATIONS: {"obs_noise": 0.1}}
SETTINGS = [(noise, method) for noise in NOISES for method in (DECQN, REVALUED)]


def job_name(noise: str, method: str) -> str:
    """Of a training."""
    return f"{noise.partition(',')[0]}-{name_of(method)}"


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each kind of noise and method."""
    return [
        training(job_name(noise, method), METHODS[method], {"num_components": COMPONENTS, **NOISES[noise]}, scale)
        for noise, method in SETTINGS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Final returns."""
    return [
        Cell({"noise on": noise, "method": method}, FINAL, final(folders[job_name(noise, method)]))
        for noise, method in SETTINGS
    ]


def ensemble_helps(noise: str) -> Claim:
    """REValueD ends above DecQN under this noise as well."""

    def check(cells: Cells) -> Outcome:
        ours, theirs = (cells.one(**{"noise on": noise, "method": m}).scores for m in (REVALUED, DECQN))
        higher = f"higher for {int((ours > theirs).sum())} of {len(ours)} seeds"
        return Outcome(bool(ours.mean() > theirs.mean()), f"{ours.mean():.1f} to {theirs.mean():.1f}, {higher}")

    return Claim(
        f"An ensemble of critics helps under noise on {noise.partition(',')[0]}",
        "mean final return, REValueD's above DecQN's",
        check,
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, a plot for each kind of noise."""
    figure, axes = new_figure(1, len(NOISES), width=9.2, share=True)
    for panel, noise in zip(axes[0], NOISES, strict=True):
        for method, colour in zip((DECQN, REVALUED), COLOURS, strict=False):
            steps, values = curve(folders[job_name(noise, method)])
            draw_band(panel, steps, values.T, method, colour, statistic=cells.statistic)
        tidy(panel, f"noise on {noise}", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Factor regulator: noise on rewards and on observations",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "16,000 steps", "3 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=tuple(ensemble_helps(noise) for noise in NOISES),
    figures=figures,
    statistic="mean",
)
