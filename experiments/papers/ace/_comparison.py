"""What the comparisons of ACE with its parts share: trainings, what became of them, and the paper's claims."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.loggers.jsonl import read_rows
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.report.statistics import mean, stratified_bootstrap_interval
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAC, RESET, CAUSAL, ACE = "SAC", "SAC + reset", "causal SAC", "ACE"
# Fields of `ace` that differ from its defaults.
METHODS: Mapping[str, Mapping[str, Any]] = {
    SAC: {"weights": "none", "reset": False},
    RESET: {"weights": "none"},
    CAUSAL: {"reset": False},
    ACE: {},
}
LAST = 4
FINAL, AVERAGE, DISTANCE = "return of the last four", "mean return of all evaluations", "weights from uniform"


def job_name(task: str, method: str) -> str:
    """Of a training."""
    return f"{task.partition('/')[2]}-{method.replace(' ', '_').replace('+', 'and')}"


def jobs(scale: Scale) -> Sequence[Training]:
    """All seeds of each method in each task."""
    options = scale.options
    run = {
        "total_steps": options["steps"],
        "num_evaluations": options["evaluations"],
        "eval_episodes": options["episodes"],
        "num_seeds": scale.seeds,
        "num_checkpoints": 4,
        "tensorboard": False,
    }
    return [
        Training(
            job_name(task, method),
            agent=options["agent"],
            env=task,
            agent_fields={**options["settings"], **fields},
            env_fields=env,
            run_fields=run,
        )
        for task, env in options["tasks"].items()
        for method, fields in METHODS.items()
    ]


def distances(folder: Path) -> np.ndarray:
    """Mean distance of the causal weights from uniform over all rows after the first estimate, ``[seeds]``."""
    found: dict[int, list[float]] = {}
    for row in read_rows(folder / "metrics.jsonl"):
        if row.get("update/weights_from_uniform", 0.0) > 0.0:
            found.setdefault(row["member"], []).append(row["update/weights_from_uniform"])
    return np.array([np.mean(found[member]) for member in sorted(found)]) if found else np.zeros(1)


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns at the end and over all of training, and how far weights were from uniform."""
    rows = [(task, method) for task in scale.options["tasks"] for method in METHODS]
    return [cell for task, method in rows for cell in cells_of(task, method, folders[job_name(task, method)])]


def cells_of(task: str, method: str, folder: Path) -> list[Cell]:
    """Those of one training."""
    setting, values = {"task": task, "method": method}, returns(folder)[1]
    scores = {FINAL: values[:, -LAST:].mean(axis=1), AVERAGE: values[:, 1:].mean(axis=1)}
    if method in (CAUSAL, ACE):
        scores[DISTANCE] = distances(folder)
    return [Cell(setting, metric, score) for metric, score in scores.items()]


def differences(cells: Cells, ours: str, theirs: str) -> dict[str, tuple[float, float, float]]:
    """By task the difference of the mean returns over training, and its 95 % interval over seeds."""
    found = {}
    for task in dict.fromkeys(str(cell.setting["task"]) for cell in cells):
        gap = lambda scores: mean(scores[..., :1]) - mean(scores[..., 1:])  # noqa: E731
        pair = [cells.one(task=task, method=method, metric=AVERAGE).scores for method in (ours, theirs)]
        scores = np.stack(pair, axis=1)
        low, high = stratified_bootstrap_interval(scores, gap)
        found[task] = float(gap(scores)), low, high
    return found


def listed(found: Mapping[str, tuple[float, float, float]]) -> str:
    """Differences with their intervals."""
    return "; ".join(f"{task} {gap:+.0f} ({low:+.0f} to {high:+.0f})" for task, (gap, low, high) in found.items())


def above_sac(cells: Cells) -> Outcome:
    """ACE learns faster than SAC in every task, beyond chance."""
    found = differences(cells, ACE, SAC)
    if all(low > 0 for _, low, _ in found.values()):
        return Outcome(True, listed(found))
    return Outcome(None if all(high > 0 for *_, high in found.values()) else False, listed(found))


def not_below_sac(cells: Cells) -> Outcome:
    """In no task the whole interval of the difference is below zero."""
    found = differences(cells, ACE, SAC)
    return Outcome(all(high >= 0 for *_, high in found.values()), listed(found))


def both_parts_help(cells: Cells) -> Outcome:
    """Weights alone are above SAC on the average over tasks, and resets add to them."""
    weights, resets = differences(cells, CAUSAL, SAC), differences(cells, ACE, CAUSAL)
    better = [sum(gap > 0 for gap, *_ in found.values()) * 2 > len(found) for found in (weights, resets)]
    return Outcome(all(better), f"weights: {listed(weights)}; resets on top: {listed(resets)}")


CLAIMS = (
    Claim("ACE is above SAC in every task", "mean return over training: the whole 95 % interval above 0", above_sac),
    Claim(
        "Weights alone help, and resets add to that",
        "mean return over training: causal SAC above SAC, and ACE above causal SAC, each in most tasks",
        both_parts_help,
    ),
    Claim("ACE costs no return", "in no task is the whole 95 % interval of the difference below 0", not_below_sac),
)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, a panel for each task; and below it each causal weight of ACE."""
    tasks = list(dict.fromkeys(str(cell.setting["task"]) for cell in cells))
    figure, axes = new_figure(2, len(tasks), width=4.4 * len(tasks), height=6.6)
    for panel, below, task in zip(*axes, tasks, strict=True):
        for method, colour in zip(METHODS, COLOURS, strict=False):
            steps, values = returns(folders[job_name(task, method)])
            draw_band(panel, steps, values.T, method, colour, statistic=cells.statistic)
        tidy(panel, task, "environment steps", "return of an episode")
        steps, weights = causal_weights(folders[job_name(task, ACE)])
        below.plot(steps, weights)
        tidy(below, f"{task}: causal weights of ACE", "environment steps", "weight, mean over seeds")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


def causal_weights(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` of rows with weights, and these, means over seeds, ``[E, D]``."""
    found: dict[int, list[Any]] = {}
    for row in read_rows(folder / "metrics.jsonl"):
        if "update/causal_weights" in row:
            found.setdefault(row["step"], []).append(row["update/causal_weights"])
    return np.array(sorted(found)), np.array([np.mean(found[step], axis=0) for step in sorted(found)])
