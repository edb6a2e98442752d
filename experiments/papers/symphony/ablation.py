"""What each component of Symphony does: the ablations that its authors left to future work."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papers.symphony import cartpole_falls, pendulum
from papers.symphony._small import (
    CHANGE,
    PAPER,
    RETURN,
    TINY,
    cells_of,
    extreme_cells,
    figure_of,
    mechanism,
    training,
    without_swaddling,
)

from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE, NO_SWADDLING = "all of S3", "no swaddling"
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    WHOLE: {},
    NO_SWADDLING: {"swaddling": 0.0},
    "uniform replay": {"draw": "uniform"},
    "terminations fade": {"requeue": False},
    "value, not advantage": {"advantage": "plain"},
    "mean of nodes": {"nodes": "mean"},
    "least critic": {"nodes": "least"},
    "gradient dropout": {"gradient_dropout": "all"},
    "no noise in targets": {"target_noise": False},
    "a third of the noise": {"noise_std": 0.1226, "noise_clip": 2.718281828},
    "no shut-off": {"shut_off": 0.0},
    "SiLU": {"activation": "silu"},
    "Adam corrected": {"bias_correction": True},
}
PENDULUM, CART = "Pendulum", "cart-pole"
TASKS = {PENDULUM: (pendulum.TASK, pendulum.STEPS), CART: (cartpole_falls.TASK, cartpole_falls.STEPS)}
SETTINGS = [(task, name) for task in TASKS for name in ABLATIONS]


def job_name(task: str, name: str) -> str:
    """Of a training."""
    return f"{task}-{name}".replace(", ", "-").replace(" ", "_")


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each task and ablation."""
    return [
        training(job_name(task, name), ("symphony", {**TINY, **ABLATIONS[name]}), TASKS[task][0], scale, TASKS[task][1])
        for task, name in SETTINGS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns and actions of the last evaluations; with everything also where sigma and beta stayed."""
    found = []
    for task, name in SETTINGS:
        setting, folder = {"task": task, "component": name}, folders[job_name(task, name)]
        found += cells_of(setting, folder) + (extreme_cells(setting, folder) if name == WHOLE else [])
    return found


def none_is_needed(task: str) -> Claim:
    """No single component carries the return."""

    def check(cells: Cells) -> Outcome:
        rows = {name: cells.where(task=task, component=name, metric=RETURN) for name in ABLATIONS}
        low, high = rows[WHOLE].interval()[0]
        if not low < high:
            return Outcome(None, "one seed has no interval")
        others = {name: rows[name].interval()[0] for name in ABLATIONS if name != WHOLE}
        worse = [name for name, interval in others.items() if interval[1] < low]
        better = [name for name, interval in others.items() if interval[0] > high]
        words = f"worse without overlap: {', '.join(worse) or 'none'}; better: {', '.join(better) or 'none'}"
        return Outcome(not worse, f"S3 {low:.0f} to {high:.0f}; {words}")

    return Claim(
        f"{task}: no single component decides the return at this size (rlx's own question)",
        "no ablation's 95 % interval of the mean return lies wholly below that of S3",
        check,
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns, changes of actions and sigma against steps, a figure for each task."""
    metrics = {RETURN: "return of an episode", CHANGE: "mean |a_t - a_(t-1)|", "sigma": "sigma"}
    methods = {task: {name: job_name(task, name) for name in ABLATIONS} for task in TASKS}
    return {task: figure_of(folders, methods[task], task, metrics) for task in TASKS}


TABLE = Table(
    title="Symphony without each of its components",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "10,000 and 8,000 steps after 1,000 of exploration", "2 h on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        mechanism(task=PENDULUM, component=WHOLE),
        without_swaddling(task=PENDULUM, component=NO_SWADDLING),
        mechanism(task=CART, component=WHOLE),
        without_swaddling(task=CART, component=NO_SWADDLING),
        *(none_is_needed(task) for task in TASKS),
    ),
    figures=figures,
    statistic="mean",
)
