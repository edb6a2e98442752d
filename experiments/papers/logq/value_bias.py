"""What the second step size is for: values of log-mapped Q-learning on the chain over their true values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from papers.logq._linear import Settings
from papers.logq._linear_sweeps import State
from papers.logq._sweeps import CHUNK, PAPER, job, success

from rlx.envs.finite_mdp import LEFT, FiniteMDP, chain, q_values
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISCOUNT, STATE = 0.5, 25
# Step sizes at the end, (beta_reg, beta_log); both begin at 1.
STEP_SIZES = {"two step sizes": (0.1, 0.01), "one step size": (1.0, 0.001), "small beta_reg": (0.01, 0.1)}
POINTS = [
    {"width": 1, "discount": DISCOUNT, "beta_reg": (1.0, beta_reg), "beta_log": (1.0, beta_log)}
    for beta_reg, beta_log in STEP_SIZES.values()
]
RATIO, LATE = "learned over true value", "late success"


def learned(settings: Settings, state: State) -> dict[str, jax.Array]:
    """``q+(25, left)`` of every seed and setting, ``[seeds, points]``."""
    values = jax.vmap(jax.vmap(lambda s, table: s.channel_values(table)), (None, 0))(settings, state.table)
    return {"value": values[:, :, 0, LEFT, STATE]}


def true_value() -> float:
    """``q+(25, left)`` under the optimal policy, which is also optimal for the positive reward alone."""
    task = chain()
    positive = FiniteMDP(task.next_state, np.maximum(task.reward, 0.0), task.slip)
    return float(q_values(positive, DISCOUNT)[STATE, LEFT])


def jobs(scale: Scale) -> Sequence[Chunked]:
    """One program."""
    return [job("log", "log", chain(), "chain", LEFT, POINTS, scale.seeds, scale.options["sweeps"], learned)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """The value at the end over its true value, and success in the last 10,000 sweeps."""
    sweeps = scale.options["sweeps"]
    ratios = outputs(folders["log"])["value"][-1] / true_value()
    late = success(folders["log"], sweeps - 10_000, sweeps)
    return [
        Cell({"step sizes": name, "beta_reg": beta_reg, "beta_log": beta_log}, metric, scores[:, index])
        for metric, scores in ((RATIO, ratios), (LATE, late))
        for index, (name, (beta_reg, beta_log)) in enumerate(STEP_SIZES.items())
    ]


def two(cells: Cells) -> Outcome:
    """Two step sizes come near the value."""
    ratio = cells.where(**{"step sizes": "two step sizes"}, metric=RATIO).centre()[0]
    return Outcome(bool(0.55 <= ratio <= 0.9), f"{ratio:.3f}")


def one(cells: Cells) -> Outcome:
    """One step size misses it by orders of magnitude."""
    ratio = cells.where(**{"step sizes": "one step size"}, metric=RATIO).centre()[0]
    return Outcome(bool(ratio < 1e-4), f"{ratio:.2g}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Learned over true value in the course of learning."""
    values = outputs(folders["log"])["value"] / true_value()
    figure, axes = new_figure()
    panel = axes[0, 0]
    for index, (name, colour) in enumerate(zip(STEP_SIZES, COLOURS, strict=False)):
        sweeps = CHUNK * np.arange(1, len(values) + 1)
        draw_band(panel, sweeps, values[:, :, index], name, colour, statistic=cells.statistic)
    panel.set_yscale("log")
    panel.axhline(1.0, color="0.35", linewidth=1.0, linestyle="--")
    tidy(panel, f"chain, discount {DISCOUNT}: q+({STATE}, left) over its true value", "sweeps", RATIO)
    panel.legend(fontsize=9, frameon=False)
    return {"value_over_truth": figure}


TABLE = Table(
    title="Chain: values learned with and without the second step size, over true values",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "60,000 sweeps", "30 s on 2 cores", {"sweeps": 60_000})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "With a second step size the values are nearly unbiased",
            "learned over true value of q+(25, left) between 0.55 and 0.9 at beta_reg 0.1, beta_log 0.01",
            two,
        ),
        Claim(
            "Averaging logarithms alone is wrong where outcomes are random",
            "learned over true value below 1e-4 at beta_reg 1, beta_log 0.001",
            one,
        ),
    ),
    figures=figures,
    statistic="mean",
)
