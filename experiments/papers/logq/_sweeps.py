"""What the tables on small tasks share: sweeps over many settings and seeds as one program, saved in chunks."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from papers.logq import _linear_sweeps as linear
from papers.logq._linear import LogQLearning, QLearning, Settings
from papers.logq._linear_sweeps import State

from rlx.envs.finite_mdp import FiniteMDP, tile_features
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import Cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = "van Seijen, Fatemi and Tavakoli, NeurIPS 2019, https://arxiv.org/abs/1906.00572"
DISCOUNTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.96, 0.98, 0.99)
WIDTHS = (1, 2, 3, 5)
METHODS = {"regular": QLearning, "log": LogQLearning}
CHUNK = 1_000  # sweeps

Point = Mapping[str, Any]
Record = Callable[[Settings, State], dict[str, jax.Array]]


def job(
    name: str,
    method: str,
    task: FiniteMDP,
    task_name: str,
    optimal_action: int,
    points: Sequence[Point],
    seeds: int,
    sweeps: int,
    record: Record | None = None,
) -> Chunked:
    """Sweeps of one method at ``points``, each with every seed, as one program.

    Its outputs are ``success [sweeps / 100, seeds, points]``, ``finite [sweeps / 1000, seeds, points]`` and what
    ``record`` makes of the state after each chunk, ``[sweeps / 1000, seeds, points, ...]``.

    Args:
        name: of the job.
        method: of `METHODS`.
        task: what to learn.
        task_name: tells it from other tasks, in the job's settings.
        optimal_action: the action that is best everywhere.
        points: ``discount``, ``width`` and fields of the method.
        seeds: how many.
        sweeps: how many, a multiple of 1000.
        record: maps settings and the state of all seeds to arrays ``[seeds, points, ...]``.
    """
    num_states = task.num_states
    reach = max(point["width"] for point in points) - 1

    def settings() -> Settings:
        members = []
        for point in points:
            fields = {key: value for key, value in point.items() if key != "width"}
            spread = linear.spread(tile_features(num_states, point["width"]), reach)
            members.append(METHODS[method](spread=spread, **fields))
        return linear.stack(members)

    def init() -> State:
        return linear.init_seeds(settings(), seeds)

    def advance(state: State, chunk: int) -> tuple[State, dict[str, np.ndarray]]:
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        optimal = jnp.full(num_states, optimal_action)
        blocks = CHUNK // linear.SWEEPS_PER_BLOCK
        state, progress = linear.advance_seeds(keys, task, optimal, settings(), state, blocks)
        recorded = {} if record is None else record(settings(), state)
        found = {"finite": progress.finite, **recorded}
        success = np.moveaxis(np.asarray(progress.success), -1, 0)
        return state, {"success": success, **{key: np.asarray(value)[None] for key, value in found.items()}}

    described = {"method": method, "task": task_name, "points": list(points), "seeds": seeds, "sweeps": sweeps}
    return Chunked(name, described, sweeps // CHUNK, init, advance, weight=(3.0 if method == "log" else 1.0))


def grid(discounts: Sequence[float] = DISCOUNTS, widths: Sequence[int] = WIDTHS) -> list[dict[str, Any]]:
    """Every width with every discount."""
    return [{"width": width, "discount": discount} for width in widths for discount in discounts]


def success(folder: Path, first: int, last: int) -> np.ndarray:
    """Share of the checks in sweeps ``[first, last)`` at which all greedy actions were optimal, ``[seeds, points]``."""
    checks = outputs(folder)["success"]
    per_block = linear.SWEEPS_PER_BLOCK
    return checks[first // per_block : last // per_block].mean(axis=0)


def all_finite(folder: Path) -> bool:
    """Whether no learned value was ever infinite or not a number."""
    return bool(outputs(folder)["finite"].all())


def against_discount(cells: Cells, metrics: Sequence[str], title: str, **query: str) -> "Figure":
    """Success against discount as the paper draws it: a curve for each width; regular beside log, a row a metric."""
    figure, axes = new_figure(len(metrics), len(METHODS), width=9, height=3.4 * len(metrics), share=True)
    for panel, (metric, method) in zip(axes.flat, itertools.product(metrics, METHODS), strict=True):
        for width, colour in zip(WIDTHS, COLOURS, strict=False):
            curve = cells.where(method=method, width=width, metric=metric, **query)
            discounts = [cell.setting["discount"] for cell in curve]
            scores = np.stack([cell.scores for cell in curve])
            draw_band(panel, discounts, scores, f"width {width}", colour, statistic=cells.statistic)
        tidy(panel, f"{title}, {method}: {metric}", "discount", "share of checks with success")
        panel.set_ylim(-0.03, 1.03)
    axes[0, 0].legend(fontsize=8, frameon=False)
    return figure
