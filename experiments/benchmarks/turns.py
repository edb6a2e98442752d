"""Taking turns: whatever else slows the machine then slows all that is measured, and ratios stay right."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

# Does something a number of times and waits for it.
Program = Callable[[int], Any]


def take_turns(measures: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """What each of ``measures`` returns, ``repetitions`` times, one after the other.

    The first round, in which programs compile or warm up, does not count; every other one goes backwards.
    """
    for measure in measures.values():
        measure()
    found: dict[str, list[float]] = {name: [] for name in measures}
    for repetition in range(repetitions):
        for name in list(measures)[:: 1 if repetition % 2 == 0 else -1]:
            found[name].append(measures[name]())
    return found


def speed_of(program: Program, times: int, work: float) -> Callable[[], float]:
    """Measures how much is done a second, where ``program`` does ``work`` in that many ``times``."""

    def measure() -> float:
        began = time.perf_counter()
        program(times)
        return work / (time.perf_counter() - began)

    return measure


def median_seconds(programs: Mapping[str, Program], times: int, repetitions: int) -> dict[str, float]:
    """Median seconds that each program takes to do its work ``times`` times."""

    def timed(program: Program) -> Callable[[], float]:
        def seconds() -> float:
            began = time.perf_counter()
            program(times)
            return time.perf_counter() - began

        return seconds

    turns = take_turns({name: timed(program) for name, program in programs.items()}, repetitions)
    return {name: statistics.median(seconds) for name, seconds in turns.items()}
