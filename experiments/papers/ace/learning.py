"""Whether SAC and ACE solve what they should: Pendulum and the inverted pendulum; and whether they learn to run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from papers.ace import comparison
from papers.ace.identification import PAPER

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGENTS = ("sac", "ace")
UNTRAINED, FINAL = "return before training", "return of the last three"
PENDULUM, BALANCE, RUN = "gymnax/Pendulum-v1", "brax/inverted_pendulum", "brax/halfcheetah"
# Most that is expected of random actions in Pendulum is about -1200; -200 swings up and stays there.
SOLVED = {PENDULUM: -200.0, BALANCE: 950.0}
GAIN = 500.0


class Task(NamedTuple):
    """A training's budget, and what differs from the agents' defaults."""

    steps: int
    fields: Mapping[str, Any]
    weight: float


# One environment, an update a step, and networks of 256-256: as SAC is used.
TASKS: Mapping[str, Task] = {
    PENDULUM: Task(15_000, {"replay_size": 15_000}, 1.0),
    BALANCE: Task(20_000, {"replay_size": 20_000}, 1.5),
    RUN: Task(100_000, comparison.SETTINGS, 2.0),
}


def job_name(agent: str, task: str) -> str:
    """Of a training."""
    return f"{agent}-{task.partition('/')[2]}"


def training(agent: str, task: str, scale: Scale) -> Training:
    """All seeds of an agent in a task; ACE estimates its weights ten times, and resets its networks four times."""
    steps, given, weight = TASKS[task]
    fields = dict(given)
    fields.pop("reset_period", None)
    if agent == "ace":
        fields |= {"interval": steps // 10, "window": steps // 10, "reset_period": steps // 5}
    run = {
        "total_steps": steps,
        "num_evaluations": 15,
        "eval_episodes": 8,
        "num_seeds": scale.seeds,
        "num_checkpoints": 3,
        "tensorboard": False,
    }
    return Training(job_name(agent, task), agent, task, fields, run_fields=run, weight=weight)


def jobs(scale: Scale) -> Sequence[Training]:
    """Both agents in every task."""
    return [training(agent, task, scale) for task in TASKS for agent in AGENTS]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns of the untrained networks, and at the end."""
    found = []
    for task in TASKS:
        for agent in AGENTS:
            _, values = returns(folders[job_name(agent, task)])
            setting = {"agent": agent, "task": task}
            found += [Cell(setting, UNTRAINED, values[:, 0]), Cell(setting, FINAL, values[:, -3:].mean(axis=1))]
    return found


def solved(agent: str, task: str) -> Callable[[Cells], Outcome]:
    """At least four of five seeds end where they should."""

    def check(cells: Cells) -> Outcome:
        scores = cells.one(agent=agent, task=task, metric=FINAL).scores
        above = scores >= SOLVED[task]
        return Outcome(bool(above.mean() >= 0.8), f"{above.sum()} of {len(scores)}: {listed(scores)}")

    return check


def improved(agent: str) -> Callable[[Cells], Outcome]:
    """Every seed ends well above its untrained network."""

    def check(cells: Cells) -> Outcome:
        before, after = (cells.one(agent=agent, task=RUN, metric=metric).scores for metric in (UNTRAINED, FINAL))
        return Outcome(bool((after - before).min() >= GAIN), f"gains {listed(after - before)}")

    return check


def listed(scores: np.ndarray) -> str:
    """In order."""
    return ", ".join(f"{score:.0f}" for score in np.sort(scores))


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, a panel for each task."""
    figure, axes = new_figure(1, len(TASKS), width=4.4 * len(TASKS))
    for panel, task in zip(axes[0], TASKS, strict=True):
        for agent, colour in zip(AGENTS, COLOURS, strict=False):
            steps, values = returns(folders[job_name(agent, task)])
            draw_band(panel, steps, values.T, agent, colour, statistic=cells.statistic)
        tidy(panel, task, "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="SAC and ACE: do they learn?",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "15,000 to 100,000 steps", "20 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        *(
            Claim(f"{agent} solves {task}", f"4 of 5 seeds end at {limit:g} or more", solved(agent, task))
            for task, limit in SOLVED.items()
            for agent in AGENTS
        ),
        *(Claim(f"{agent} learns to run", f"every seed gains {GAIN:g} or more", improved(agent)) for agent in AGENTS),
    ),
    figures=figures,
    statistic="mean",
)
