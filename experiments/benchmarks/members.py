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

# The cases of one member whose work is done by more of them.
AGENTS = ("ppo-64x64", "dqn", "masked-ppo-10x10", "mbma")
MEMBERS = (1, 2, 4, 8)
DESCRIPTION = """Environment steps a second of all members together, on all devices, medians of interleaved
repetitions; a group of members is computed side by side on each device, and groups take turns. The ratio is that of the
same rounds. rlx takes turns on CPU (`rlx.runner.population.SIDE_BY_SIDE`)."""


def measure(settings: Settings) -> Report:
    """A row for each agent and number of members."""
    agents, sizes = (AGENTS[:1], MEMBERS[:2]) if settings.quick else (AGENTS, MEMBERS)
    rows = [row(name, members, settings) for name in agents for members in sizes]
    return Report("members", "Members of a population", DESCRIPTION, rows)


def row(name: str, members: int, settings: Settings) -> dict[str, Any]:
    """Both ways for so many members; one way where there is one member a device."""
    case = CASES[name]
    a_device = -(-members // min(members, jax.device_count()))
    programs = {"turns": stepping(case, members, 1, settings.quick)}
    if a_device > 1:
        programs["side by side"] = stepping(case, members, a_device, settings.quick)
    speeds = take_turns(programs, settings.repetitions)
    found: dict[str, Any] = {"case": name, "members": members}
    found |= {f"{way}, steps/s": statistics.median(speed) for way, speed in speeds.items()}
    if a_device > 1:
        pairs = zip(speeds["turns"], speeds["side by side"], strict=True)
        found["turns are x times as fast"] = statistics.median(turns / side for turns, side in pairs)
    return found


def stepping(case: Case, members: int, side_by_side: int, quick: bool) -> Callable[[], float]:
    """A compiled population; what is returned trains it for a while and tells its steps a second."""
    env = rlx.make_env(case.env)
    train = whole(rlx.make_agent(case.algorithm, env, **case.hyperparameters), env, members, side_by_side)
    iterations = max(1, case.iterations["rlx"] // (10 if quick else 1) // members)
    return speed_of(train, iterations, iterations * members * case.steps_per_iteration)
