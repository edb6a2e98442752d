import numpy as np
import pytest

from rlx.teaching.presses import Press, word_of


def heard(presses, step):
    word = word_of(presses, step)
    return [float(word.value[0]), int(word.trace[0]), int(word.lag[0])]


def test_presses_of_one_step_add_up_and_the_strongest_chooses_the_trace():
    """Oracle 4: +1, +4 and -1, with 4 on the second trace."""
    assert heard([Press(1, 0, 6), Press(4, 1, 6), Press(-1, 0, 6)], step=7) == [4, 1, 0]


def test_nothing_pressed_is_nothing_heard():
    assert heard([], step=7) == [0, 0, 0]


@pytest.mark.parametrize(("shown", "lag"), [(6, 0), (5, 1), (0, 6), (7, 0)])
def test_the_lag_is_how_old_the_frame_was(shown, lag):
    assert heard([Press(-1, 2, shown)], step=7) == [-1, 2, lag]


def test_a_frame_from_long_ago_is_no_frame():
    np.testing.assert_array_equal(heard([Press(1, 0, 0)], step=1_000), [1, 0, 16])
