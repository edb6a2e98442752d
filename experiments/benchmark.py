"""Measure rlx beside its peers, interleaved in one run: ``make bench-peers``, then ``python experiments/benchmark.py``.

Every system does each case's work in a process of its own that compiles and then waits. The repetitions take turns,
one process at a time, so that whatever else slows the machine slows all of them; what counts are the ratios.
"""

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark_cases import CASES, PPO_64X64, Case
from rich.console import Console
from rich.markdown import Markdown

from rlx import cli
from rlx.errors import ConfigurationError, suggest
from rlx.report.tables import write_table
from rlx.runner.run import RunFailed
from rlx.settings import hyper

ROOT = Path(__file__).parents[1]
WORKERS = Path(__file__).parent / "peers"
PYTHONS = {
    "rlx": Path(sys.executable),
    "rejax": ROOT / ".bench-peers" / "bin" / "python",
    "sbx": ROOT / ".bench-sbx" / "bin" / "python",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure."""

    cases: tuple[str, ...] = hyper((), "what to measure; all if none is named")
    repetitions: int = hyper(9, "timed repetitions of each system, taking turns", within="[1, inf)")
    peers: bool = hyper(True, "measure the peers, where they are installed, beside rlx")
    quick: bool = hyper(False, "a tenth of the work a repetition, to see that all runs")
    breakdown: bool = hyper(False, "also say what share of an iteration of PPO each part takes")
    environments: bool = hyper(False, "also say how fast microRTS is by itself")
    masking: bool = hyper(False, "also say how long a training of masked PPO in microRTS takes, and what of it")
    many_actions: bool = hyper(False, "also say what share of a learning event of MBMA each part takes")
    folder: str = hyper("results/benchmark", "where benchmark.md and .csv are written")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One system on one case.

    Attributes:
        case: what it did.
        system: who did it.
        steps_per_second: environment steps of all members, one value a repetition.
        cold_compile_seconds: tracing and compiling with an empty compilation cache.
        warm_compile_seconds: the same in a new process, with the cache that the first one left.
        peak_bytes: largest resident memory of the process.
        versions: of the system's packages.
    """

    case: str
    system: str
    steps_per_second: list[float]
    cold_compile_seconds: float
    warm_compile_seconds: float
    peak_bytes: int
    versions: dict[str, str]


class Worker:
    """A process that has compiled a task and waits to be told to do it."""

    def __init__(self, system: str, task: dict[str, Any], cache: Path) -> None:
        self.system, self.task, self.log = system, task, cache / "stderr.txt"
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",  # where the peers' pinned versions run
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [PYTHONS[system], WORKERS / f"{system}_worker.py", json.dumps(task)],
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
        steps = self.task["iterations"] * self.task["steps_per_iteration"] * self.task["seeds"]
        return steps / self._reply()["seconds"]

    def finish(self) -> int:
        """End the process; its peak memory in bytes."""
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
            raise RunFailed(f"the {self.system} worker ended early: {lines[-1]}")
        return json.loads(line)


@contextlib.contextmanager
def started(system: str, task: dict[str, Any], cache: Path) -> Iterator[Worker]:
    """A worker that does not outlive the block."""
    worker = Worker(system, task, cache)
    try:
        yield worker
    finally:
        worker.kill()


def benchmark(words: list[str]) -> None:
    """Measure, show and write the tables."""
    settings = cli.parse_settings(words, Settings)
    settings = dataclasses.replace(settings, cases=settings.cases or tuple(CASES))
    for name in settings.cases:
        if name not in CASES:
            raise ConfigurationError(f"unknown case {name!r}{suggest(name, CASES)}; cases: {', '.join(CASES)}")
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"others use this machine (load {load:.1f}): read the ratios, not the speeds", file=sys.stderr)
    measurements = []
    for name in settings.cases:
        systems = chosen_systems(CASES[name], settings.peers)
        print(f"{name}: {', '.join(systems)}", file=sys.stderr)
        measurements += measure(name, systems, settings.repetitions, settings.quick)
    rows = [row for name in settings.cases for row in table([m for m in measurements if m.case == name])]
    publish(folder / "benchmark", "Benchmark", description(measurements, settings, load), rows)
    if settings.breakdown:
        from breakdown import breakdown

        text, parts = breakdown(PPO_64X64, settings.repetitions, iterations=4 if settings.quick else 40)
        publish(folder / "breakdown", "What limits PPO", f"{machine()}. {text}", parts)
    if settings.environments:
        import environment_speed

        text = f"{machine()}; load before the start {load:.1f}. {environment_speed.DESCRIPTION}"
        speeds = environment_speed.table(settings.repetitions, settings.quick)
        publish(folder / "environments", "microRTS by itself", text, speeds)
    if settings.masking:
        import masked_run_breakdown

        rows = masked_run_breakdown.table(settings.repetitions, settings.quick)
        text = f"{machine()}; load before the start {load:.1f}. {masked_run_breakdown.description(rows)}"
        publish(folder / "masked_run", "A training of masked PPO", text, rows)
    if settings.many_actions:
        from many_actions_breakdown import split

        text, parts = split(settings.repetitions, events=1 if settings.quick else 5)
        publish(folder / "many_actions", "What extra samples cost", f"{machine()}. {text}", parts)


def chosen_systems(case: Case, peers: bool) -> list[str]:
    """rlx, and the peers that do ``case`` and are installed."""
    if not peers:
        return ["rlx"]
    missing = [system for system in case.iterations if not PYTHONS[system].exists()]
    if missing:
        print(f"{', '.join(missing)}: not installed; `make bench-peers` does it", file=sys.stderr)
    return [system for system in case.iterations if system not in missing]


def measure(name: str, systems: Sequence[str], repetitions: int, quick: bool) -> list[Measurement]:
    """Compile ``systems`` twice, cold and warm, then let them take turns."""
    case = CASES[name]
    with contextlib.ExitStack() as stack:
        caches = {system: Path(stack.enter_context(tempfile.TemporaryDirectory())) for system in systems}
        tasks = {system: case.task(system, quick) for system in systems}
        cold = {}
        for system in systems:
            with started(system, tasks[system], caches[system]) as worker:
                cold[system] = worker.compiled["compile_seconds"]
        workers = [stack.enter_context(started(system, tasks[system], caches[system])) for system in systems]
        speeds = take_turns(workers, repetitions)
        return [
            Measurement(
                case=name,
                system=worker.system,
                steps_per_second=speeds[worker.system],
                cold_compile_seconds=cold[worker.system],
                warm_compile_seconds=worker.compiled["compile_seconds"],
                peak_bytes=worker.finish(),
                versions=worker.compiled["versions"],
            )
            for worker in workers
        ]


def take_turns(workers: Sequence[Worker], repetitions: int) -> dict[str, list[float]]:
    """Speeds of each system, after one repetition to warm up; every other round goes backwards."""
    for worker in workers:
        worker.steps_per_second()
    speeds: dict[str, list[float]] = {worker.system: [] for worker in workers}
    for repetition in range(repetitions):
        for worker in workers if repetition % 2 == 0 else reversed(workers):
            speeds[worker.system].append(worker.steps_per_second())
    return speeds


def table(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The rows of one case, rlx's first; ratios are medians over the repetitions of rlx's speed to the peer's."""
    rlx = measurements[0]
    rows = []
    for measured in measurements:
        case = CASES[measured.case]
        speed = statistics.median(measured.steps_per_second)
        row = {
            "case": measured.case,
            "system": measured.system,
            "env-steps/s": speed,
            "updates/s": speed / case.steps_per_iteration * case.updates_per_iteration,
        }
        if measured is not rlx:
            pairs = zip(rlx.steps_per_second, measured.steps_per_second, strict=True)
            ratios = [ours / theirs for ours, theirs in pairs]
            row |= {"rlx is x times as fast": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        row |= {
            "cold compile, s": measured.cold_compile_seconds,
            "warm compile, s": measured.warm_compile_seconds,
            "peak memory, MiB": round(measured.peak_bytes / 2**20),
        }
        rows.append(row)
    return rows


def description(measurements: Sequence[Measurement], settings: Settings, load: float) -> str:
    """What was measured, on what and how."""
    versions = {m.system: ", ".join(f"{name} {number}" for name, number in m.versions.items()) for m in measurements}
    names: dict[str, list[str]] = {}
    for name in settings.cases:
        names.setdefault(_words(CASES[name]), []).append(name)
    cases = "\n".join(f"- {', '.join(same)}: {words}" for words, same in names.items())
    length = "a tenth of a second" if settings.quick else "a second"
    return f"""CartPole-v1 on {machine()}; load before the start {load:.1f}.
{"; ".join(f"{system}: {numbers}" for system, numbers in versions.items())}.
Medians of {settings.repetitions} interleaved repetitions of about {length}; env-steps and updates are those of all
seeds together. rlx runs the programs of `rlx.train`, rejax `jax.jit(jax.vmap(algorithm.train))`, neither with
evaluation; sbx steps Gymnasium's environments in Python and stands here for orientation.

{cases}
"""


def _words(case: Case) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in case.hyperparameters.items())
    return f"agent={case.algorithm}, {settings}"


def machine() -> str:
    """Processor, cores, system and Python in a few words."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "CPU")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def publish(stem: Path, title: str, text: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the table with its description, and show it."""
    write_table(rows, stem)
    path = stem.with_name(f"{stem.name}.md")
    markdown = f"# {title}\n\n{text}\n{path.read_text()}"
    path.write_text(markdown)
    Console(width=150).print(Markdown(markdown))
    print(f"written: {path}, {path.with_suffix('.csv')}")


def _help() -> str:
    return f"{__doc__}\n{cli.describe(Settings)}\n\nCases: {', '.join(CASES)}"


if __name__ == "__main__":
    cli.main(benchmark, _help)
