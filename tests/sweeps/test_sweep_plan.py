"""How points are cut into batches, by bytes and devices that are given."""

import itertools

import jax
import pytest

from rlx.errors import ConfigurationError
from rlx.sweeps import measure, plan
from rlx.sweeps.define import define
from rlx.sweeps.settings import SweepSettings

DQN = {
    "agent": "dqn",
    "agent.num_envs": 2,
    "agent.hidden_sizes": [8],
    "agent.replay_size": 1000,
    "env": "gymnax/CartPole-v1",
    "num_seeds": 4,
    "sweep.agent.learning_rate": "log(1e-5,1e-2,32)",
}


@pytest.fixture(scope="module")
def part():
    """DQN, 32 points of 4 seeds; the tests have 8 devices."""
    definition, builder = define(DQN)
    assert list(definition.points_by_part(builder).values()) == [32]
    return next(iter(builder.parts.values()))


def planned(part, **settings):
    made = plan.plan_part(part, 32, SweepSettings(**settings))
    return made.side_by_side, made.points_at_once


def test_bytes_of_a_member(part):
    """A transition is two observations of 4 float32, an int32, a float32 and two bools; a rollout, one step of two."""
    state, replay, rollout = plan.member_bytes(part)
    assert 42_000 <= replay <= 43_000
    assert replay < state < replay + 10_000
    assert rollout == pytest.approx(2 * 42, abs=40)


def test_all_points_at_once_four_members_side_by_side(part):
    """128 members on 8 devices are 16 each; DQN's small rollouts let 4 be side by side."""
    assert planned(part) == (4, 32)


def test_as_many_as_fit(part, monkeypatch):
    """Room for 43 members: a state is counted twice, since a resumed one is there twice while it is read."""
    state, _, rollout = plan.member_bytes(part)
    monkeypatch.setattr(plan, "available_bytes", lambda devices: 43.5 * (2 * state + rollout) / plan.USABLE)
    assert planned(part) == (3, 10)  # 40 members, 5 a device: 3 and 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"points_at_once": 4}, (2, 4)),
        ({"engine": "ray", "workers": 3}, (3, 11)),
        ({"side_by_side": 1}, (1, 32)),
        ({"side_by_side": 64}, (16, 32)),
    ],
)
def test_what_is_said_is_done(part, settings, expected):
    assert planned(part, **settings) == expected


def test_too_much_at_once(part, monkeypatch):
    monkeypatch.setattr(plan, "available_bytes", lambda devices: 10_000_000)
    with pytest.raises(ConfigurationError, match=r"32 points of 4 seeds at once.*lower points_at_once"):
        planned(part, points_at_once=32)


def test_one_layout_for_any_number_of_members():
    layouts = [plan.fixed_layout(number, 2) for number in (1, 16, 17)]
    assert {layout.group_size for layout in layouts} == {2 * len(jax.devices())}
    assert [layout.num_groups for layout in layouts] == [1, 1, 2]
    assert [layout.num_members for layout in layouts] == [1, 16, 17]


@pytest.mark.parametrize(
    ("speeds", "most", "chosen"),
    [
        ({1: 100, 2: 190, 4: 300, 8: 320, 16: 900}, 64, 4),  # 8 gain too little, and nothing beyond is tried
        ({1: 100, 2: 190, 4: 300, 8: 500}, 8, 8),
        ({1: 100, 2: 190}, 3, 2),
        ({1: 100, 2: 90}, 64, 1),
    ],
)
def test_members_are_doubled_as_long_as_a_device_gains(speeds, most, chosen, monkeypatch):
    monkeypatch.setattr(measure, "speed_of", lambda part, size: speeds[size])
    assert measure.measured_side_by_side(None, most) == chosen


def test_a_measurement_is_taken_where_it_is_asked_for(part, monkeypatch):
    monkeypatch.setattr(plan, "measured_side_by_side", lambda part, most: 8)
    assert planned(part, measure=True) == (8, 32)
    assert planned(part, measure=False) == (4, 32)
    assert planned(part, measure=True, side_by_side=2) == (2, 32)


def test_the_plan_is_told(part):
    made = plan.PartPlan(2, 8, 1024, 512, 1024)
    line = plan.told('{"agent.hidden_sizes": [8], "agent": "dqn"}', part, made, 32, ["agent.hidden_sizes"])
    assert line == (
        "dqn on gymnax/CartPole-v1, agent.hidden_sizes=[8]: 32 points x 4 seeds, 4 x 8 points at once; 2 members side "
        "by side on each of 8 devices, 2 such groups in turns; a member takes 2 KiB (replay 512 B, rollout 1 KiB), "
        "all at once 64 KiB"
    )


def test_a_program_is_timed_over_more_than_one_iteration(part, monkeypatch):
    """On a clock that goes on by a second whenever it is looked at: 8 members, 2 iterations in one second."""
    seconds = itertools.count()
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(seconds))
    assert measure.speed_of(part, 1) == 16.0
