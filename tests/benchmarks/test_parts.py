"""What takes a training apart: shares that make up the whole."""

from types import SimpleNamespace

import pytest
from benchmarks import breakdown, many_actions, masked_run, members, scaling
from benchmarks.cases import CASES, Case
from benchmarks.report import Settings


def test_a_training_of_masked_ppo_is_taken_apart(monkeypatch):
    seconds = {"event": 4.0, "evaluation": 1.0, "collect": 1.5, "batch": 0.25, "epochs": 2.0}
    monkeypatch.setattr(masked_run, "median_seconds", lambda timed, *_: {name: seconds[name] for name in timed})
    monkeypatch.setattr(masked_run, "partial_programs", lambda agent, env: seconds)
    monkeypatch.setattr(masked_run.programs, "whole", lambda agent, env: None)
    report = masked_run.measure(Settings(repetitions=1, quick=True))
    (row,) = report.rows
    shares = {name: value for name, value in row.items() if name.endswith("%")}
    assert sum(shares.values()) == pytest.approx(100)
    assert all(value > 0 for name, value in shares.items() if "rest" not in name)
    minutes = row["event and evaluation, s"] * 245 / 60
    assert row["all 500k steps, min"] == pytest.approx(minutes)
    assert f"take {minutes:.1f} minutes" in report.description


def test_parts_of_an_iteration_of_ppo_come_from_differences():
    seconds = {"environment": 1.0, "collect": 3.0, "batch": 0.5, "gather": 0.25, "optimiser": 2.0, "epochs": 5.25}
    rows = breakdown.rows(seconds | {"iteration": 10.0, "dispatch": 0.25})
    assert {row["part"]: row["ms"] for row in rows} == {
        "environment steps": 1000,
        "acting and keeping transitions": 2000,
        "values and advantages": 500,
        "shuffling and gathering": 250,
        "losses and gradients": 3000,
        "clipping and Adam": 2000,
        "dispatch": 250,
        "the rest": 1000,
        "an iteration": 10_000,
    }
    assert [row["share, %"] for row in rows] == [10, 20, 5, 2.5, 30, 20, 2.5, 10, 100]


def test_a_learning_event_of_mbma_is_compared_with_one_of_ppo():
    agent = SimpleNamespace(num_envs=8, rollout_length=256, num_extras=8, horizon=6, model_updates=320)
    seconds = {"collect": 1.0, "batch": 0.5, "fit": 4.0, "draw": 2.0, "epochs": 2.5, "plain epochs": 0.5}
    seconds |= {"none": 2.0, "model": 12.5, "states": 16.0, "critic": 8.0, "simulator": 4.0}
    assert {row["part"]: (row["ms"], row["share, %"]) for row in many_actions.rows(seconds)} == {
        "collect": (1000, 8),
        "values and advantages": (500, 4),
        "model fit": (4000, 32),
        "imagination": (2000, 16),
        "policy epochs": (2500, 20),
        "the rest": (2500, 20),
        "a learning event": (12_500, 100),
    }
    text = many_actions.description(agent, seconds)
    assert "times as long take those with extra samples: 6.2 (model), 8.0 (states), 4.0 (critic), 2.0 (sim" in text
    assert text.endswith("alone take 5.0 times as long as without extra samples.")


def test_members_are_measured_in_turns_and_side_by_side(monkeypatch):
    """Two of sixteen on each of the eight devices of the tests, and one by itself."""
    monkeypatch.setattr(members, "stepping", lambda case, number, side_by_side, quick: lambda: 100.0 * side_by_side)
    settings = Settings(repetitions=1, quick=True)
    speeds = {"1 at a time, steps/s": 100.0, "2 at a time, steps/s": 200.0}
    assert members.row("dqn", 16, settings) == {"case": "dqn", "members": 16, **speeds}
    assert members.row("dqn", 1, settings) == {"case": "dqn", "members": 1, "1 at a time, steps/s": 100.0}


def test_members_of_a_case_take_their_steps():
    assert members.stepping(CASES["dqn"], members=2, side_by_side=1, quick=True)() > 0


def test_speeds_of_more_members_stand_beside_that_of_one(monkeypatch):
    monkeypatch.setattr(scaling, "steps_a_second", lambda case, members, settings: 100.0 * members**0.5)
    report = scaling.measure(scaling.Settings(only="dqn"))
    assert [(row["case"], row["members"], row["steps/s"]) for row in report.rows] == [
        ("dqn", 1, 100.0),
        ("dqn", 8, pytest.approx(282.8427)),
        ("dqn", 64, 800.0),
        ("dqn", 512, pytest.approx(2262.7417)),
    ]
    assert [row["x one"] for row in report.rows] == pytest.approx([1, 2.828427, 8, 22.627417])
    assert report.name == "scaling-8-x-cpu-dqn"


def test_steps_of_all_members_are_counted(monkeypatch):
    """Two members of four steps an event, an event a quarter of a second: two events make half a second."""
    ran = []
    monkeypatch.setattr(scaling, "whole", lambda agent, env, members, side_by_side: ran.append)
    monkeypatch.setattr(scaling, "seconds_of", lambda program, times: program(times) or 0.25 * times)
    case = Case("dqn", {"num_envs": 4}, 1, {"rlx": 1})
    assert scaling.steps_a_second(case, 2, scaling.Settings(repetitions=3)) == 2 * 4 / 0.25
    assert ran == [1, 1, 2, 2, 2]
