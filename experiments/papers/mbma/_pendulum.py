"""The task of the tables on Pendulum, its methods and their settings."""

from pathlib import Path
from typing import Any

import numpy as np

from rlx.reproduce.jobs import returns

PAPER = "Nauman and Cygan, ICML 2023, https://arxiv.org/abs/2210.13011"
TASK = "gymnax/Pendulum-v1"
METHODS = {"PPO": "none", "MBMA": "model", "MBPO": "states", "QMA": "critic"}
TOTAL_UPDATES = 40
# Beside the agent's own: 8 extra samples, rollouts of 8 steps, a model of 128-128 with 320 updates and more.
SETTINGS: dict[str, Any] = {
    "num_envs": 8,
    "rollout_length": 256,
    "num_epochs": 10,
    "num_minibatches": 32,
    "learning_rate": 3e-4,
    "discount": 0.95,
    "reward_scale": 0.1,
    "activation": "leaky_relu",
    "squash_mean": True,
    "extras_start": 10_240,
}
STEPS_PER_UPDATE: int = SETTINGS["num_envs"] * SETTINGS["rollout_length"]
TOTAL_STEPS = TOTAL_UPDATES * STEPS_PER_UPDATE


def trained_returns(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and returns ``[seeds, E]`` of the evaluations after some training."""
    steps, values = returns(folder)
    return steps[steps > 0], values[:, steps > 0]
