import pytest

from rlx.loggers.pace import Pace


def test_there_is_no_speed_before_there_are_two_samples():
    pace = Pace(1000, now=0.0)
    assert pace.speed() is None
    pace.phase("training", 1.0)
    pace.progress(0, 1.0)
    assert pace.speed() is None
    assert pace.seconds_left() is None


def test_compiling_does_not_count():
    pace = Pace(1000, now=0.0)
    pace.phase("compiling training loop", 0.0)
    pace.phase("training", 40.0)
    pace.progress(0, 40.0)
    pace.progress(100, 42.0)
    pace.phase("compiling evaluation", 42.0)
    pace.phase("training", 90.0)
    pace.progress(200, 92.0)
    assert pace.speed() == 50.0
    assert pace.seconds_left() == 16.0  # 800 steps at 50 a second


def test_a_resumed_run_counts_from_where_it_starts():
    pace = Pace(1_000_000, now=0.0)
    pace.phase("training", 5.0)
    pace.progress(900_000, 5.0)
    pace.progress(901_000, 6.0)
    assert pace.speed() == 1000.0
    assert pace.seconds_left() == 99.0


def test_evaluating_stretches_the_time_left_but_not_the_speed():
    pace = Pace(300, now=0.0)
    pace.phase("evaluating", 0.0)  # the evaluation before training does not come back
    pace.phase("training", 7.0)
    pace.progress(0, 7.0)
    pace.progress(100, 17.0)
    pace.phase("evaluating", 17.0)
    pace.phase("saving", 20.0)
    pace.phase("training", 22.0)
    pace.progress(200, 32.0)
    assert pace.speed() == 10.0
    assert pace.seconds_left() == pytest.approx(10.0 * (1 + 5 / 20))  # 5 s between for 20 s of training


def test_speed_is_that_of_the_last_thirty_seconds():
    pace = Pace(100_000, now=0.0)
    pace.phase("training", 0.0)
    for second in range(100):  # 10 steps a second, then 20
        pace.progress(second * 10, float(second))
    for second in range(100, 140):
        pace.progress(990 + (second - 99) * 20, float(second))
    assert pace.speed() == 20.0


def test_chunks_longer_than_the_window_still_give_a_speed():
    pace = Pace(100_000, now=0.0)
    pace.phase("training", 0.0)
    for chunk in range(4):
        pace.progress(chunk * 100, chunk * 50.0)
    assert pace.speed() == 2.0
