"""Searches as functions of what is known, on scores that are given: no training here."""

import math

import numpy as np
import pytest

from rlx.sweeps.search import Everything, Halving, Known, PopulationBased, Task, explored, rungs_for
from rlx.sweeps.segments import Source
from rlx.sweeps.space import Axis, Point


def points(number):
    return [Point(index, {"agent.x": float(index)}) for index in range(number)]


def task(number, at_once, workers=1, parts=1):
    return Task(points(number), 900, lambda point: str(point.number % parts), lambda part: at_once, workers)


def run(search, score):
    """Every segment of a search in which a point's score is a function of its values."""
    known = []
    while following := search.following(known):
        for segment in following:
            assert segment.number == len(known) < 100  # and no search goes on for ever
            known.append(Known(segment, [score(point) for point in segment.points]))
    return [each.segment for each in known]


def numbers(segment):
    return [point.number for point in segment.points]


def test_without_a_search_every_point_is_trained_to_the_end_part_by_part():
    segments = run(Everything(task(7, at_once=2, parts=2)), lambda point: 0.0)
    assert [numbers(segment) for segment in segments] == [[0, 2], [4, 6], [1, 3], [5]]
    assert {(segment.begin, segment.end) for segment in segments} == {(0, 900)}


def test_a_sweep_goes_on_where_its_segments_end():
    search = Everything(task(6, at_once=2))
    first = search.following([])
    assert search.following([Known(first[0], [0.0, 0.0])]) == first[1:]


def value(point):
    return point.values["agent.x"]


def test_halving_lets_a_third_go_on_from_rung_to_rung():
    segments = run(Halving(task(9, at_once=9), 3, (100, 300, 900)), value)
    assert [(numbers(each), each.begin, each.end) for each in segments] == [
        (list(range(9)), 0, 100),
        ([8, 7, 6], 100, 300),
        ([8], 300, 900),
    ]
    assert segments[1].sources == (Source(0, 8), Source(0, 7), Source(0, 6))
    assert segments[2].sources == (Source(1, 0),)


def test_places_of_those_left_behind_are_taken_by_new_points_and_promotions_wait_until_they_fill_a_population():
    """27 points, 9 at once: three populations of new ones, and then one of the 9 best."""
    segments = run(Halving(task(27, at_once=9), 3, (100, 300, 900)), value)
    assert [(len(each.points), each.end) for each in segments] == [
        (9, 100), (9, 100), (9, 100), (9, 300), (3, 900)
    ]  # fmt: skip
    assert sorted(numbers(segments[3])) == list(range(18, 27))
    assert sorted(numbers(segments[4])) == [24, 25, 26]
    assert all(len(each.points) == 9 for each in segments[:4])


def test_halving_is_asynchronous_a_rung_that_fills_a_population_is_climbed_at_once():
    segments = run(Halving(task(12, at_once=2), 3, (100, 900)), value)
    ends = [each.end for each in segments]
    assert ends.index(900) == 3  # of the first 6 points 2 climb, before the other 6 begin
    assert numbers(segments[3]) == [5, 4]
    # The best of all has climbed in the end.
    assert 11 in numbers(segments[-1])


def test_several_workers_get_several_segments():
    search = Halving(task(12, at_once=3, workers=2), 3, (100, 900))
    assert [numbers(each) for each in search.following([])] == [[0, 1, 2], [3, 4, 5]]


def test_what_has_diverged_never_climbs():
    segments = run(Halving(task(9, 9), 3, (100, 900)), lambda point: -math.inf if point.number else 0.0)
    assert [numbers(each) for each in segments] == [list(range(9)), [0]]
    assert len(run(Halving(task(9, 9), 3, (100, 900)), lambda point: -math.inf)) == 1


def test_static_parts_are_compared_with_each_other_but_trained_apart():
    segments = run(Halving(task(12, at_once=6, parts=2), 3, (300, 900)), value)
    assert [numbers(each) for each in segments[2:]] == [[11, 9], [10, 8]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((900, 3, 9, None), (100, 300, 900)),
        ((900, 3, 26, None), (100, 300, 900)),
        ((900, 3, 3, None), (300, 900)),
        ((1000, 2, 2, None), (500, 1000)),
        ((1000, 3, 99, 100), (100, 300, 900, 1000)),
    ],
)
def test_rungs(arguments, expected):
    assert rungs_for(*arguments) == expected


def test_halving_costs_what_its_rungs_say():
    assert Halving(task(9, 9), 3, (100, 300, 900)).cost() == 9 * 100 + 3 * 200 + 1 * 600


RATE = Axis("agent.x", (), "linear", 0.0, 10.0)


def test_population_based_training_copies_the_best_onto_the_worst_and_moves_them():
    search = PopulationBased(task(8, at_once=8), exploits=2, axes=[RATE], seed=0)
    segments = run(search, value)
    assert [(each.begin, each.end) for each in segments] == [(0, 300), (300, 600), (600, 900)]
    second = segments[1]
    assert numbers(second) == list(range(8))
    assert second.sources[2:] == tuple(Source(0, slot) for slot in range(2, 8))
    for slot in (0, 1):  # the worst two copy one of the best two
        copied = second.sources[slot].slot
        assert copied in (6, 7)
        assert value(second.points[slot]) in (pytest.approx(copied * 0.8), pytest.approx(copied * 1.25))
    assert [value(point) for point in second.points[2:]] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert run(search, value) == segments  # as often as it is asked


def test_two_points_are_a_population():
    second = run(PopulationBased(task(2, 2), 1, [RATE], 0), value)[1]
    assert [source.slot for source in second.sources] == [1, 1]


def test_exploring_stays_within_the_axis():
    rng = np.random.default_rng(0)
    grid = Axis("agent.y", (1, 2, 3))
    moved = [explored({"agent.x": 9.0, "agent.y": 3, "agent.z": 5}, [RATE, grid], rng) for _ in range(64)]
    assert {each["agent.x"] for each in moved} == {7.2, 10.0}
    assert {each["agent.y"] for each in moved} == {2, 3}
    assert {each["agent.z"] for each in moved} == {5}


def test_optuna_asks_for_populations_and_finds_the_best_corner():
    pytest.importorskip("optuna")
    from rlx.sweeps.optuna_search import OptunaSearch

    axes = [RATE, Axis("agent.y", ("a", "b")), Axis("agent.k", (1, 2, 3, 4), "int", 1, 4)]
    search = OptunaSearch(task(0, at_once=8), axes, num_points=48, population=8, seed=0)
    score = lambda point: -abs(value(point) - 8.0) + (point.values["agent.y"] == "b") + point.values["agent.k"] / 4  # noqa: E731
    segments = run(search, score)
    assert [numbers(each) for each in segments] == [list(range(first, first + 8)) for first in range(0, 48, 8)]
    late = [point for segment in segments[3:] for point in segment.points]
    assert np.mean([value(point) for point in late]) == pytest.approx(8.0, abs=1.5)
    assert np.mean([point.values["agent.y"] == "b" for point in late]) > 0.7
    assert run(search, score) == segments
