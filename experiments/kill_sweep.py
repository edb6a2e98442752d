"""Kill what computes a sweep at random moments, and compare its end with an undisturbed one.

``python experiments/kill_sweep.py engine=local``: the command itself gets a SIGKILL, ``kills`` times, and starts again.
``engine=ray``: nodes of a local cluster are killed and replaced. ``engine=slurm``: jobs of submitit's local executor.
All points must finish, none twice, with the same results.
"""

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlx import cli, usage
from rlx.errors import RunFailed
from rlx.loggers.jsonl import read_rows
from rlx.settings import hyper

SCRIPT = Path(__file__).with_name("sweep.py")
SWEEP = (
    "agent=ppo",
    "agent.num_envs=4",
    "agent.rollout_length=16",
    "agent.num_minibatches=2",
    "agent.hidden_sizes=[16]",
    "env=gymnax/CartPole-v1",
    "num_seeds=2",
    "num_evaluations=4",
    "eval_episodes=2",
    "tensorboard=false",
    "sweep.agent.learning_rate=log(1e-4,1e-2,4)",
    "sweep.agent.discount=[0.97,0.99]",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to kill, and how often."""

    engine: str = hyper("local", "what computes the sweep", choices=("local", "ray", "slurm"))
    kills: int = hyper(10, "kills", within="[0, inf)")
    total_steps: int = hyper(200_000, "environment steps of each member", within="[1, inf)")
    num_checkpoints: int = hyper(40, "saved states of each member", within="[1, inf)")
    seed: int = hyper(0, "seed of the random moments", within="[0, inf)")
    longest: float = hyper(8.0, "seconds between two kills, at most", within="(0, inf)")


def main(words: list[str]) -> None:
    """Sweep undisturbed, sweep with kills, and compare.

    Raises:
        RunFailed: if the two differ, or a point was computed twice.
    """
    settings = cli.parse_settings(words, Settings)
    chance = random.Random(settings.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole, broken = Path(scratch, "whole"), Path(scratch, "broken")
        finish(start(whole, settings))
        killed = KILLERS[settings.engine](broken, settings, chance)
        different = differences(whole, broken)
    print(f"{killed} kills: {'; '.join(different) or 'all points finished, none twice, with the same results'}")
    if different:
        raise RunFailed(f"{len(different)} differences")


def sweep_words(folder: Path, settings: Settings) -> list[str]:
    """The sweep in ``folder``, as it is told."""
    sizes = [f"total_steps={settings.total_steps}", f"num_checkpoints={settings.num_checkpoints}"]
    return [*SWEEP, *sizes, "points_at_once=2", f"sweep_dir={folder}"]


def start(folder: Path, settings: Settings, *words: str) -> subprocess.Popen[str]:
    """The sweep in ``folder``, in a process of its own."""
    command = [sys.executable, str(SCRIPT), *sweep_words(folder, settings), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for the end.

    Raises:
        RunFailed: if it is not a success.
    """
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RunFailed(f"the sweep failed: {errors.strip()[-2000:]}")


def kill_commands(folder: Path, settings: Settings, chance: random.Random) -> int:
    """Kill the command at random moments after it has begun to compute, and start it again."""
    killed = 0
    for _ in range(settings.kills):
        process = start(folder, settings)
        wait_for(lambda process=process: process.poll() is not None or begun(folder))
        time.sleep(chance.uniform(0.0, settings.longest))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    finish(start(folder, settings))
    return killed


def kill_jobs(folder: Path, settings: Settings, chance: random.Random) -> int:
    """Kill jobs of submitit's local executor, one at a time; the command submits them again."""
    process = start(folder, settings, "engine=slurm", "slurm_local=true", "workers=2")

    def kill_one() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(computing(folder)), signal.SIGKILL)

    killed = kill_now_and_then(kill_one, folder, process, settings, chance)
    finish(process)
    return killed


def kill_nodes(folder: Path, settings: Settings, chance: random.Random) -> int:
    """Kill nodes of a local Ray cluster, one at a time, and add another in its place."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Loopback, but not 127.0.0.1, in place of which Ray connects to the machine's other address.
    here: dict[str, Any] = {"node_ip_address": "127.0.0.2"}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **here})
    nodes = [cluster.add_node(num_cpus=1, **here) for _ in range(2)]
    process = start(folder, settings, "engine=ray", "workers=2", f"ray_address={cluster.address}")

    def kill_one() -> None:
        cluster.remove_node(nodes.pop(0), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, **here))

    try:
        killed = kill_now_and_then(kill_one, folder, process, settings, chance)
        finish(process)
    finally:
        process.kill()
        ray.shutdown()
        cluster.shutdown()
    return killed


def kill_now_and_then(
    kill_one: Callable[[], None],
    folder: Path,
    process: subprocess.Popen[str],
    settings: Settings,
    chance: random.Random,
) -> int:
    """Kill something at random moments at which something computes, until the sweep ends; return how often."""
    killed = 0
    while killed < settings.kills and process.poll() is None:
        time.sleep(chance.uniform(0.0, settings.longest))
        if computing(folder):
            kill_one()
            killed += 1
    return killed


KILLERS = {"local": kill_commands, "slurm": kill_jobs, "ray": kill_nodes}


def begun(folder: Path) -> bool:
    """Whether any segment that is not finished has logged something."""
    logs = folder.glob("runs/*/metrics.jsonl")
    return any(not log.with_name("finished.json").exists() for log in logs)


def computing(folder: Path) -> list[int]:
    """Processes that hold an unfinished segment, as their locks say."""
    held = [file for file in folder.glob("runs/*/.lock") if not file.with_name("finished.json").exists()]
    said = [file.read_text().split() for file in held]
    return [int(words[1]) for words in said if words[:1] == ["process"] and Path(f"/proc/{words[1]}").exists()]


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    """Wait until ``condition()``; give up after a while."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def differences(whole: Path, broken: Path) -> list[str]:
    """What differs between two finished sweeps: points, results, and rows that were logged twice."""
    found = [f"{name} differs" for name in ("table.csv", "best.yaml") if text(whole / name) != text(broken / name)]
    for number in sorted(file.name for file in (whole / "runs").iterdir()):
        ours, theirs = (rows_of(folder / "runs" / number) for folder in (whole, broken))
        if ours != theirs:
            found.append(f"the rows of segment {number} differ")
    return found


def text(file: Path) -> str:
    """What a file holds; nothing if it is not there."""
    return file.read_text() if file.exists() else ""


def rows_of(folder: Path) -> list[str]:
    """Logged rows without their times: a point that was computed twice would have rows twice."""
    return [
        json.dumps({k: v for k, v in row.items() if k != "wall_time"}) for row in read_rows(folder / "metrics.jsonl")
    ]


if __name__ == "__main__":
    cli.main(main, lambda: f"{__doc__}\nOptions: key=default, range, meaning\n{usage.describe(Settings)}")
