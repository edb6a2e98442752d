"""LogDQN beside DQN on Catch at low discounts; our own small test of the paper's claim, with no published numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from papers.logq._deep import DQN, PAPER, folder_for, k_for, late_returns, named

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISCOUNTS = (0.1, 0.3, 0.6, 0.9)
# An episode has 9 steps; k leaves a margin.
DELAY = 12
# Agent, and what sets it apart.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "DQN": ("dqn", DQN),
    "LogDQN": ("logq", {}),
    "LogDQN, beta_reg = 1": ("logq", {"beta_reg": 1, "beta_reg_final": 1}),
    "DQN, signed square root": ("dqn", DQN | {"value_rescaling": True}),
}
SHARED = {
    "num_envs": 1,
    "rollout_length": 4,
    "batch_size": 32,
    "replay_size": 10_000,
    "learning_starts": 1_000,
    "target_period": 125,
    "learning_rate": 1e-3,
    "epsilon_final": 0.01,
    "hidden_sizes": [64, 64],
}


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each method and discount."""
    return [
        Training(
            named(method, discount),
            agent=agent,
            env="gymnax/Catch-bsuite",
            agent_fields=SHARED | own | {"discount": discount} | (k_for(discount, DELAY) if agent == "logq" else {}),
            env_fields={"columns": 15},
            run_fields={
                "total_steps": scale.options["steps"],
                "num_seeds": scale.seeds,
                "eval_episodes": 64,
                "tensorboard": False,
            },
        )
        for method, (agent, own) in METHODS.items()
        for discount in DISCOUNTS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Greedy return in the last tenth of training."""
    return [
        Cell(
            {"method": method, "discount": discount},
            "return in the last tenth",
            late_returns(folder_for(folders, method, discount), 0.1),
        )
        for method in METHODS
        for discount in DISCOUNTS
    ]


def lead(discount: float, least: float) -> Claim:
    """LogDQN's mean return exceeds DQN's by ``least`` at this discount."""

    def check(cells: Cells) -> Outcome:
        log, plain = (cells.where(method=method, discount=discount).centre()[0] for method in ("LogDQN", "DQN"))
        return Outcome(bool(log - plain >= least), f"LogDQN {log:.2f}, DQN {plain:.2f}")

    return Claim(
        f"At discount {discount} function approximation fails for regular Q-learning and not for log-mapped Q-learning",
        f"mean return of LogDQN less that of DQN at least {least}",
        check,
    )


def both_learn(cells: Cells) -> Outcome:
    """Both methods reach 0.7 at discount 0.6."""
    log, plain = (cells.where(method=method, discount=0.6).centre()[0] for method in ("LogDQN", "DQN"))
    return Outcome(bool(min(log, plain) >= 0.7), f"LogDQN {log:.2f}, DQN {plain:.2f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Return against discount, a curve for each method."""
    figure, axes = new_figure()
    for method, colour in zip(METHODS, COLOURS, strict=False):
        scores = np.stack([cell.scores for cell in cells.where(method=method)])
        draw_band(axes[0, 0], DISCOUNTS, scores, method, colour, statistic=cells.statistic)
    tidy(axes[0, 0], "Catch, 10 x 15", "discount", "return in the last tenth of training")
    axes[0, 0].legend(fontsize=9, frameon=False)
    return {"return_against_discount": figure}


TABLE = Table(
    title="LogDQN and DQN on Catch (10 rows, 15 columns) at low discounts",
    paper=PAPER,
    source="no published numbers: the task is ours",
    scales={"small": Scale(6, "100,000 steps", "5 min on 2 cores", {"steps": 100_000})},
    jobs=jobs,
    cells=cells,
    claims=(
        lead(0.1, 0.5),
        lead(0.3, 0.3),
        Claim("At higher discounts both methods learn", "mean return of both at discount 0.6 at least 0.7", both_learn),
    ),
    figures=figures,
    statistic="mean",
)
