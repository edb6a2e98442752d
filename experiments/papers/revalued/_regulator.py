"""What the tables on the factor regulator share: agents, their trainings, and what became of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlx.report.runs import learning_curves, read_run
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Scale

PAPER = "Ireland and Montana, ICLR 2024, https://arxiv.org/abs/2401.08850"
STEPS, EVALUATIONS, LAST = 16_000, 12, 3
SMALL: Mapping[str, Any] = {
    "num_envs": 8,
    # An update for every five steps of eight environments: eight updates in five events.
    "rollout_length": 5,
    "num_updates": 8,
    "hidden_size": 64,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "learning_starts": 2_000,
    "replay_size": 50_000,
}
UPDATES = (STEPS - SMALL["learning_starts"]) // SMALL["rollout_length"]
ENSEMBLE: Mapping[str, Any] = {"regularise": False, "num_critics": 5}
DECQN, BDQ, REVALUED = "DecQN", "BDQ", "REValueD, 5 critics"
# Preset, and what differs from SMALL.
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    DECQN: ("decqn", {}),
    BDQ: ("bdq", {}),
    REVALUED: ("revalued", ENSEMBLE),
}
FINAL = "return of the last three"
AVERAGE = "average return"


def training(
    name: str, method: tuple[str, Mapping[str, Any]], env: Mapping[str, Any], scale: Scale, steps: int = STEPS
) -> Training:
    """All seeds of a method in the regulator with these fields, ``num_components`` among them."""
    agent, fields = method
    run = {
        "total_steps": steps,
        "num_evaluations": EVALUATIONS,
        "eval_episodes": 64,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return Training(
        name,
        agent=agent,
        env="rlx/factor-regulator",
        agent_fields={**SMALL, **fields},
        env_fields=env,
        run_fields=run,
        weight=(fields.get("num_critics", 1) + 3.0) * env["num_components"] / 24,
    )


def name_of(method: str) -> str:
    """A method's name as a part of a training's."""
    return method.replace(", ", "-").replace(": ", "-").replace(" ", "_").replace("'", "")


def curve(folder: Path, key: str = "evaluation/return_mean") -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and a metric ``[seeds, E]``, by default the returns of all evaluations."""
    return learning_curves(read_run(folder), key)


def final(folder: Path) -> np.ndarray:
    """Mean return of the last three evaluations, ``[seeds]``."""
    return curve(folder)[1][:, -LAST:].mean(axis=1)


def average(folder: Path) -> np.ndarray:
    """Mean return of all evaluations but that before training, ``[seeds]``."""
    return curve(folder)[1][:, 1:].mean(axis=1)
