"""What is measured beside what: rlx, its peers, another checkout; each works in processes of its own."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlx.errors import ConfigurationError, RunFailed
from rlx.paths import expand

ROOT = Path(__file__).parents[2]
WORKERS = Path("experiments/benchmarks/peers")


@dataclasses.dataclass(frozen=True)
class System:
    """Something that does cases.

    Attributes:
        name: of it.
        python: the interpreter of its environment.
        checkout: whose worker it runs.
        worker: file name of that.
        paths: where that interpreter looks for packages first.
    """

    name: str
    python: Path
    checkout: Path
    worker: str
    paths: str = ""


RLX = System("rlx", Path(sys.executable), ROOT, "rlx_worker.py", str(ROOT))
PEERS = {
    "rejax": System("rejax", ROOT / ".bench-peers" / "bin" / "python", ROOT, "rejax_worker.py"),
    "sbx": System("sbx", ROOT / ".bench-sbx" / "bin" / "python", ROOT, "sbx_worker.py"),
    "PyTorch": System("PyTorch", ROOT / ".bench-torch" / "bin" / "python", ROOT, "torch_worker.py"),
    "lingam": System("lingam", ROOT / ".bench-lingam" / "bin" / "python", ROOT, "lingam_worker.py"),
    "PyTorch, Symphony": System(
        "PyTorch, Symphony", ROOT / ".bench-torch" / "bin" / "python", ROOT, "torch_symphony.py"
    ),
}


def installed(systems: Sequence[System]) -> list[System]:
    """Those of ``systems`` that are there; the others are named on standard error."""
    missing = [system.name for system in systems if not system.python.exists()]
    if missing:
        print(f"{', '.join(missing)}: not installed; `make bench-peers` does it", file=sys.stderr)
    return [system for system in systems if system.name not in missing]


def other_checkout(folder: Path) -> System:
    """The rlx of another checkout, in this one's environment.

    Raises:
        ConfigurationError: if it has no worker to do the cases.
    """
    folder = expand(folder).absolute()
    if not (folder / WORKERS / RLX.worker).is_file():
        raise ConfigurationError(f"against={folder} has no {WORKERS / RLX.worker}; name a checkout of rlx that has it")
    return System("against", RLX.python, folder, RLX.worker, str(folder))


def commit(checkout: Path) -> str:
    """The commit of a checkout in short, ``-dirty`` if files have changed since; or that it has none."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "no commit"


class Worker:
    """A process that has compiled a task and waits to be told to do it."""

    def __init__(self, system: System, task: dict[str, Any], cache: Path) -> None:
        self.system, self.task, self.log = system, task, cache / "stderr.txt"
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",  # where the peers' pinned versions run
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": system.paths,
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [system.python, system.checkout / WORKERS / system.worker, json.dumps(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        self.compiled = self._reply()

    def steps_per_second(self) -> float:
        """Do the task once; environment steps of all members in a second."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no reply either
            print("again", file=self.process.stdin, flush=True)
        steps = self.task["iterations"] * self.task["steps_per_iteration"] * self.task["members"]
        return steps / self._reply()["seconds"]

    def finish(self) -> int | None:
        """End the process; its peak memory in bytes, if the system tells."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak_bytes = self._reply()["peak_bytes"]
        self.process.wait()
        return peak_bytes

    def kill(self) -> None:
        """End the process in any state."""
        self.process.kill()
        self.process.wait()

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            lines = self.log.read_text().strip().splitlines() or ["it said nothing"]
            raise RunFailed(f"the {self.system.name} worker ended early: {lines[-1]}")
        return json.loads(line)


@contextlib.contextmanager
def started(system: System, task: dict[str, Any], cache: Path) -> Iterator[Worker]:
    """A worker that does not outlive the block."""
    worker = Worker(system, task, cache)
    try:
        yield worker
    finally:
        worker.kill()
