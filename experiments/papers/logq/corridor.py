"""A lower discount can be better on a finite horizon: exact solution of a corridor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._sweeps import PAPER

from rlx.envs.finite_mdp import corridor, horizon_return, q_values
from rlx.report.figures import COLOURS, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISCOUNTS = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.99)
HORIZON = 12
METRIC = f"undiscounted return over {HORIZON} steps"


def jobs(scale: Scale) -> Sequence[Chunked]:
    """The exact solution at every discount."""

    def advance(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        task = corridor()
        policies = [q_values(task, discount).argmax(axis=1) for discount in DISCOUNTS]
        return state, {"return": np.array([horizon_return(task, policy, HORIZON)[0] for policy in policies])}

    settings = {"discounts": DISCOUNTS, "horizon": HORIZON}
    return [Chunked("exact", settings, 1, lambda: np.zeros(()), advance)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """What the policy that is optimal at a discount earns in the first steps from state 0."""
    returns = outputs(folders["exact"])["return"]
    return [Cell({"discount": g}, METRIC, np.array([x])) for g, x in zip(DISCOUNTS, returns, strict=True)]


def lower_is_better(cells: Cells) -> Outcome:
    """Below the threshold the policy stays and earns, above it walks and earns nothing in time."""
    discounts = np.array([cell.setting["discount"] for cell in cells])
    low, high = cells.centre()[discounts <= 0.75], cells.centre()[discounts >= 0.8]
    return Outcome(
        bool(np.allclose(low, 2.4) and np.allclose(high, 0.0)),
        f"{low.min():.3f} to {low.max():.3f} up to 0.75, {high.min():.3f} to {high.max():.3f} from 0.8",
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Return against discount."""
    figure, axes = new_figure(height=3.2)
    axes[0, 0].plot(DISCOUNTS, cells.centre(), "o-", color=COLOURS[0])
    tidy(axes[0, 0], "corridor, the policy that is optimal at a discount", "discount", METRIC)
    return {"return_against_discount": figure}


TABLE = Table(
    title="Corridor: what the discounted-optimal policy earns on a finite undiscounted horizon",
    paper=PAPER,
    source="no published numbers: the task is ours, the layouts of the paper's could not be read",
    scales={"small": Scale(1, "exact solution", "seconds", {})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "A low discount can give the better policy on a finite-horizon, undiscounted objective",
            "2.4 at every discount up to 0.75, 0 from 0.8 on",
            lower_is_better,
        ),
    ),
    figures=figures,
    statistic="mean",
)
