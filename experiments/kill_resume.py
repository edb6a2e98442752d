"""Kill runs at random moments, resume them, and compare the ends bit for bit: ``python experiments/kill_resume.py``.

Each run is made once without a break. Then, once for each kill, the same command starts again in a process of its own,
gets a SIGKILL after a random time, and is resumed in another process: its last checkpoint, policy and logged results
must equal those of the unbroken run.
"""

import contextlib
import dataclasses
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from rich.console import Console
from rich.table import Table

from rlx import cli, usage
from rlx.errors import RunFailed
from rlx.loggers.jsonl import read_rows
from rlx.settings import hyper

TRAIN = Path(__file__).with_name("train.py")

_SHARED = ("num_seeds=2", "num_evaluations=10", "num_checkpoints=20", "eval_episodes=8", "tensorboard=false")
_PPO = ("agent=ppo", "agent.num_envs=16", *_SHARED)
_DQN = ("agent=dqn", "agent.replay_size=20000", *_SHARED)
_PENDULUM = ("env=brax/inverted_pendulum", "env.max_episode_steps=100")
RUNS = {
    "ppo-gymnax": (*_PPO, "env=gymnax/CartPole-v1", "total_steps=1e6"),
    "ppo-brax": (*_PPO, *_PENDULUM, "total_steps=2e5"),
    "dqn-gymnax": (*_DQN, "env=gymnax/CartPole-v1", "total_steps=1e5"),
    "dqn-brax": (*_DQN, *_PENDULUM, "env.discretise=3", "total_steps=1e5"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to kill, and how often."""

    kills: int = hyper(10, "kills of each run", within="[1, inf)")
    seed: int = hyper(0, "seed of the random moments", within="[0, inf)")
    run: str | None = hyper(None, "the only run to make; all if null", choices=tuple(RUNS))


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of one kill: steps that the killed and the resumed run had saved, and what differs at the end."""

    killed_after: float
    saved_step: int
    final_step: int
    different: list[str]


def main(words: list[str]) -> None:
    """Make, kill, resume and compare; print a table.

    Raises:
        RunFailed: if a run fails or a resumed one ends differently.
    """
    settings = cli.parse_settings(words, Settings)
    names = [settings.run] if settings.run else list(RUNS)
    chance, console = random.Random(settings.seed), Console()
    table = Table("run", "killed after", "saved step", "last step", "result")
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, trial in trials(names, settings.kills, chance, Path(scratch)):
            found.append(trial)
            verdict = "differs: " + ", ".join(trial.different[:3]) if trial.different else "identical"
            row = (name, f"{trial.killed_after:.2f} s", str(trial.saved_step), str(trial.final_step), verdict)
            console.print("  ".join(row))
            table.add_row(*row)
    console.print(table)
    failures = sum(bool(trial.different) for trial in found)
    if failures:
        raise RunFailed(f"{failures} of {len(found)} resumed runs differ from the unbroken one")


def trials(names: Sequence[str], kills: int, chance: random.Random, scratch: Path) -> Iterator[tuple[str, Trial]]:
    """Make each run without a break, then kill and resume it ``kills`` times; all in folders below ``scratch``."""
    for name in names:
        unbroken = scratch / name
        seconds = run_whole(RUNS[name], unbroken)
        print(f"{name}: {seconds:.1f} s without a break")
        for number in range(kills):
            yield name, kill_and_resume(RUNS[name], unbroken, Path(f"{unbroken}-{number}"), chance, seconds)


def run_whole(overrides: Sequence[str], folder: Path) -> float:
    """Make a run; return the seconds from the moment its folder has a configuration."""
    with started(*overrides, f"run_dir={folder}") as process:
        wait_for_config(folder, process)
        began = time.perf_counter()
        finish(process)
    return time.perf_counter() - began


def kill_and_resume(
    overrides: Sequence[str], unbroken: Path, folder: Path, chance: random.Random, seconds: float
) -> Trial:
    """Make the run ``unbroken`` again in ``folder``, with a kill within ``seconds``, and compare the two."""
    delay = chance.uniform(0.0, seconds)
    while not killed(overrides, folder, delay):
        shutil.rmtree(folder)
        delay *= 0.9
    saved = last_step(folder)
    with started(f"resume={folder}") as process:
        finish(process)
    return Trial(delay, saved, last_step(folder), differences(unbroken, folder))


def killed(overrides: Sequence[str], folder: Path, delay: float) -> bool:
    """Start a run and kill it ``delay`` seconds after it has a configuration; False if it had ended by then."""
    with started(*overrides, f"run_dir={folder}") as process:
        wait_for_config(folder, process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        return process.poll() is None


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """``experiments/train.py`` with these words in a process of its own, killed at the end if it still runs."""
    command = [sys.executable, str(TRAIN), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_config(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run in ``folder`` has begun."""
    while not (folder / "config.yaml").exists():
        if process.poll() is not None:
            finish(process)
        time.sleep(0.01)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for the end.

    Raises:
        RunFailed: if it is not a success.
    """
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RunFailed(f"{' '.join(process.args)}: {errors.strip()[-2000:]}")  # type: ignore[arg-type]


def last_step(folder: Path) -> int:
    """Environment step of the newest checkpoint in a run's folder; -1 if there is none."""
    return max(_steps(folder / "checkpoints"), default=-1)


def differences(left: Path, right: Path) -> list[str]:
    """What differs between two finished runs: leaves of the last checkpoint and of the policy, and logged rows."""
    found = [
        f"{part}{path}"
        for part in ("checkpoints", "policy")
        for path in unequal(newest(left / part), newest(right / part))
    ]
    logs = [[_without_time(row) for row in read_rows(folder / "metrics.jsonl")] for folder in (left, right)]
    return found if logs[0] == logs[1] else [*found, "metrics.jsonl"]


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("*") if path.name.isdigit()]


def newest(folder: Path) -> dict[str, np.ndarray]:
    """The leaves of the newest state saved in ``folder``, by name, and its step."""
    step = max(_steps(folder))
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore((folder / str(step) / "default").absolute())
    leaves = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(state)}
    return {"/step": np.array(step), **leaves}


def unequal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> list[str]:
    """Names of the leaves that one lacks, or that differ in a bit."""

    def bits(leaf: np.ndarray | None) -> Any:
        return None if leaf is None else (leaf.shape, leaf.dtype, leaf.tobytes())

    return [name for name in sorted(left | right) if bits(left.get(name)) != bits(right.get(name))]


def _without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "wall_time"}


if __name__ == "__main__":
    cli.main(main, lambda: f"{__doc__}\nOptions: key=default, range, meaning\n{usage.describe(Settings)}")
