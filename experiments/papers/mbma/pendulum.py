"""Returns on Pendulum with simulated actions, simulated states, actions valued by a critic, and none."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.mbma._pendulum import METHODS, PAPER, SETTINGS, TASK, TOTAL_STEPS, trained_returns

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVALUATIONS = 8
OFF, ON = "off", "on"
# Method and whether the change of values is clipped.
ROWS = (*[(method, OFF) for method in METHODS], ("PPO", ON), ("MBMA", ON))
OVERALL, EARLY, LATE, END = "mean return", "return at 30,720 steps", "return of the last three", "return at the end"
PARTS = {OVERALL: slice(None), EARLY: slice(2, 3), LATE: slice(-3, None), END: slice(-1, None)}


def name_of(method: str, value_clip: str) -> str:
    """Of a training."""
    return method if value_clip == OFF else f"{method}-value_clip"


def training(method: str, value_clip: str, scale: Scale) -> Training:
    """All seeds of a row."""
    run = {
        "total_steps": TOTAL_STEPS,
        "num_evaluations": EVALUATIONS,
        "eval_episodes": 32,
        "eval_mode": "sample",
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return Training(
        name_of(method, value_clip),
        agent="mbma",
        env=TASK,
        agent_fields=SETTINGS | {"source": METHODS[method], "clip_value_loss": value_clip == ON},
        run_fields=run,
        weight={"PPO": 1.0, "QMA": 1.5}.get(method, 3.0),
    )


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each row."""
    return [training(*row, scale) for row in ROWS]


def evaluations(folders: Mapping[str, Path], method: str, value_clip: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[8]`` and returns ``[seeds, 8]`` of the evaluations after some training."""
    return trained_returns(folders[name_of(method, value_clip)])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns over the whole of training and parts of it."""
    return [
        Cell(
            {"method": method, "value clip": clip},
            metric,
            evaluations(folders, method, clip)[1][:, part].mean(axis=1),
        )
        for method, clip in ROWS
        for metric, part in PARTS.items()
    ]


def overall(cells: Cells, method: str) -> np.ndarray:
    """Mean return over training of each seed, without the value clip."""
    return cells.one(**{"method": method, "value clip": OFF, "metric": OVERALL}).scores


def simulated_actions_help(cells: Cells) -> Outcome:
    """MBMA learns faster than PPO."""
    gains = overall(cells, "MBMA") - overall(cells, "PPO")
    holds = gains.mean() > 30 and np.mean(gains > 0) >= 0.8
    listed = ", ".join(f"{gain:+.0f}" for gain in gains)
    return Outcome(bool(holds), f"{gains.mean():+.0f} on average; {listed}")


def critic_is_no_better(cells: Cells) -> Outcome:
    """QMA does not beat MBMA."""
    by_critic, by_model = overall(cells, "QMA").mean(), overall(cells, "MBMA").mean()
    return Outcome(bool(by_critic <= by_model), f"QMA {by_critic:.0f}, MBMA {by_model:.0f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps; with the value clip as broken lines."""
    figure, axes = new_figure()
    colours = dict(zip(METHODS, COLOURS, strict=False))
    for method, clip in ROWS:
        steps, values = evaluations(folders, method, clip)
        label, style = (method, "-") if clip == OFF else (f"{method}, value clip", "--")
        draw_band(axes[0, 0], steps, values.T, label, colours[method], style, statistic=cells.statistic)
    tidy(axes[0, 0], "Pendulum", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Pendulum: returns of PPO, and with simulated actions (MBMA) or states (MBPO), or actions by a critic (QMA)",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "81,920 steps", "4 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "Simulated actions help PPO",
            "mean return over training, MBMA - PPO of the same seed: above 30 on average, and above 0 for at least 4 "
            "of 5 seeds",
            simulated_actions_help,
        ),
        Claim(
            "Actions valued by a critic help less than simulated ones",
            "mean return over training: QMA at most that of MBMA",
            critic_is_no_better,
        ),
    ),
    figures=figures,
    statistic="mean",
)
