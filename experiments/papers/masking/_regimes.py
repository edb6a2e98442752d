"""What the masking tables share: regimes, their trainings, and the numbers that the paper asks of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlx.report.runs import RunRecords, learning_curves, read_run
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Scale

PAPER = "Huang and Ontañón, FLAIRS 2022, https://arxiv.org/abs/2006.14171"
MAPS = ("4x4", "10x10", "16x16", "24x24")
# Every budget has the learning rate of the paper's, and times are shares of it.
HORIZON = 500_000
STEPS_PER_UPDATE, STEPS_PER_EPISODE, RECENT = 2048, 200, 10
UPDATES_PER_ROW, SOLVED_RETURN = 5, 40.0
SORTS = ("null", "busy", "owner")  # of invalid commands
REMOVED = "masking removed"
REGIMES: dict[str, dict[str, Any]] = {
    "masking": {"regime": "masking", "mask_evaluation": False},
    "naive": {"regime": "naive"},
    **{f"penalty {penalty}": {"regime": "penalty", "invalid_penalty": penalty} for penalty in (0, -0.01, -0.1, -1)},
}
# Expected cost of a training, relative to 10x10.
_COSTS = {"4x4": 0.4, "10x10": 1.0, "16x16": 3.0, "24x24": 3.0}


def training(map_name: str, regime: str, scale: Scale) -> Training:
    """All seeds of a regime on a map; a row is logged for every five updates."""
    return training_of(map_name, regime, REGIMES[regime], scale)


def training_of(
    map_name: str, name: str, agent: Mapping[str, Any], scale: Scale, env: Mapping[str, Any] | None = None
) -> Training:
    """All seeds of what these fields make of the released code's preset and of the task, called ``name``."""
    steps = scale.options["steps"]
    run = {
        "total_steps": steps,
        "num_evaluations": -(-steps // (STEPS_PER_UPDATE * UPDATES_PER_ROW)),
        "solved_return": SOLVED_RETURN,
        "eval_episodes": 10 * UPDATES_PER_ROW if agent["regime"] == "masking" else 1,
        "eval_mode": "sample",
        "seed": 1,
        "num_seeds": scale.seeds,
        "num_checkpoints": 5,
        "tensorboard": False,
    }
    return Training(
        f"{map_name}-{name.replace(' ', '_')}",
        agent="masked_ppo_paper",
        env=f"rlx/microrts-{map_name}",
        agent_fields=agent,
        env_fields=env or {},
        run_fields=run,
        weight=_COSTS[map_name],
    )


def run_of(folders: Mapping[str, Path], map_name: str, regime: str) -> RunRecords:
    """What the training of a regime on a map left behind."""
    return read_run(folders[f"{map_name}-{regime.replace(' ', '_')}"])


def curve(run: RunRecords, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[rows]`` and one metric in the mean over the updates of a row, ``[seeds, rows]``."""
    steps, values = learning_curves(run, key)
    return steps[steps > 0], values[:, steps > 0]


def scores(run: RunRecords) -> dict[str, np.ndarray]:
    """The paper's numbers of a training, each ``[seeds]``, and some over a part of it."""
    last = lambda key: curve(run, key)[1][:, -1]  # noqa: E731
    divergence = np.abs(curve(run, "update/last_approx_kl")[1])
    return {
        "return": last("training/recent_return"),
        "solved": share_of_horizon(last("training/solved_at")),
        "first reward": share_of_horizon(last("training/first_success_at")),
        **{f"invalid {sort}": STEPS_PER_EPISODE * last(f"update/invalid_{sort}") for sort in SORTS},
        "avoidable": sum(STEPS_PER_EPISODE * last_largest(run, sort) for sort in ("null", "owner")),
        "early KL": divergence[:, : 25 // UPDATES_PER_ROW].mean(axis=1),
        "KL": divergence.mean(axis=1),
        "return from 50k": mean_return(run, 50_000),
    }


def last_largest(run: RunRecords, sort: str) -> np.ndarray:
    """Most of the avoidable invalid commands of a sort, a step, in any update."""
    return curve(run, f"update/avoidable_{sort}")[1].max(axis=1)


def share_of_horizon(steps: np.ndarray) -> np.ndarray:
    """Environment steps in percent of the paper's budget; what never happened counts as 100."""
    return np.where(steps > 0, 100.0 * steps / HORIZON, 100.0)


def mean_return(run: RunRecords, first: int) -> np.ndarray:
    """Mean training return after ``first`` steps, or of the last update of a shorter training."""
    steps, values = curve(run, "training/return_mean")
    return values[:, steps > min(first, steps[-2] if len(steps) > 1 else 0)].mean(axis=1)


def scores_without_mask(run: RunRecords) -> dict[str, np.ndarray]:
    """The paper's numbers with the mask removed: 10 episodes for each of the last 10 updates, each ``[seeds]``."""
    recent = lambda key: curve(run, f"evaluation/{key}")[1][:, -RECENT // UPDATES_PER_ROW :].mean(axis=1)  # noqa: E731
    counters = {f"invalid {sort}": STEPS_PER_EPISODE * recent(f"invalid_{sort}") for sort in SORTS}
    return {"return": recent("return_mean"), **counters}
