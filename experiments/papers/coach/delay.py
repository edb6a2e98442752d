"""Feedback that comes late, seldom or wrong, and what it costs to forget at the end of an episode."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.coach._teach import LAST, PAPER, QUALITATIVE, Class, Pupil, job
from papers.coach.feedback_matrix import SOLVED, STEPS, mean

from rlx.envs.teacher import Channel
from rlx.report.figures import new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES, LAG = 300, 2
LATE = Channel(lag=LAG, slots=LAG + 1)
ACTION, IMPROVEMENT, TASK = "action, mended", "improvement", "task"
# The map of all lags and all delays that COACH is told of.
MAP, MAP_LAGS, MAP_EPISODES, MAP_LIMIT, MAP_SEEDS = "map", range(5), 60, 100, 4


def pupil(kind: str, fault: str, told: int, decay: float, rate: float, channel: Channel, carries: bool = True) -> Pupil:
    """A row: what is wrong with the feedback, and which delay COACH is told of."""
    setting = {"feedback": kind, "fault": fault, "delay": told, "lambda": decay, "carried": str(carries).lower()}
    fields = {"trace_decays": [decay], "learning_rate": rate, "delay": told, "carry_across_reset": carries}
    return Pupil({**setting, "paper": QUALITATIVE}, fields, channel)


def classes() -> Sequence[Class]:
    """Rows by trainer; where feedback is carried across resets and where not are two programs."""
    late = f"{LAG} steps late"
    actions = [pupil(ACTION, late, told, 0.0, 0.05, LATE) for told in (2, 1, 0)]
    improvements = [pupil(IMPROVEMENT, late, told, 0.0, 0.5, LATE) for told in (2, 0)]
    improvements += [
        pupil(IMPROVEMENT, late, 0, 0.9, 0.5, LATE),
        pupil(IMPROVEMENT, "one in ten spoken", 0, 0.0, 0.5, Channel(probability=0.1)),
        pupil(IMPROVEMENT, "20 % wrong sign", 0, 0.0, 0.5, Channel(flips=0.2)),
        pupil(IMPROVEMENT, "40 % wrong sign", 0, 0.0, 0.5, Channel(flips=0.4)),
    ]
    one = Channel(lag=1, slots=2)
    return [
        Class("action", "coach", "action", actions),
        Class("improvement", "coach", "improvement", improvements),
        Class("carried", "coach", "task", [pupil(TASK, "1 step late", 1, 0.95, 0.1, one)]),
        Class("dropped", "coach", "task", [pupil(TASK, "1 step late", 1, 0.95, 0.1, one, carries=False)]),
    ]


def map_class() -> Class:
    """Every lag with every delay that COACH could be told of."""
    longest = max(MAP_LAGS) + 1
    pupils = [
        pupil(ACTION, str(lag), told, 0.0, 0.05, Channel(lag=lag, slots=longest))
        for lag in MAP_LAGS
        for told in MAP_LAGS
    ]
    return Class(MAP, "coach", "action", pupils, limit=MAP_LIMIT)


def jobs(scale: Scale) -> Sequence[Chunked]:
    """A job a class."""
    rows = [job(group, scale.seeds, EPISODES) for group in classes()]
    return [*rows, job(map_class(), MAP_SEEDS * scale.seeds, MAP_EPISODES)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps of the last episodes, and how many of them were solved."""
    rows = []
    for group in classes():
        found = outputs(folders[group.name])
        for index, row in enumerate(group.pupils):
            rows.append(Cell(row.setting, STEPS, found["lengths"][index, :, -LAST:].mean(-1)))
            rows.append(Cell(row.setting, SOLVED, found["solved"][index, :, -LAST:].mean(-1)))
    return rows


def steps_of(cells: Cells, kind: str, fault: str, told: int, decay: float, carried: str = "true") -> float:
    """Mean steps of a row."""
    query: dict[str, str | float] = {
        "feedback": kind,
        "fault": fault,
        "delay": told,
        "lambda": decay,
        "carried": carried,
    }
    return mean(cells, STEPS, **query)


def a_known_lag_is_no_harm(cells: Cells) -> Outcome:
    """Told of the true lag, COACH learns as without any."""
    found = [steps_of(cells, kind, f"{LAG} steps late", LAG, 0.0) for kind in (ACTION, IMPROVEMENT)]
    return Outcome(max(found) <= 25, " and ".join(f"{steps:.1f}" for steps in found))


def a_wrong_lag_is(cells: Cells) -> Outcome:
    """Told of another, it does not."""
    late = f"{LAG} steps late"
    found = [steps_of(cells, ACTION, late, told, 0.0) for told in (0, 1)] + [steps_of(cells, IMPROVEMENT, late, 0, 0.0)]
    return Outcome(min(found) >= 120, ", ".join(f"{steps:.0f}" for steps in found))


def late_feedback_must_cross_resets(cells: Cells) -> Outcome:
    """The goal's reward arrives when the next episode has begun."""
    kept, lost = (steps_of(cells, TASK, "1 step late", 1, 0.95, carried) for carried in ("true", "false"))
    return Outcome(kept <= 25, f"{kept:.1f}; where it is dropped, {lost:.0f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Share solved, by lag and by the delay that COACH was told of."""
    solved = outputs(folders[MAP])["solved"][..., -MAP_EPISODES // 3 :].mean((1, 2))
    grid = solved.reshape(len(MAP_LAGS), len(MAP_LAGS))
    figure, axes = new_figure(width=4.6, height=4.0)
    shown = axes[0, 0].imshow(grid, origin="lower", cmap="viridis", vmin=0.0, vmax=1.0)
    for (lag, told), share in np.ndenumerate(grid):
        axes[0, 0].text(told, lag, f"{share:.2f}", ha="center", va="center", color="black" if share > 0.5 else "white")
    tidy(
        axes[0, 0], "share of episodes solved within 100 steps", "delay that COACH is told of", "steps feedback is late"
    )
    axes[0, 0].grid(visible=False)
    figure.colorbar(shown, shrink=0.8)
    return {"lag": figure}


TABLE = Table(
    title="The cliff grid, taught through a channel: late, seldom, wrong",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(20, f"{EPISODES} episodes of at most 500 steps", "5 to 12 min on 1 core")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("A lag that COACH is told of does no harm", "at most 25 steps, both kinds, λ 0", a_known_lag_is_no_harm),
        Claim("One that it is not told of does", "at least 120 steps, λ 0", a_wrong_lag_is),
        Claim(
            "Late feedback has to reach into the episode before",
            "at most 25 steps where it does",
            late_feedback_must_cross_resets,
        ),
    ),
    figures=figures,
    statistic="mean",
)
