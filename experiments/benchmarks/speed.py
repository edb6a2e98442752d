"""How fast training is in rlx, beside peers that do the same work or beside another checkout of rlx.

Every system does each case's work in a process of its own that compiles and then waits. The repetitions take turns,
one process at a time; what counts are the ratios. ``make bench-peers`` installs the peers.
"""

import contextlib
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.report import FOLDER, Report
from benchmarks.systems import PEERS, RLX, System, commit, installed, other_checkout, started
from benchmarks.turns import take_turns
from rlx.errors import ConfigurationError, suggest
from rlx.settings import hyper
from rlx.usage import listed

__doc__ = f"{__doc__}\n{listed('Cases: ', CASES)}\n"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure beside what."""

    cases: tuple[str, ...] = hyper((), "what to train, some of the cases above; all if none is named")
    peers: bool = hyper(True, "measure the peers, where they are installed, beside rlx")
    against: str | None = hyper(None, "folder of a checkout whose rlx is measured beside this one, and not the peers")
    repetitions: int = hyper(9, "timed repetitions of each system, taking turns", within="[1, inf)")
    quick: bool = hyper(False, "do a tenth of the work, to see that all runs")
    folder: str = hyper(FOLDER, "where benchmark.md and .csv are written, or against.md and .csv")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One system on one case.

    Attributes:
        case: what it did.
        system: who did it.
        steps_per_second: environment steps of all members, one value a repetition.
        cold_compile_seconds: tracing and compiling with an empty compilation cache.
        warm_compile_seconds: the same in a new process, with the cache that the first one left.
        peak_bytes: largest resident memory of the process; ``None`` where the system does not say.
        versions: of the system's packages.
    """

    case: str
    system: str
    steps_per_second: list[float]
    cold_compile_seconds: float
    warm_compile_seconds: float
    peak_bytes: int | None
    versions: dict[str, str]


def measure(settings: Settings) -> Report:
    """Measure every case, one after the other.

    Raises:
        ConfigurationError: if a case is unknown, or the other checkout cannot do them.
    """
    names = settings.cases or tuple(CASES)
    for name in names:
        if name not in CASES:
            raise ConfigurationError(f"unknown case {name!r}{suggest(name, CASES)}; cases: {', '.join(CASES)}")
    other = other_checkout(Path(settings.against)) if settings.against else None
    measurements, rows = [], []
    for name in names:
        systems = [RLX, other] if other else [RLX, *(installed_peers(CASES[name]) if settings.peers else ())]
        print(f"{name}: {', '.join(system.name for system in systems)}", file=sys.stderr)
        found = measure_case(name, systems, settings.repetitions, settings.quick)
        measurements += found
        rows += table(found)
    text = description(names, measurements, settings.repetitions, settings.quick)
    if other is None:
        beside = PEERS_IN_WORDS if any(measured.system in PEERS for measured in measurements) else ""
        return Report("benchmark", "Training in rlx and in its peers", f"{text}\n\n{beside}", rows)
    commits = f"rlx is commit {commit(RLX.checkout)}, against it stands {commit(other.checkout)}."
    return Report("against", "Training in rlx and in another checkout of it", f"{commits} {text}", rows)


def installed_peers(case: Case) -> list[System]:
    """The peers that do ``case`` and are there."""
    return installed([PEERS[name] for name in case.iterations if name in PEERS])


def measure_case(name: str, systems: Sequence[System], repetitions: int, quick: bool) -> list[Measurement]:
    """Compile ``systems`` twice, cold and warm, then let them take turns."""
    with contextlib.ExitStack() as stack:
        tasks = [
            (system, CASES[name].task(system.name, quick), Path(stack.enter_context(tempfile.TemporaryDirectory())))
            for system in systems
        ]
        cold = [cold_compile_seconds(*task) for task in tasks]
        workers = [stack.enter_context(started(*task)) for task in tasks]
        speeds = take_turns({worker.system.name: worker.steps_per_second for worker in workers}, repetitions)
        return [
            Measurement(
                case=name,
                system=worker.system.name,
                steps_per_second=speeds[worker.system.name],
                cold_compile_seconds=seconds,
                warm_compile_seconds=worker.compiled["compile_seconds"],
                peak_bytes=worker.finish(),
                versions=worker.compiled["versions"],
            )
            for worker, seconds in zip(workers, cold, strict=True)
        ]


def cold_compile_seconds(system: System, task: dict[str, Any], cache: Path) -> float:
    """Seconds that a worker compiles with an empty ``cache``, which is full afterwards."""
    with started(system, task, cache) as worker:
        return worker.compiled["compile_seconds"]


def table(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The rows of one case, rlx's first; ratios are medians over the repetitions of rlx's speed to the other's."""
    rlx = measurements[0]
    return [row(measured, None if measured is rlx else rlx) for measured in measurements]


def row(measured: Measurement, rlx: Measurement | None) -> dict[str, Any]:
    """One system's speed, and how many times as fast ``rlx`` was in the same rounds."""
    case, speed = CASES[measured.case], statistics.median(measured.steps_per_second)
    cells: dict[str, Any] = {
        "case": measured.case,
        "system": measured.system,
        "env-steps/s": speed,
        "updates/s": speed / case.steps_per_iteration * case.updates_per_iteration,
    }
    if rlx:
        pairs = zip(rlx.steps_per_second, measured.steps_per_second, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        cells |= {"rlx is x times as fast": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return cells | {
        "cold compile, s": measured.cold_compile_seconds,
        "warm compile, s": measured.warm_compile_seconds,
        "peak memory, MiB": "" if measured.peak_bytes is None else round(measured.peak_bytes / 2**20),
    }


def description(names: Sequence[str], measurements: Sequence[Measurement], repetitions: int, quick: bool) -> str:
    """What was measured and how."""
    numbers = {m.system: ", ".join(f"{name} {number}" for name, number in m.versions.items()) for m in measurements}
    versions = "; ".join(f"{system}: {each}" for system, each in numbers.items())
    same: dict[str, list[str]] = {}
    for name in names:
        same.setdefault(_words(CASES[name]), []).append(name)
    cases = "\n".join(f"- {', '.join(alike)}: {words}" for words, alike in same.items())
    length = "a tenth of a second" if quick else "a second"
    return f"""{versions}.
Medians of {repetitions} interleaved repetitions of about {length}, or of a single learning event that takes longer;
env-steps and updates are those of all seeds together. rlx runs the programs of `rlx.train`, without evaluation.

{cases}"""


PEERS_IN_WORDS = """rejax runs `jax.jit(jax.vmap(algorithm.train))` without evaluation; sbx steps Gymnasium's
environments in Python and stands here for orientation."""


def _words(case: Case) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in case.hyperparameters.items())
    return f"env={case.env}, agent={case.algorithm}, {settings}"
