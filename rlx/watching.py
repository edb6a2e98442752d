"""Watching a run: what it tells goes to loggers and to a display."""

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlx.loggers.jsonl import JsonLines
from rlx.loggers.tensorboard import TensorBoard
from rlx.loggers.wandb import WandB
from rlx.run_config import differing
from rlx.runner import folder as run_folder
from rlx.runner.evaluation_rows import evaluation_rows
from rlx.runner.observers import Logger, Progress
from rlx.runner.population import Member
from rlx.runner.run import Evaluated, Event, Note, Phase, Progressed, Stopped
from rlx.runner.settings import RunSettings


def watch(run: Iterable[Event], members: Sequence[Member], loggers: Iterable[Logger], progress: Progress) -> Stopped:
    """Let the run go on until it stops, and tell loggers and progress what happens."""
    seeds = [member.seed for member in members]
    values = differing([member.agent for member in members])
    for event in run:
        match event:
            case Phase(name):
                progress.phase(name)
            case Note(text):
                progress.message(text)
            case Progressed(step, window):
                progress.progress(step, *_known_mean(window))
            case Evaluated(step, result, window, seconds):
                rows = evaluation_rows(step, seeds, values, seconds, result, window)
                for logger in loggers:
                    logger.rows(rows)
                means = result.returns.mean(axis=1)
                progress.evaluation(step, float(means.mean()), float(means.min()), float(means.max()))
            case Stopped():
                return event
    raise AssertionError("a run ends by saying so")


def _known_mean(window: Mapping[str, Any]) -> Iterator[float]:
    """The mean training return over members that have one, if any has."""
    returns = [value for value in window.get("training/return_mean", ()) if value == value]
    if returns:
        yield float(sum(returns) / len(returns))


def loggers_of(settings: RunSettings, folder: Path, step: int) -> list[Logger]:
    """Where the rows of the run in ``folder`` go, from after ``step`` on; a new run is at -1."""
    loggers: list[Logger] = [JsonLines(folder / "metrics.jsonl")]
    if settings.tensorboard and importlib.util.find_spec("tensorboardX"):
        loggers.append(TensorBoard(folder, purge_step=step + 1 if step >= 0 else None))
    if settings.wandb:
        loggers.append(WandB(settings.wandb_project, folder.name, run_folder.read_config(folder), folder))
    return loggers
