"""What the tables on the factor regulator share: trainings of small agents, and their final returns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlx.report.runs import learning_curves, read_run
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Scale

PAPER = "Ireland and Montana, ICLR 2024, https://arxiv.org/abs/2401.08850"
STEPS, EVALUATIONS, LAST = {6: 24_000, 24: 16_000}, 12, 3
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


def training(name: str, agent: str, components: int, fields: Mapping[str, Any], scale: Scale) -> Training:
    """All seeds of an agent with ``components`` masses."""
    run = {
        "total_steps": STEPS[components],
        "num_evaluations": EVALUATIONS,
        "eval_episodes": 64,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return Training(
        f"{name}-{components}",
        agent=agent,
        env="rlx/factor-regulator",
        agent_fields={**SMALL, **fields},
        env_fields={"num_components": components},
        run_fields=run,
        weight=(fields.get("num_critics", 1) + 3.0) * components / 24,
    )


def curve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and returns ``[seeds, E]`` of all evaluations."""
    return learning_curves(read_run(folder))


def final(folder: Path) -> np.ndarray:
    """Mean return of the last three evaluations, ``[seeds]``."""
    return curve(folder)[1][:, -LAST:].mean(axis=1)
