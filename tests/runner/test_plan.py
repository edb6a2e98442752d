import pytest

from rlx.runner.plan import Plan
from rlx.runner.settings import RunSettings


def plan(total_steps, steps_per_iteration, num_evaluations, num_checkpoints):
    settings = RunSettings(total_steps=total_steps, num_evaluations=num_evaluations, num_checkpoints=num_checkpoints)
    return Plan(settings, steps_per_iteration)


def test_evaluations_and_checkpoints_are_spread_evenly():
    result = plan(total_steps=120, steps_per_iteration=10, num_evaluations=4, num_checkpoints=2)
    assert (result.iterations, result.steps) == (12, 120)
    assert result.evaluations == {0, 3, 6, 9, 12}
    assert result.checkpoints == {0, 6, 12}


def test_the_host_stops_where_it_has_something_to_do():
    result = plan(total_steps=120, steps_per_iteration=10, num_evaluations=3, num_checkpoints=2)
    assert result.stops(after=0) == [4, 6, 8, 12]
    assert result.stops(after=5) == [6, 8, 12]
    assert result.stops(after=12) == []


@pytest.mark.parametrize(("total_steps", "iterations"), [(91, 10), (100, 10), (101, 11), (1, 1)])
def test_the_budget_is_overshot_by_less_than_an_iteration(total_steps, iterations):
    result = plan(total_steps, steps_per_iteration=10, num_evaluations=1, num_checkpoints=1)
    assert (result.iterations, result.steps) == (iterations, 10 * iterations)


def test_more_evaluations_than_iterations_are_one_after_each():
    result = plan(total_steps=30, steps_per_iteration=10, num_evaluations=20, num_checkpoints=1)
    assert result.evaluations == {0, 1, 2, 3}
