"""Staged reach, learned: which dimensions matter when, and what SAC and causal SAC reach."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from papers.ace.identification import PAPER, TASK

from rlx.loggers.jsonl import read_rows
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAC, CAUSAL = "SAC", "causal SAC"
METHODS = {SAC: "none", CAUSAL: "sink"}
INTERVAL, WINDOWS = 1_000, 8
SMALL: Mapping[str, Any] = {
    "hidden_sizes": [64, 64],
    "batch_size": 128,
    "discount": 0.98,
    "learning_starts": 129,
    "random_steps": 1_000,
    "replay_size": 10_000,
    "initial_temperature": 0.1,
    "interval": INTERVAL,
    "window": INTERVAL,
    "reset": False,
}
REACH, PUSH, IDLE = "dimensions 0 and 1", "dimension 2", "all others"
PARTS = {REACH: slice(0, 2), PUSH: slice(2, 3), IDLE: slice(3, None)}
RETURN = "mean return of all evaluations"


def jobs(scale: Scale) -> Sequence[Training]:
    """Both methods, all seeds of each."""
    run = {
        "total_steps": INTERVAL * WINDOWS,
        "num_evaluations": WINDOWS,
        "eval_episodes": 32,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return [
        Training(
            name.replace(" ", "_"), agent="ace", env=TASK, agent_fields={**SMALL, "weights": weights}, run_fields=run
        )
        for name, weights in METHODS.items()
    ]


def weights(folders: Mapping[str, Path]) -> np.ndarray:
    """Causal weights after each window, ``[WINDOWS, seeds, D]``."""
    rows = [row for row in read_rows(folders["causal_SAC"] / "metrics.jsonl") if row["step"] > 0]
    steps = sorted({row["step"] for row in rows})
    return np.array([[row["update/causal_weights"] for row in rows if row["step"] == step] for step in steps])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Weights of what belongs together, window by window, and the return over the whole of training."""
    found = weights(folders)
    rows = [
        Cell({"method": CAUSAL, "window": window + 1, "part": part}, "weight", found[window, :, which].mean(-1))
        for window in range(WINDOWS)
        for part, which in PARTS.items()
    ]
    scores = {method: returns(folders[method.replace(" ", "_")])[1].mean(-1) for method in METHODS}
    return [*rows, *(Cell({"method": method, "window": 0, "part": ""}, RETURN, scores[method]) for method in METHODS)]


def weight(cells: Cells, window: int, part: str) -> float:
    """Mean over seeds."""
    return float(cells.one(window=window, part=part, metric="weight").scores.mean())


def reaching_comes_first(cells: Cells) -> Outcome:
    """In the first window, of random actions, the first two dimensions weigh 1.9."""
    found = weight(cells, 1, REACH)
    return Outcome(bool(abs(found - 1.9) <= 0.15), f"{found:.2f}")


def pushing_comes_next(cells: Cells) -> Outcome:
    """In the second, the third dimension has taken over."""
    reach, push = (weight(cells, 2, part) for part in (REACH, PUSH))
    return Outcome(bool(reach < 1.05 and push > 1.3), f"{reach:.2f} and {push:.2f}")


def nothing_is_left(cells: Cells) -> Outcome:
    """Once solved, actions are always the same and tell nothing."""
    found = {part: weight(cells, WINDOWS, part) for part in PARTS}
    holds = all(abs(value - 1) <= 0.15 for value in found.values())
    return Outcome(bool(holds), ", ".join(f"{part} {value:.2f}" for part, value in found.items()))


def returns_are_no_worse(cells: Cells) -> Outcome:
    """It costs hardly any return."""
    sac, causal = (float(cells.one(method=method, metric=RETURN).scores.mean()) for method in METHODS)
    return Outcome(bool(causal >= 0.97 * sac), f"{causal:.1f} to {sac:.1f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Which dimensions matter when, and returns against steps."""
    figure, axes = new_figure(1, 2, width=9.2)
    found, steps = weights(folders), INTERVAL * np.arange(1, WINDOWS + 1)
    for (part, which), colour in zip(PARTS.items(), COLOURS, strict=False):
        draw_band(axes[0, 0], steps, found[..., which].mean(-1), part, colour, statistic="mean")
    tidy(axes[0, 0], "causal weights", "environment steps", "weight")
    for method, colour in zip(METHODS, COLOURS, strict=False):
        at, values = returns(folders[method.replace(" ", "_")])
        draw_band(axes[0, 1], at, values.T, method, colour, statistic="mean")
    tidy(axes[0, 1], "staged reach", "environment steps", "return of the most likely action")
    for panel in axes[0]:
        panel.legend(fontsize=8, frameon=False)
    return {"weights": figure}


TABLE = Table(
    title="Staged reach: the weights while it is learned",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(6, "8,000 steps", "2 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("At first, reaching matters", "dimensions 0 and 1 weigh 1.9, within 0.15", reaching_comes_first),
        Claim("Then pushing does", "window 2: 0 and 1 weigh less than 1.05, 2 over 1.3", pushing_comes_next),
        Claim("Once it is solved, nothing stands out", "window 8: all weights within 0.15 of 1", nothing_is_left),
        Claim("It costs no return", "at least 0.97 of SAC's", returns_are_no_worse),
    ),
    figures=figures,
    statistic="mean",
)
