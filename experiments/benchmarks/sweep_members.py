"""How fast 1 to 256 members train in one program, what they take of memory, and what a sweep's planner makes of it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from benchmarks.report import FOLDER, Report
from rlx.compose import compose_values
from rlx.runner.memory_plan import readable
from rlx.settings import hyper
from rlx.sweeps.measure import speed_of
from rlx.sweeps.parts import Part
from rlx.sweeps.plan import plan_part
from rlx.sweeps.settings import SweepSettings

CASES: dict[str, dict[str, Any]] = {
    "ppo CartPole": {"agent": "ppo", "env": "gymnax/CartPole-v1"},
    "dqn CartPole": {"agent": "dqn", "env": "gymnax/CartPole-v1", "agent.replay_size": 10_000},
    "ppo Brax": {"agent": "ppo", "env": "brax/inverted_pendulum"},
}
DESCRIPTION = """Environment steps a second of all members together, on {devices}: as many of them as a row says
side by side in one program, the best of {repetitions}. `of best` is the share of the fastest row of that case. `chosen`
is what the planner takes for 256 members by its rule, and `measured` what it takes with `measure=true`. Memory is state
and rollout, from shapes."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What this benchmark takes."""

    repetitions: int = hyper(3, "timed repetitions of each program", within="[1, inf)")
    most: int = hyper(256, "members of the largest program", within="[1, inf)")
    quick: bool = hyper(False, "few members, to see that all runs")
    only: str = hyper("all", "a single case", choices=("all", *CASES))
    folder: str = hyper(FOLDER, "where the table is written")


def measure(settings: Settings) -> Report:
    """A row for each case and number of members."""
    if settings.quick:
        settings = dataclasses.replace(settings, most=2 * jax.device_count(), repetitions=1)
    names = list(CASES) if settings.only == "all" else [settings.only]
    rows = [row for name in names for row in rows_of(name, settings)]
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    text = DESCRIPTION.format(devices=devices, repetitions=settings.repetitions)
    return Report("sweep_members", "Members of a sweep in one program", text, rows)


def rows_of(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One case."""
    config = compose_values({**CASES[name], "total_steps": 2**30})
    part = Part(config, *config.build())
    sizes = doubled(math.ceil(settings.most / jax.device_count()))
    rows = [row(name, part, size, settings.repetitions) for size in sizes]
    best = max(each["steps/s"] for each in rows)
    rule, measured = (plan(part, settings.most, wanted).side_by_side for wanted in (False, True))
    for each, size in zip(rows, sizes, strict=True):
        each |= {
            "of best": each["steps/s"] / best,
            "chosen": mark(size, rule, sizes),
            "measured": mark(size, measured, sizes),
        }
    return rows


def row(name: str, part: Part, side_by_side: int, repetitions: int) -> dict[str, Any]:
    """One size of a program."""
    needs, members = part.agent.needs, side_by_side * jax.device_count()
    speeds = [speed_of(part, side_by_side) for _ in range(repetitions)]
    speed = max(speeds) * needs.num_envs * needs.rollout_length
    planned = plan(part, members, measure=False)
    print(f"{name}, {members} members: {speed:,.0f} steps/s", flush=True)
    memory = members * (planned.state_bytes + planned.rollout_bytes)
    return {"case": name, "members": members, "steps/s": speed, "memory": readable(memory)}


def plan(part: Part, members: int, measure: bool) -> Any:
    """What the planner makes of so many members of one seed."""
    return plan_part(part, members, SweepSettings(measure=measure))


def doubled(most: int) -> list[int]:
    """1, 2, 4, ..., up to ``most``."""
    return [2**power for power in range(int(math.log2(most)) + 1)]


def mark(size: int, chosen: int, sizes: Sequence[int]) -> str:
    """Marks the size that is nearest to the chosen one."""
    return "x" if size == min(sizes, key=lambda other: abs(other - chosen)) else ""
