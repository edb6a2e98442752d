"""How a sweep's points are cut into batches, from bytes and devices; nothing is allocated for that."""

import dataclasses
import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jax

from rlx.errors import ConfigurationError
from rlx.replay.replay import Replay
from rlx.replay.ring import Ring
from rlx.runner.folder import write_atomically
from rlx.runner.layout import Layout, layout_for, side_by_side_for
from rlx.runner.memory_plan import available_bytes, num_bytes, readable
from rlx.runner.population import Member, Population
from rlx.sweeps.measure import measured_side_by_side
from rlx.sweeps.parts import Part
from rlx.sweeps.settings import SweepSettings
from rlx.switches import shapes_of
from rlx.types import Clock

# What the plan may fill of the memory that is there; compiled programs take some of their own.
USABLE = 0.8


@dataclasses.dataclass(frozen=True)
class PartPlan:
    """How the points of one static part are trained.

    Attributes:
        side_by_side: members that a device computes side by side; groups of those take turns.
        points_at_once: points of one segment, at most.
        state_bytes: of one member, its replay included.
        replay_bytes: of one member.
        rollout_bytes: of one member.
    """

    side_by_side: int
    points_at_once: int
    state_bytes: int
    replay_bytes: int
    rollout_bytes: int


def plan_part(part: Part, num_points: int, settings: SweepSettings) -> PartPlan:
    """Cut ``num_points`` points of ``part`` into batches that fit.

    Raises:
        ConfigurationError: if not even one point does, or not as many as ``points_at_once`` says.
    """
    seeds = len(part.config.settings.all_seeds)
    devices = jax.local_devices()
    state, replay, rollout = member_bytes(part)
    shares = settings.workers * jax.process_count()
    at_once = min(num_points, math.ceil(num_points / shares), settings.points_at_once or num_points)
    room = _members_that_fit(state, rollout, devices) // seeds
    if room < max(1, min(at_once, settings.points_at_once or 1)):
        raise ConfigurationError(_too_large(part, at_once if settings.points_at_once else 1, seeds, state + rollout))
    at_once = min(at_once, room)
    wanted = settings.side_by_side or side_by_side_for(part.agent.needs, devices[0].platform)
    a_device = math.ceil(at_once * seeds / len(devices))
    if settings.side_by_side is None and _is_measured(settings, devices):
        wanted = measured_side_by_side(part, a_device)
    groups = math.ceil(a_device / (wanted or a_device))
    return PartPlan(math.ceil(a_device / groups), at_once, state, replay, rollout)


def member_bytes(part: Part) -> tuple[int, int, int]:
    """Bytes of one member: its state, of that its replay, and a rollout."""
    clock = clock_of(part)
    single = Population([Member(part.agent, 0)], part.env, layout=layout_for(1))
    shapes = single.shapes(clock)
    rollout = shapes_of(single.programs.rollout, single.agents[0], shapes, single.arrays)
    leaves = jax.tree.leaves(shapes, is_leaf=_is_replay)
    return num_bytes(shapes), sum(num_bytes(leaf) for leaf in leaves if _is_replay(leaf)), num_bytes(rollout)


def clock_of(part: Part) -> Clock:
    """The clock of a part's runs before their first step."""
    needs = part.agent.needs
    return Clock.start(part.config.settings.total_steps, needs.num_envs * needs.rollout_length)


def fixed_layout(num_members: int, side_by_side: int) -> Layout:
    """Members in groups of ``side_by_side`` on every device, however few they are: one program for any number."""
    whole = layout_for(len(jax.local_devices()))
    group_size = side_by_side * whole.mesh.size
    return Layout(whole.mesh, num_members, math.ceil(num_members / group_size), group_size)


def told(name: str, part: Part, plan: PartPlan, num_points: int, swept: Collection[str]) -> str:
    """The plan of one static part in a line.

    Args:
        name: of the part, which says what its points share.
        part: what is trained.
        plan: how.
        num_points: it has.
        swept: keys of the axes.
    """
    seeds, devices = len(part.config.settings.all_seeds), len(jax.local_devices())
    shared = ", ".join(f"{key}={value}" for key, value in json.loads(name).items() if key in swept)
    batches = math.ceil(num_points / plan.points_at_once)
    groups = math.ceil(plan.points_at_once * seeds / (plan.side_by_side * devices))
    member = plan.state_bytes + plan.rollout_bytes
    what = f"{part.config.agent['name']} on {part.config.env_name}{shared and ', '}{shared}"
    where = f"{plan.side_by_side} members side by side on each of {devices} devices, {groups} such groups in turns"
    parts = f"replay {readable(plan.replay_bytes)}, rollout {readable(plan.rollout_bytes)}"
    return (
        f"{what}: {num_points} points x {seeds} seeds, {batches} x {plan.points_at_once} points at once; {where}; "
        f"a member takes {readable(member)} ({parts}), all at once {readable(member * plan.points_at_once * seeds)}"
    )


def write_plans(sweep: Path, plans: dict[str, PartPlan]) -> None:
    """Note the plans, by part, for whoever computes segments, here or elsewhere."""
    noted = {name: dataclasses.asdict(plan) for name, plan in plans.items()}
    write_atomically(sweep / "plan.json", json.dumps(noted, indent=2) + "\n")


def read_plans(sweep: Path) -> dict[str, PartPlan]:
    """The noted plans by part; none before there are any."""
    file = sweep / "plan.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {name: PartPlan(**plan) for name, plan in found.items()}


def _is_measured(settings: SweepSettings, devices: Sequence[Any]) -> bool:
    return devices[0].platform != "cpu" if settings.measure is None else settings.measure


def _members_that_fit(state: int, rollout: int, devices: Sequence[Any]) -> int:
    """How many members there is room for; on CPU a resumed run's state is there twice while it is read."""
    available = available_bytes(devices)
    if available is None:
        return 2**31
    return int(USABLE * available / ((2 if devices[0].platform == "cpu" else 1) * state + rollout))


def _too_large(part: Part, points: int, seeds: int, member: int) -> str:
    available = readable(available_bytes(jax.local_devices()) or 0)
    return (
        f"{points} point{'s' if points > 1 else ''} of {seeds} seeds at once, {readable(member)} a member, do not fit "
        f"into {available}; lower {'points_at_once' if points > 1 else 'num_seeds, replay_size or num_envs'}"
    )


def _is_replay(node: Any) -> bool:
    return isinstance(node, Replay | Ring)
