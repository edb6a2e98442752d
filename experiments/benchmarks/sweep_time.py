"""How long a sweep of step sizes with several seeds takes, compilation included, beside two ways of doing it in rejax.

16 step sizes times 4 seeds of DQN and of PPO on CartPole, each way in a process of its own with an empty compilation
cache. rejax's runs are made one after the other by one compiled program, or all at once by hand with two ``jax.vmap``.
rlx makes its sweep's folder, checkpoints, tables and plots as well, and evaluates twice. ``make bench-peers`` installs
rejax.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import tempfile
from typing import Any

import numpy as np

from benchmarks.cases import CASES
from benchmarks.report import FOLDER, Report
from benchmarks.systems import PEERS, RLX, WORKERS, System, installed
from rlx.errors import RunFailed
from rlx.settings import hyper

WAYS = {
    "rlx.sweep": (RLX, "rlx_sweep.py", ""),
    "rejax, one after the other": (PEERS["rejax"], "rejax_sweep.py", "one by one"),
    "rejax, vmapped by hand": (PEERS["rejax"], "rejax_sweep.py", "vmapped"),
}
DESCRIPTION = """Seconds for the whole sweep, medians of {repetitions}: {rates} step sizes x {seeds} seeds, {steps}
steps each; `x rlx` is how many times as long as `rlx.sweep`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to sweep."""

    rates: int = hyper(16, "step sizes, from 1e-5 to 1e-2", within="[1, inf)")
    seeds: int = hyper(4, "seeds of each", within="[1, inf)")
    steps: int = hyper(100_000, "environment steps of each run", within="[1, inf)")
    repetitions: int = hyper(3, "times that each sweep is made, taking turns", within="[1, inf)")
    quick: bool = hyper(False, "2 step sizes, 2 seeds, few steps, once, to see that all runs")
    only: str = hyper("all", "a single agent", choices=("all", "dqn", "ppo"))
    folder: str = hyper(FOLDER, "where the table is written")


def measure(settings: Settings) -> Report:
    """A row for each agent and way."""
    if settings.quick:
        settings = dataclasses.replace(settings, rates=2, seeds=2, steps=8192, repetitions=1)
    there = installed([RLX, PEERS["rejax"]])
    ways = {name: way for name, way in WAYS.items() if way[0] in there}
    cases = {"dqn": "dqn-10-envs", "ppo": "ppo-64x64"}
    names = [name for name in cases if settings.only in ("all", name)]
    rows = [row for name in names for row in rows_of(name, cases[name], ways, settings)]
    values = {key: f"{value:,}" for key, value in vars(settings).items() if isinstance(value, int)}
    return Report("sweep_time", "Time of a sweep", DESCRIPTION.format(**values), rows)


def rows_of(
    agent: str, case: str, ways: dict[str, tuple[System, str, str]], settings: Settings
) -> list[dict[str, Any]]:
    """The ways of one agent, repetition by repetition."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(settings.repetitions):
        for name, (system, worker, way) in ways.items():
            task = {
                "algorithm": agent,
                "hyperparameters": CASES[case].hyperparameters,
                "rates": np.geomspace(1e-5, 1e-2, settings.rates).tolist(),
                "seeds": settings.seeds,
                "steps": settings.steps,
                "way": way,
            }
            seconds[name].append(seconds_of(system, worker, task))
            print(f"{agent}, {name}: {seconds[name][-1]:.1f} s", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        {"agent": agent, "way": name, "seconds": value, "x rlx": value / medians["rlx.sweep"]}
        for name, value in medians.items()
    ]


def seconds_of(system: System, worker: str, task: dict[str, Any]) -> float:
    """What one sweep takes in a new process, which has compiled nothing before.

    Raises:
        RunFailed: if it fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",  # where the peers' pinned versions run
            "JAX_COMPILATION_CACHE_DIR": cache,
            "PYTHONPATH": system.paths,
        }
        command = [str(system.python), str(system.checkout / WORKERS / worker), json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RunFailed(f"{worker}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])["seconds"]
