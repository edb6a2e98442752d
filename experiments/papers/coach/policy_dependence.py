"""Trainers whose feedback depends on what the learner already does: COACH beside TAMER."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.coach._teach import LAST, PAPER, QUALITATIVE, Class, Pupil, job
from papers.coach.feedback_matrix import COACH, SOLVED, STEPS, TAMER, mean

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 300
SIGN, DIFFERENTIAL, DIMINISHING, SHAPING = "sign of advantage", "differential", "diminishing returns", "policy shaping"
TRAINERS = {
    SIGN: "sign_improvement",
    DIFFERENTIAL: "differential",
    DIMINISHING: "diminishing",
    SHAPING: "shaping",
}
FIRST, FINAL = "praise a step, first 10 episodes", f"praise a step, last {LAST} episodes"


def classes() -> Sequence[Class]:
    """Both learners with every trainer, and COACH with ten times the step size where it saturates."""
    found = []
    for trainer, teacher in TRAINERS.items():
        rates = (0.05, 0.5) if trainer == SIGN else (0.05,)
        coaches = [
            Pupil(_row(COACH, trainer, rate), {"trace_decays": [0.0], "learning_rate": rate} | _HERE) for rate in rates
        ]
        name = teacher.replace("_", "-")
        found.append(Class(f"coach-{name}", "coach", teacher, coaches))
        found.append(
            Class(f"tamer-{name}", "tamer", teacher, [Pupil(_row(TAMER, trainer, 0.2), {"epsilon": 0.1} | _HERE)])
        )
    return found


_HERE = {"carry_across_reset": False}


def _row(learner: str, trainer: str, rate: float) -> dict[str, str | float]:
    return {"learner": learner, "trainer": trainer, "step size": rate, "paper": QUALITATIVE}


def jobs(scale: Scale) -> Sequence[Chunked]:
    """A job a class."""
    return [job(group, scale.seeds, EPISODES) for group in classes()]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps and solved episodes at the end, and how much praise there was at first and in the end."""
    rows = []
    for group in classes():
        found = outputs(folders[group.name])
        for index, pupil in enumerate(group.pupils):
            lengths, solved, praise = (found[name][index] for name in ("lengths", "solved", "praises"))
            rows.append(Cell(pupil.setting, STEPS, lengths[:, -LAST:].mean(-1)))
            rows.append(Cell(pupil.setting, SOLVED, solved[:, -LAST:].mean(-1)))
            rows.append(Cell(pupil.setting, FIRST, praise[:, :10].mean(-1)))
            rows.append(Cell(pupil.setting, FINAL, praise[:, -LAST:].mean(-1)))
    return rows


def of(cells: Cells, metric: str, learner: str, trainer: str, rate: float = 0.05) -> float:
    """Mean over seeds of one row."""
    return mean(cells, metric, learner=learner, trainer=trainer, **{"step size": rate})


def coach_copes(cells: Cells) -> Outcome:
    """COACH learns from every one of them."""
    found = {trainer: of(cells, STEPS, COACH, trainer) for trainer in TRAINERS}
    return Outcome(max(found.values()) <= 25, ", ".join(f"{name} {steps:.1f}" for name, steps in found.items()))


def saturation(cells: Cells) -> Outcome:
    """Signs alone do not tell when it is enough."""
    found = of(cells, STEPS, COACH, SIGN, 0.5)
    return Outcome(found >= 60, f"{found:.0f}")


def tamer_copes(cells: Cells) -> Outcome:
    """TAMER is no worse where what is praised stays the same."""
    found = [of(cells, STEPS, TAMER, trainer, 0.2) for trainer in (DIMINISHING, SHAPING)]
    return Outcome(max(found) <= 25, " and ".join(f"{steps:.1f}" for steps in found))


def praise_fades(cells: Cells) -> Outcome:
    """The same action earns less once it is a habit."""
    first, final = (of(cells, metric, COACH, DIMINISHING) for metric in (FIRST, FINAL))
    right = 1.0  # of the mended table: nearly every step of a good episode is praised by 1
    return Outcome(final <= 0.6 * right, f"{first:.2f} at first, {final:.2f} in the end; without it about {right:.0f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Praise and steps against episodes, COACH's."""
    figure, axes = new_figure(1, 2, width=10.0)
    for colour, (trainer, teacher) in zip(COLOURS, TRAINERS.items(), strict=False):
        found = outputs(folders[f"coach-{teacher.replace('_', '-')}"])
        for axis, name in zip(axes[0], ("praises", "lengths"), strict=True):
            blocks = found[name][0].reshape(len(found[name][0]), -1, 10).mean(-1)
            draw_band(axis, 10 * np.arange(1, blocks.shape[1] + 1), blocks.T, trainer, colour, statistic="mean")
    tidy(axes[0, 0], "COACH: praise fades as it learns", "episodes", "praise a step")
    tidy(axes[0, 1], "COACH: steps to the goal", "episodes", "steps an episode")
    axes[0, 1].set_yscale("log")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"praise": figure}


TABLE = Table(
    title="The cliff grid, taught by trainers who look at what the learner does",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(20, f"{EPISODES} episodes of at most 500 steps", "5 to 14 min on 1 core")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("COACH learns from all four", "at most 25 steps, step size 0.05", coach_copes),
        Claim("Where praise diminishes it fades as the habit forms", "in the end at most 0.6 a step", praise_fades),
        Claim("Signs alone saturate a large step size", "at least 60 steps with 0.5", saturation),
        Claim("TAMER copes with two of them as well", "at most 25 steps: diminishing returns, shaping", tamer_copes),
    ),
    figures=figures,
    statistic="mean",
)
