"""What the tables of deep agents share."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rlx.ops.log_mapping import fitting_k
from rlx.reproduce.jobs import returns

PAPER = "van Seijen, Fatemi and Tavakoli, NeurIPS 2019, https://arxiv.org/abs/1906.00572"

# Both methods bootstrap with the target network's own best action and have the same loss, as in the paper.
DQN = {"double": False, "loss": "huber", "max_grad_norm": 1e9}


def k_for(discount: float, delay: int) -> dict[str, int]:
    """LogDQN's ``k``, a whole number, for rewards that come up to ``delay`` steps late."""
    return {"k": int(fitting_k(discount, delay))}


def late_returns(folder: Path, share: float) -> np.ndarray:
    """Greedy return of each seed, mean over the evaluations in the last ``share`` of training, ``[seeds]``."""
    return late(returns(folder)[1], share)


def late(values: np.ndarray, share: float) -> np.ndarray:
    """The mean ``[seeds]`` over the last ``share`` of evaluations ``[seeds, S]``."""
    return values[:, -math.ceil(share * (values.shape[1] - 1)) :].mean(axis=1)


def named(*parts: object) -> str:
    """The name of a job, from what tells it from the others."""
    return "-".join(str(part).replace(" ", "_") for part in parts)


def folder_for(folders: Mapping[str, Path], *parts: object) -> Path:
    """The folder of the job of that name."""
    return folders[named(*parts)]
