"""Whether members of a population should take turns on a device or be computed side by side."""

import statistics
from collections.abc import Callable
from typing import Any

import jax

import rlx
from benchmarks.cases import CASES, Case
from benchmarks.programs import whole
from benchmarks.report import Report, Settings
from benchmarks.turns import speed_of, take_turns

# How many members do the work of these cases of one.
MEMBERS = {
    "ppo-64x64": (1, 2, 3, 4, 8, 32),
    "dqn": (1, 2, 3, 4, 8, 32),
    "masked-ppo-10x10": (1, 2, 3, 4, 8),
    "mbma": (1, 2, 3, 4, 8),
}
DESCRIPTION = """Environment steps a second of all members together, on all devices, medians of interleaved
repetitions. So many members as a column says are computed side by side on each device, and such groups take turns. On
CPU rlx has one at a time, and four of DQN, whose rollouts are small (`rlx.runner.layout.side_by_side_for`)."""


def measure(settings: Settings) -> Report:
    """A row for each agent and number of members."""
    wanted = {"ppo-64x64": (1, 2)} if settings.quick else MEMBERS
    rows = [row(name, members, settings) for name, sizes in wanted.items() for members in sizes]
    return Report("members", "Members of a population", DESCRIPTION, rows)


def row(name: str, members: int, settings: Settings) -> dict[str, Any]:
    """One by one, four at a time, and all that a device has."""
    a_device = -(-members // min(members, jax.device_count()))
    sizes = sorted({1, min(4, a_device), a_device})
    programs = {f"{size} at a time, steps/s": stepping(CASES[name], members, size, settings.quick) for size in sizes}
    speeds = take_turns(programs, settings.repetitions)
    return {"case": name, "members": members} | {way: statistics.median(speed) for way, speed in speeds.items()}


def stepping(case: Case, members: int, side_by_side: int, quick: bool) -> Callable[[], float]:
    """A compiled population; what is returned trains it for a while and tells its steps a second."""
    env = rlx.make_env(case.env)
    train = whole(rlx.make_agent(case.algorithm, env, **case.hyperparameters), env, members, side_by_side)
    iterations = max(1, case.iterations["rlx"] // (10 if quick else 1) // members)
    return speed_of(train, iterations, iterations * members * case.steps_per_iteration)
