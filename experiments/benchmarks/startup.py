"""How long it takes until a command says or does something, as a multiple of the time to import JAX alone."""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Report, Settings
from benchmarks.systems import ROOT
from benchmarks.turns import take_turns
from rlx.errors import RunFailed

DESCRIPTION = """Wall time of whole processes, medians of interleaved repetitions. The ratio is that to
`python -c "import jax"` in the same round. The run is PPO on CartPole with every program in the compilation cache, from
the command to the end of its first chunk of training."""
SCRIPTS = ROOT / "experiments"
JAX = "import jax"
REFUSED = 2


class Command(NamedTuple):
    """A command, and how soon it should be there.

    Attributes:
        words: what Python is told.
        exits: the status with which it ends.
        target: the largest ratio it may take.
    """

    words: tuple[str, ...]
    exits: int = 0
    target: float | None = None


def train(*words: str, exits: int = REFUSED) -> Command:
    """What ``experiments/train.py`` does with words that need no run."""
    return Command((str(SCRIPTS / "train.py"), *words), exits, target=3.0)


AT_ONCE = {
    JAX: Command(("-c", "import jax")),
    "train.py --help": train("--help", exits=0),
    "an unknown agent": train("agent=pop"),
    "an unknown environment": train("env=gymnax/CartPole"),
    "an unknown key": train("total_step=100"),
    "a value out of range": train("agent.learning_rate=-1"),
    "an unknown option of the task": train("env.gravty=9"),
    "plot.py --help": Command((str(SCRIPTS / "plot.py"), "--help"), target=3.0),
}
RUN = Command((str(SCRIPTS / "benchmarks" / "first_chunk.py"), "agent=ppo", "env=gymnax/CartPole-v1"), target=7.0)


def measure(settings: Settings) -> Report:
    """A row for each command; the run is left out if it should be quick."""
    commands = AT_ONCE if settings.quick else {**AT_ONCE, "a run to its first chunk": RUN}
    with tempfile.TemporaryDirectory() as scratch:
        measures = {name: timed(command, Path(scratch)) for name, command in commands.items()}
        seconds = take_turns(measures, settings.repetitions)
    rows = [row(name, commands[name], seconds) for name in commands]
    return Report("startup", "Time to start", DESCRIPTION, rows)


def row(name: str, command: Command, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Of one command, from the seconds of all."""
    ratio = statistics.median(own / jax for own, jax in zip(seconds[name], seconds[JAX], strict=True))
    return {
        "command": name,
        "s": statistics.median(seconds[name]),
        "x import jax": ratio,
        "target": "" if command.target is None else command.target,
    }


def timed(command: Command, scratch: Path) -> Callable[[], float]:
    """A function that runs the command once and tells its seconds; the first time fills the compilation cache.

    Args:
        command: to be run.
        scratch: holds the cache and the runs.
    """
    numbers = itertools.count()

    def seconds() -> float:
        folders = [f"run_dir={scratch / 'runs' / str(next(numbers))}"] if command is RUN else []
        began = time.perf_counter()
        run([*command.words, *folders], command.exits, scratch)
        return time.perf_counter() - began

    return seconds


def run(words: Sequence[str], exits: int, scratch: Path) -> None:
    """Run Python on ``words``.

    Raises:
        RunFailed: if it does not end with the status ``exits``.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(scratch / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=scratch)
    if done.returncode != exits:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise RunFailed(f"{' '.join(words)} ended with {done.returncode}: {lines[-1]}")
