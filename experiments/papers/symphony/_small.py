"""What the small tables of Symphony share: methods, their trainings, and what became of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.report.runs import learning_curves, read_run
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = "Ishuov et al. 2025, https://arxiv.org/abs/2512.10477"
EXPLORATION = 1_000
# A tenth of the widths, and a learning rate for a budget a hundredth as long.
TINY: Mapping[str, Any] = {
    "hidden_size": 64,
    "num_nodes": 16,
    "batch_size": 48,
    "learning_rate": 3e-4,
    "exploration_steps": EXPLORATION,
    "copies": 20,
}
BASELINE: Mapping[str, Any] = {
    "hidden_sizes": [64, 64],
    "batch_size": 48,
    "learning_rate": 3e-4,
    "replay_size": 20 * EXPLORATION,
    "learning_starts": EXPLORATION,
    "random_steps": EXPLORATION,
}
S3, NO_SWADDLING, TD3_1, TD3_3 = "Symphony S3", "S3 without swaddling", "TD3, 1 update a step", "TD3, 3 updates a step"
# Preset, and what differs from it.
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    S3: ("symphony", TINY),
    "Symphony SE": ("symphony_se", TINY),
    # Half of the learning rate, and twice the exploration tiled half as often, as S2 is to S3.
    "Symphony S2": ("symphony_s2", {**TINY, "learning_rate": 1.5e-4, "exploration_steps": 2_000, "copies": 10}),
    # Three quarters of exploration and widths, as ED is to S3.
    "Symphony ED": (
        "symphony_ed",
        {**TINY, "hidden_size": 48, "num_nodes": 12, "batch_size": 36, "exploration_steps": 750},
    ),
    NO_SWADDLING: ("symphony", {**TINY, "swaddling": 0.0}),
    TD3_1: ("td3", {**BASELINE, "num_updates": 1}),
    TD3_3: ("td3", {**BASELINE, "num_updates": 3}),
    "DDPG, 3 updates a step": ("ddpg", {**BASELINE, "num_updates": 3}),
    "SAC, 3 updates a step": ("sac", {**BASELINE, "num_updates": 3}),
}
RETURN, ABOVE_HALF, CHANGE = "return", "share of |a| above 0.5", "mean change of a"
# By metric, its name in the rows; of the last two evaluations, or of the updates before them.
METRICS = {
    RETURN: "evaluation/return_mean",
    "mean |a|": "evaluation/action_size",
    ABOVE_HALF: "evaluation/action_above_half",
    "share near the limit": "evaluation/action_near_limit",
    CHANGE: "evaluation/action_change",
    "power": "evaluation/power",
    "sigma": "update/sigma",
    "beta": "update/beta",
}
LAST = 2
# Updates begin after exploration, three a step: the first 3,000 of them are over in the row at this step.
SETTLED = 2 * EXPLORATION
SIGMA, BETA = (0.35, 0.43), (0.085, 0.095)


def job_name(method: str) -> str:
    """A method's name as that of a training."""
    return method.replace(", ", "-").replace(" ", "_")


def training(name: str, method: tuple[str, Mapping[str, Any]], env: str, scale: Scale, steps: int) -> Training:
    """All seeds of a method for so many steps after exploration; ``env`` is the task's full name."""
    agent, fields = method
    total = EXPLORATION + steps
    run = {
        "total_steps": total,
        "num_evaluations": total // 1_000,
        "eval_episodes": 20,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    updates = 1 if fields.get("num_updates") == 1 else 3
    return Training(name, agent=agent, env=env, agent_fields=fields, run_fields=run, weight=steps * updates / 1e4)


def curve(folder: Path, metric: str = RETURN) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and a metric of `METRICS`, ``[seeds, E]``."""
    return learning_curves(read_run(folder), METRICS[metric])


def cells_of(setting: Mapping[str, str], folder: Path) -> list[Cell]:
    """A cell for each metric that the run has, of its last evaluations."""
    rows = read_run(folder).rows
    known = [metric for metric, key in METRICS.items() if key in rows[-1]]
    return [Cell(setting, metric, curve(folder, metric)[1][:, -LAST:].mean(1)) for metric in known]


def extremes(folder: Path, metric: str) -> np.ndarray:
    """The least and the largest value ``[2]`` of any seed once updates have settled."""
    steps, values = curve(folder, metric)
    settled = values[:, steps > SETTLED]
    return np.array([settled.min(), settled.max()])


def extreme_cells(setting: Mapping[str, str], folder: Path) -> list[Cell]:
    """A cell with the least and one with the largest sigma and beta."""
    found = {metric: extremes(folder, metric) for metric in ("sigma", "beta")}
    ends = enumerate(("least", "largest"))
    return [Cell(setting, f"{end} {metric}", found[metric][[i]]) for i, end in ends for metric in found]


def within_bands(cells: Cells, **setting: str) -> Outcome:
    """Whether sigma and beta stayed where the regulariser draws them."""
    one = lambda metric: cells.one(**setting, metric=metric).scores[0]  # noqa: E731
    found = {name: (one(f"least {name}"), one(f"largest {name}")) for name in ("sigma", "beta")}
    bands = {"sigma": SIGMA, "beta": BETA}
    holds = all(bands[name][0] <= low and high <= bands[name][1] for name, (low, high) in found.items())
    return Outcome(bool(holds), ", ".join(f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in found.items()))


def mechanism(**setting: str) -> Claim:
    """The specification's P1."""
    return Claim(
        "The regulariser holds sigma and beta",
        f"S3: batch means within {SIGMA} and {BETA} from 3,000 updates on, every seed and window",
        lambda cells: within_bands(cells, **setting),
    )


def without_swaddling(**setting: str) -> Claim:
    """The ablation of P1, which must fail it."""

    def check(cells: Cells) -> Outcome:
        least = cells.one(**setting, metric="sigma").scores.min()
        return Outcome(bool(least > 0.6), f"least sigma {least:.3f}")

    return Claim("Nothing else does", "without swaddling sigma ends above 0.6, every seed", check)


def gentle(**setting: str) -> Claim:
    """The specification's P2."""

    def check(cells: Cells) -> Outcome:
        share = cells.one(**setting, metric=ABOVE_HALF).scores.mean()
        return Outcome(bool(share < 0.02), f"{share:.4f}")

    return Claim("Its actions are gentle", "S3: |a| above 0.5 in less than 2 % of evaluated actions", check)


def learns(least: float, **setting: str) -> Claim:
    """The specification's P3."""

    def check(cells: Cells) -> Outcome:
        mean = cells.one(**setting, metric=RETURN).scores.mean()
        return Outcome(bool(mean >= least), f"{mean:.1f}")

    return Claim("It learns", f"S3: mean return of the last two evaluations at least {least:g}", check)


def figure_of(
    folders: Mapping[str, Path], methods: Mapping[str, str], title: str, metrics: Mapping[str, str]
) -> "Figure":
    """A panel for each metric, by its label; a curve for each method, by its training."""
    figure, axes = new_figure(1, len(metrics), width=4.6 * len(metrics), height=3.6)
    for panel, (metric, label) in zip(axes[0], metrics.items(), strict=True):
        for index, (method, job) in enumerate(methods.items()):
            steps, values = curve(folders[job], metric)
            style = ("-", "--")[index // len(COLOURS)]
            draw_band(panel, steps, values.T, method, COLOURS[index % len(COLOURS)], style, statistic="mean")
        tidy(panel, title, "environment steps", label)
    axes[0, -1].legend(fontsize=7, frameon=False)
    return figure
