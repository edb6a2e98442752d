"""Three learners times what feedback may mean: the reward, the action, the improvement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.coach._teach import LAST, PAPER, QUALITATIVE, Class, Pupil, job

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 300
# Kinds of feedback, their trainers, and COACH's step size for each.
KINDS = {
    "task": ("task", 0.1),
    "action, author's": ("action_author", 0.05),
    "action, mended": ("action", 0.05),
    "improvement": ("improvement", 0.5),
}
COACH, TAMER, Q = "COACH", "TAMER", "Q-learning"
STEPS, SOLVED = f"steps an episode, last {LAST}", f"share solved, last {LAST}"


def classes() -> Sequence[Class]:
    """COACH with both trace lengths, TAMER, greedy and less greedy on improvement, and Q-learning, for each kind."""
    found = []
    for kind, (teacher, rate) in KINDS.items():
        coaches = [
            Pupil(_row(COACH, kind, decay=decay), {"trace_decays": [decay], "learning_rate": rate} | _HERE)
            for decay in (0.0, 0.95)
        ]
        explorations = (0.0, 0.1, 0.2) if kind == "improvement" else (0.1,)
        tamers = [Pupil(_row(TAMER, kind, epsilon=e), {"epsilon": e} | _HERE) for e in explorations]
        learner = Pupil(_row(Q, kind, epsilon=0.1), {"discount": 0.99, "epsilon": 0.1} | _HERE)
        name = teacher.replace("_", "-")
        found += [
            Class(f"coach-{name}", "coach", teacher, coaches),
            Class(f"tamer-{name}", "tamer", teacher, [*tamers, learner]),
        ]
    return found


_HERE = {"carry_across_reset": False}


def _row(learner: str, kind: str, decay: float | str = "", epsilon: float | str = "") -> dict[str, str | float]:
    return {"learner": learner, "feedback": kind, "lambda": decay, "epsilon": epsilon, "paper": QUALITATIVE}


def jobs(scale: Scale) -> Sequence[Chunked]:
    """A job a class."""
    return [job(group, scale.seeds, EPISODES) for group in classes()]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps of the last episodes, and how many of them were solved."""
    rows = []
    for group in classes():
        found = outputs(folders[group.name])
        for index, pupil in enumerate(group.pupils):
            rows.append(Cell(pupil.setting, STEPS, found["lengths"][index, :, -LAST:].mean(-1)))
            rows.append(Cell(pupil.setting, SOLVED, found["solved"][index, :, -LAST:].mean(-1)))
    return rows


def mean(cells: Cells, metric: str, **query: str | float) -> float:
    """Mean over seeds."""
    return float(cells.one(metric=metric, **query).scores.mean())


def coach_copes(cells: Cells) -> Outcome:
    """With the right trace length COACH learns from every kind."""
    chosen = {"task": 0.95, "action, mended": 0.0, "improvement": 0.0}
    found = {
        kind: tuple(
            mean(cells, metric, learner=COACH, feedback=kind, **{"lambda": decay}) for metric in (STEPS, SOLVED)
        )
        for kind, decay in chosen.items()
    }
    holds = all(steps <= 25 and solved >= 0.98 for steps, solved in found.values())
    return Outcome(holds, "; ".join(f"{kind} {steps:.1f} steps, {100 * s:.0f} %" for kind, (steps, s) in found.items()))


def at_least(least: float, **query: str | float) -> "Claim":
    """A claim that a learner needs so many steps still."""
    learner, kind = query["learner"], query["feedback"]

    def check(cells: Cells) -> Outcome:
        found = mean(cells, STEPS, **query)
        return Outcome(found >= least, f"{found:.0f}")

    return Claim(f"{learner} fails on feedback of the kind: {kind}", f"at least {least:.0f} steps", check)


def one_trace_does_not_fit_all(cells: Cells) -> Outcome:
    """Read as a reward, feedback on actions traps COACH."""
    found = mean(cells, SOLVED, learner=COACH, feedback="action, mended", **{"lambda": 0.95})
    return Outcome(found <= 0.2, f"{100 * found:.0f} % solved")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Steps against episodes, a panel for each kind of feedback."""
    figure, axes = new_figure(1, len(KINDS), width=13.0, height=3.4, share=True)
    for axis, kind in zip(axes[0], KINDS, strict=True):
        for colour, (label, lengths) in zip(COLOURS, curves(folders, kind).items(), strict=False):
            blocks = lengths.reshape(len(lengths), -1, 10).mean(-1)
            draw_band(axis, 10 * np.arange(1, blocks.shape[1] + 1), blocks.T, label, colour, statistic="mean")
        tidy(axis, kind, "episodes", "steps an episode")
        axis.set_yscale("log")
        axis.legend(fontsize=7, frameon=False)
    return {"steps": figure}


def curves(folders: Mapping[str, Path], kind: str) -> dict[str, np.ndarray]:
    """Steps of every episode ``[seeds, EPISODES]``, by what learns from that kind of feedback."""
    found: dict[str, np.ndarray] = {}
    for group in classes():
        for pupil, lengths in zip(group.pupils, outputs(folders[group.name])["lengths"], strict=True):
            setting = pupil.setting
            told = f"λ {setting['lambda']}" if group.agent == "coach" else f"ε {setting['epsilon']}"
            found |= {f"{setting['learner']}, {told}": lengths} if setting["feedback"] == kind else {}
    return found


TABLE = Table(
    title="The cliff grid, taught: learners times kinds of feedback",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(20, f"{EPISODES} episodes of at most 500 steps", "5 min on 1 core")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("COACH learns from every kind", "at most 25 steps and 98 % solved, with the right λ", coach_copes),
        at_least(120, learner=TAMER, feedback="task"),
        at_least(150, learner=Q, feedback="action, author's"),
        at_least(120, learner=Q, feedback="improvement"),
        Claim("No λ serves all kinds", "action, mended: λ 0.95 solves at most 20 %", one_trace_does_not_fit_all),
    ),
    figures=figures,
    statistic="mean",
)
