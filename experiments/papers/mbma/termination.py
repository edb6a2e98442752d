"""A task in which all that matters is when an episode ends: MBMA's model with and without terminations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.mbma._pendulum import PAPER, SETTINGS, trained_returns

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLIND, SEEING = "MBMA", "MBMA, terminations predicted"
METHODS = {"PPO": ("none", False), BLIND: ("model", False), SEEING: ("model", True)}
GOOD, STEPS, EVALUATIONS = 950.0, 102_400, 50
TIME, MEAN = "steps to 950", "mean return"


def training(method: str, scale: Scale) -> Training:
    """All seeds of a method."""
    source, predict = METHODS[method]
    settings = SETTINGS | {"source": source, "predict_termination": predict, "discount": 0.99, "reward_scale": 1.0}
    run = {
        "total_steps": STEPS,
        "num_evaluations": EVALUATIONS,
        "eval_episodes": 16,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return Training(
        name_of(method),
        agent="mbma",
        env="brax/inverted_pendulum",
        agent_fields=settings,
        env_fields={"backend": "generalized"},
        run_fields=run,
        weight=1.0 if source == "none" else 3.0,
    )


def name_of(method: str) -> str:
    """Of a training."""
    return method.replace(", ", "-").replace(" ", "_")


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each method."""
    return [training(method, scale) for method in METHODS]


def evaluations(folders: Mapping[str, Path], method: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and returns ``[seeds, E]`` of the evaluations after some training."""
    return trained_returns(folders[name_of(method)])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps to a good return, and the mean return over training."""
    found = []
    for method in METHODS:
        steps, values = evaluations(folders, method)
        found += [
            Cell({"method": method}, TIME, first_good(steps, values)),
            Cell({"method": method}, MEAN, values.mean(axis=1)),
        ]
    return found


def first_good(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Steps ``[seeds]`` of the first evaluation with a mean return of 950; without one, those of the whole training."""
    good = values >= GOOD
    return np.where(good.any(axis=1), steps[good.argmax(axis=1)], STEPS)


def terminations_matter(cells: Cells) -> Outcome:
    """With its terminations predicted MBMA needs no more steps than PPO."""
    times = {method: cells.one(method=method, metric=TIME).scores for method in METHODS}
    reached = bool((times[SEEING] < STEPS).all())
    holds = reached and times[SEEING].mean() <= times["PPO"].mean()
    listed = "; ".join(f"{method}: {', '.join(f'{time:,.0f}' for time in found)}" for method, found in times.items())
    return Outcome(bool(holds), listed)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps."""
    figure, axes = new_figure()
    for method, colour in zip(METHODS, COLOURS, strict=False):
        steps, values = evaluations(folders, method)
        draw_band(axes[0, 0], steps, values.T, method, colour, statistic=cells.statistic)
    tidy(axes[0, 0], "inverted pendulum", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Inverted pendulum: simulated actions with and without a model of terminations",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "102,400 steps", "5 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "With a model of terminations MBMA learns a task that is all about them",
            "every seed reaches a mean return of 950, in no more steps than PPO on average",
            terminations_matter,
        ),
    ),
    figures=figures,
    statistic="mean",
)
