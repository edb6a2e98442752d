"""What a sweep leaves for people: its table, the best configuration, figures, a page, and rows for other programs."""

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rlx.loggers.tensorboard import write_hparams
from rlx.loggers.wandb import WandB
from rlx.report.tables import write_table
from rlx.runner.folder import write_atomically
from rlx.runner.settings import RunSettings
from rlx.sweeps import figures, page
from rlx.sweeps.results import Result, ranked, row_of
from rlx.sweeps.space import Axis


def write_outcome(sweep: Path, base: Mapping[str, Any], axes: Sequence[Axis], found: Sequence[Result]) -> list[str]:
    """Write ``table.md``, ``table.csv``, ``best.yaml``, ``index.html`` and the figures.

    Args:
        sweep: the folder.
        base: what all points share.
        axes: of the space.
        found: every point.

    Returns:
        Names of the files.
    """
    order = ranked(found)
    write_table([row_of(result, rank) for rank, result in enumerate(order, start=1)], sweep / "table")
    write_atomically(sweep / "index.html", page.page(sweep.name, base, axes, order))
    names = ["table.md", "table.csv", "index.html"]
    best = order[0]
    if math.isfinite(best.score):
        write_atomically(sweep / "best.yaml", best_yaml(base, best))
        names.append("best.yaml")
    if importlib.util.find_spec("matplotlib"):
        names += figures.write_figures(sweep, axes, found)
    return names


def tell_loggers(sweep: Path, run: RunSettings, found: Sequence[Result]) -> None:
    """Write each point's hyperparameters and return for TensorBoard, and its curve to Weights & Biases, as a group."""
    told = [result for result in found if result.steps]
    if run.tensorboard and importlib.util.find_spec("tensorboardX"):
        for result in told:
            folder = sweep / "tensorboard" / _name(result)
            write_hparams(folder, result.point.values, result.score, result.steps, curve_rows(result))
    for result in told if run.wandb else ():
        logger = WandB(run.wandb_project, _name(result), result.point.values, sweep, group=sweep.name)
        for rows in curve_rows(result):
            logger.rows(rows)
        logger.close()


def curve_rows(result: Result) -> Iterator[list[dict[str, Any]]]:
    """A point's mean returns as loggers take them, evaluation by evaluation."""
    steps, values = result.curve
    for step, returns in zip(steps, values.T, strict=True):
        yield [
            {"step": int(step), "seed": seed, "evaluation/return_mean": float(value)}
            for seed, value in enumerate(returns)
        ]


def _name(result: Result) -> str:
    return f"point-{result.point.number:05d}"


def best_yaml(base: Mapping[str, Any], best: Result) -> str:
    """The configuration of a point, as ``experiments/train.py config=best.yaml`` takes it."""
    low, high = best.interval
    said = (
        f"# Point {best.point.number} of a sweep: return {best.score:.4g} ({low:.4g} to {high:.4g}) over "
        f"{len(best.scores)} seeds after {best.steps} steps.\n"
    )
    return said + yaml.safe_dump({**base, **best.point.values}, sort_keys=False)
