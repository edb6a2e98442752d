"""Brax's hopper at a reduced budget: Symphony, TD3 and SAC, with how they use their actions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from papers.baselines.returns import random_return
from papers.symphony._small import ABOVE_HALF, CHANGE, METRICS, PAPER, RETURN, S3, cells_of, curve, figure_of, job_name

from rlx.reproduce.jobs import Chunked, Job, Training, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK, STEPS, EXPLORATION, ENVS = "brax/hopper", 50_000, 2_500, 4
BASELINE: Mapping[str, Any] = {
    "hidden_sizes": [128, 128],
    "batch_size": 96,
    "replay_size": 20 * EXPLORATION,
    "learning_starts": EXPLORATION,
    "random_steps": EXPLORATION,
    "num_envs": ENVS,
}
SYMPHONY: Mapping[str, Any] = {
    "hidden_size": 128,
    "num_nodes": 32,
    "batch_size": 96,
    "learning_rate": 3e-4,
    "exploration_steps": EXPLORATION,
    "copies": 20,
    "num_envs": ENVS,
}
TD3, SAC = "TD3", "SAC"
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    S3: ("symphony", SYMPHONY),
    **{
        f"{name}, {updates} update{'s' if updates > 1 else ''} a step": (
            preset,
            {**BASELINE, "num_updates": updates * ENVS},
        )
        for name, preset in ((TD3, "td3"), (SAC, "sac"))
        for updates in (1, 3)
    },
}
# Those with as many updates as Symphony.
EQUAL = tuple(name for name in METHODS if "3 updates" in name)
RANDOM, GAIN = "random actions", "return above random actions"


def jobs(scale: Scale) -> Sequence[Job]:
    """A training for each method, and episodes of random actions."""
    run = {
        "total_steps": STEPS + EXPLORATION,
        "num_evaluations": 10,
        "eval_episodes": 16,
        "num_seeds": scale.seeds,
        "num_checkpoints": 2,
        "tensorboard": False,
    }
    weights = {S3: 3.0} | {name: 2.0 if name in EQUAL else 1.0 for name in METHODS if name != S3}
    advance = lambda state, chunk: (state, {"return": np.array([random_return(TASK)])})  # noqa: E731
    by_chance = Chunked("random_actions", {"task": TASK}, 1, lambda: np.zeros(()), advance, weight=0.01)
    trainings = [
        Training(job_name(name), agent=agent, env=TASK, agent_fields=fields, run_fields=run, weight=weights[name])
        for name, (agent, fields) in METHODS.items()
    ]
    return [by_chance, *trainings]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns and actions of the last two evaluations, and how far the return is above that of random actions."""
    by_chance = outputs(folders["random_actions"])["return"]
    found = [Cell({"method": RANDOM}, RETURN, by_chance)]
    for name in METHODS:
        folder, setting = folders[job_name(name)], {"method": name}
        found += [*cells_of(setting, folder), Cell(setting, GAIN, curve(folder)[1][:, -2:].mean(1) - by_chance)]
    return found


def scores(cells: Cells, metric: str, names: Sequence[str]) -> dict[str, float]:
    """Means over seeds, by method."""
    return {name: float(cells.one(method=name, metric=metric).scores.mean()) for name in names}


def all_learn(cells: Cells) -> Outcome:
    """There is something to compare."""
    gains = scores(cells, GAIN, (S3, *EQUAL))
    return Outcome(min(gains.values()) >= 100, ", ".join(f"{name} {gain:+.0f}" for name, gain in gains.items()))


def below(metric: str, share: float) -> "Claim":
    """Symphony's metric is at most that share of the others' with as many updates."""

    def check(cells: Cells) -> Outcome:
        found = scores(cells, metric, (S3, *EQUAL))
        holds = all(found[S3] <= share * found[name] for name in EQUAL)
        return Outcome(holds, ", ".join(f"{name} {value:.4f}" for name, value in found.items()))

    statement = {ABOVE_HALF: "Its actions are small", CHANGE: "Its actions are steadier"}[metric]
    return Claim(statement, f"{metric}: at most {share:g} times that of TD3 and of SAC with as many updates", check)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns and the use of actions against steps."""
    methods = {name: job_name(name) for name in METHODS}
    metrics = {RETURN: "return of an episode"} | {
        name: name for name in METRICS if name in (ABOVE_HALF, CHANGE, "power")
    }
    return {"curves": figure_of(folders, methods, "hopper", metrics)}


TABLE = Table(
    title="Brax hopper at a reduced budget: Symphony, TD3 and SAC",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(4, "50,000 steps after 2,500 of exploration", "3 h on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "There is learning to compare (rlx's own check)",
            "with three updates a step, every method's return ends 100 or more above that of random actions",
            all_learn,
        ),
        below(ABOVE_HALF, 0.5),
        below(CHANGE, 1.0),
    ),
    figures=figures,
    statistic="mean",
)
