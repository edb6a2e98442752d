"""Whether successive halving finds as good a configuration as the whole grid, and at what share of its steps."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import rlx
from benchmarks.report import FOLDER, Report
from rlx.settings import hyper
from rlx.sweeps import segments
from rlx.sweeps.progress import cost

SPACE = {
    "sweep.agent.learning_rate": "log(1e-5,1e-2,9)",
    "sweep.agent.discount": [0.95, 0.98, 0.99],
}
_DQN = {"agent": "dqn", "num_evaluations": 27, "eval_episodes": 32, "num_checkpoints": 1, "score_share": 0.15}
CASES: dict[str, dict[str, Any]] = {
    "CartPole": {**_DQN, "env": "gymnax/CartPole-v1", "agent.replay_size": 10_000, "total_steps": 81_000},
    "Breakout": {
        **_DQN,
        "env": "gymnax/Breakout-MinAtar",
        "agent.num_envs": 4,
        "agent.batch_size": 32,
        "agent.replay_size": 20_000,
        "agent.hidden_sizes": [],
        "total_steps": 162_000,
    },
}
DESCRIPTION = """DQN, 9 step sizes x 3 discounts, {seeds} seeds. Steps are those of all members. `grid's best` is the
mean return of the grid's best point with its 95 % interval; `halving's, in the grid` is what the grid found of the
point that halving chose."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What this benchmark takes."""

    repetitions: int = hyper(3, "pairs of sweeps, each with seeds of its own", within="[1, inf)")
    seeds: int = hyper(4, "seeds of each point", within="[1, inf)")
    quick: bool = hyper(False, "few points and steps, once, to see that all runs")
    only: str = hyper("all", "a single task", choices=("all", *CASES))
    folder: str = hyper(FOLDER, "where the table is written")


def measure(settings: Settings) -> Report:
    """A row for each task and repetition."""
    names = list(CASES) if settings.only == "all" else [settings.only]
    repetitions = 1 if settings.quick else settings.repetitions
    rows = [row(name, number, settings) for name in names for number in range(repetitions)]
    return Report("sweep_halving", "Successive halving", DESCRIPTION.format(seeds=settings.seeds), rows)


def row(name: str, repetition: int, settings: Settings) -> dict[str, Any]:
    """The grid, and halving on it, with the same seeds."""
    values = {**CASES[name], **SPACE, "num_seeds": settings.seeds, "seed": 1000 * repetition, "tensorboard": False}
    if settings.quick:
        values |= {
            "total_steps": 2000,
            "sweep.agent.learning_rate": "log(1e-5,1e-2,3)",
            "eval_episodes": 2,
            "num_seeds": 1,
        }
    with tempfile.TemporaryDirectory() as scratch:
        grid = rlx.sweep({**values, "sweep_dir": str(Path(scratch, "grid"))})
        halved = rlx.sweep({**values, "search": "halving", "sweep_dir": str(Path(scratch, "halving"))})
        spent = [sum(map(cost, segments.read_all(each.folder))) for each in (grid, halved)]
    best, chosen = grid.results[0], halved.results[0]
    same = next(result for result in grid.results if result.point.values == chosen.point.values)
    low, high = best.interval
    return {
        "task": name,
        "repetition": repetition,
        "share of the steps": spent[1] / spent[0],
        "grid's best": f"{best.score:.4g} ({low:.4g} to {high:.4g})",
        "halving's": f"{chosen.score:.4g}",
        "halving's, in the grid": f"{same.score:.4g}",
        "within": "yes" if same.score >= low else "no",
    }
