"""Axes and the points drawn from them, by literal values."""

import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.sweeps.space import Axis, draw, read_axis, read_space

READ = {
    "log(1e-4,1e-2,3)": (0.0001, 0.001, 0.01),
    "log( 1, 16, 5 )": (1.0, 2.0, 4.0, 8.0, 16.0),
    "linear(0,1,5)": (0.0, 0.25, 0.5, 0.75, 1.0),
    "linear(-1,1,2)": (-1.0, 1.0),
    "int(3,6)": (3, 4, 5, 6),
    "[0.97,0.99]": (0.97, 0.99),
    "[[64,64],[256,256]]": ([64, 64], [256, 256]),
    "[ppo, masked_ppo]": ("ppo", "masked_ppo"),
    "[null,0.1]": (None, 0.1),
    "[true,false]": (True, False),
    "[7]": (7,),
}


@pytest.mark.parametrize("written", READ)
def test_an_axis_is_read(written):
    axis = read_axis("agent.x", written)
    assert axis.values == READ[written]
    assert read_axis("agent.x", axis.text).values == READ[written]  # as a sweep's folder notes it


def test_python_gives_lists_and_arrays():
    assert read_axis("agent.x", [1, 2]).values == (1, 2)
    assert read_axis("agent.x", np.array([0.5, 0.25])).values == (0.5, 0.25)
    assert read_axis("agent.x", [(8, 8), (4,)]).values == ([8, 8], [4])


def test_a_grid_has_every_pair_and_its_last_axis_changes_first():
    points = draw(read_space({"a": "[1,2]", "b": "[x,y,z]"}), "grid", None, 0)
    assert [tuple(point.values.values()) for point in points] == [
        (1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")
    ]  # fmt: skip
    assert [point.number for point in points] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("how", ["random", "sobol"])
def test_draws_stay_within_are_repeatable_and_depend_on_the_seed(how):
    axes = read_space({"rate": "log(1e-4,1e-2)", "width": "[8,16,32]", "k": "int(1,9)", "c": "linear(-1,1)"})
    points = draw(axes, how, 64, 3)
    assert points == draw(axes, how, 64, 3) != draw(axes, how, 64, 4)
    rates = [point.values["rate"] for point in points]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert {point.values["width"] for point in points} == {8, 16, 32}
    assert {point.values["k"] for point in points} == set(range(1, 10))


def test_log_draws_are_even_in_the_logarithm():
    """Of a range over 4 decades a quarter lies in each."""
    points = draw(read_space({"a": "log(1e-4,1)"}), "random", 4000, 0)
    decades = np.floor(np.log10([point.values["a"] for point in points]))
    assert [int((decades == decade).sum()) for decade in (-4, -3, -2, -1)] == pytest.approx([1000] * 4, abs=100)


def test_sobol_fills_every_cell_of_a_grid_once():
    """The first 16 points in two dimensions: one in each sixteenth of either axis, whatever the scrambling."""
    points = draw(read_space({"a": "linear(0,1)", "b": "linear(0,1)"}), "sobol", 16, 5)
    for key in ("a", "b"):
        assert sorted(int(16 * point.values[key]) for point in points) == list(range(16))
    assert draw(read_space({"a": "linear(0,1)", "b": "linear(0,1)"}), "sobol", 11, 5) == points[:11]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1e-4), (0.5, 1e-2), (1.0, 1.0)])
def test_a_share_of_a_range(share, value):
    assert Axis("a", (), "log", 1e-4, 1.0).at(share) == pytest.approx(value)


REFUSED = {
    "one value": ("5", "is one value", "write [a,b,c]"),
    "nothing": ("", "is one value", "write [a,b,c]"),
    "an empty list": ("[]", "is empty", "give it a value"),
    "a value twice": ("[1,2,1]", "has 1 twice", "once"),
    "an unknown scale": ("lg(1,2,3)", "unknown scale 'lg'", "did you mean 'log'"),
    "an empty range": ("log(1e-2,1e-4,3)", "is an empty range", "its low end comes first"),
    "a range without width": ("linear(1,1,3)", "is an empty range", "its low end comes first"),
    "a logarithm of nothing": ("log(0,1,3)", "begins above 0", "take linear"),
    "one end": ("log(1)", "is no range", "log(low,high,n)"),
    "too many numbers": ("log(1,2,3,4)", "is no range", "log(low,high,n)"),
    "words for numbers": ("log(a,b)", "is no range", "log(low,high,n)"),
    "no end": ("linear(0,inf,3)", "is no range", "log(low,high,n)"),
    "one of a range": ("log(1,2,1)", "a whole number of values", "2 or more"),
    "half a value": ("log(1,2,2.5)", "a whole number of values", "2 or more"),
    "fractions of whole numbers": ("int(1.5,3)", "are whole numbers", "int"),
    "an open bracket": ("[1,2", "cannot read", "write [a,b,c]"),
    "values without brackets": ("1,2", "cannot read", "write [a,b,c]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_axis_is_refused_in_one_line(case):
    written, mistake, remedy = REFUSED[case]
    with pytest.raises(ConfigurationError) as refusal:
        read_axis("agent.x", written)
    message = str(refusal.value)
    assert "sweep.agent.x" in message
    assert mistake in message
    assert remedy in message
    assert "\n" not in message
