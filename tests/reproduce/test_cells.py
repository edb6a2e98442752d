"""Asking a table's cells, and their statistics."""

import numpy as np
import pytest

from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table


def cells(statistic="iqm"):
    found = [
        Cell({"method": method, "width": width}, "return", scores, published)
        for method, width, scores, published in (
            ("log", 1, [0, 1, 3, 100], 2.5),
            ("log", 2, [4, 4, 4, 4], None),
            ("regular", 1, [7], 0.0),
        )
    ]
    return Cells((*found, Cell({"method": "log", "width": 1}, "length", [9, 11])), statistic)


def test_the_centre_is_the_statistic_of_the_table():
    np.testing.assert_array_equal(cells().centre(), [2.0, 4.0, 7.0, 10.0])  # a quarter is cut at either end
    np.testing.assert_array_equal(cells("mean").centre(), [26.0, 4.0, 7.0, 10.0])


def test_intervals_and_published_numbers():
    intervals = cells("mean").interval()
    assert intervals[0, 0] < 26.0 < intervals[0, 1]
    np.testing.assert_array_equal(intervals[1:], [[4.0, 4.0], [np.nan, np.nan], [9.0, 11.0]])
    np.testing.assert_array_equal(cells().published(), [2.5, np.nan, 0.0, np.nan])


def test_cells_are_asked_by_setting_and_metric():
    assert [cell.metric for cell in cells().where(method="log", width=1)] == ["return", "length"]
    assert len(cells().where(metric="return")) == 3
    assert cells("mean").where(width=2).centre() == [4.0]
    assert cells().one(method="log", width=1, metric="length").scores.tolist() == [9.0, 11.0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"method": "lgo"}, "no cell has method='lgo'; there is method: 'log', 'regular'"),
        ({"method": "regular", "width": 2}, "no cell has method='regular', width=2; there is method: .*; width: 1, 2"),
        ({"size": 1}, "no cell has size=1; there is method: .*; width: .*; metric: 'return', 'length'"),
        ({"width": 1, "method": "log"}, "2 cells have width=1, method='log', such as .*'return'.* and .*'length'"),
    ],
)
def test_what_is_not_found_is_named(query, message):
    with pytest.raises(LookupError, match=message):
        cells().one(**query)


@pytest.mark.parametrize("scores", [[], 3.0, [[1.0, 2.0]]])
def test_scores_are_one_a_seed(scores):
    with pytest.raises(ValueError, match=r"scores of \(width=1, metric='return'\) have the shape"):
        Cell({"width": 1}, "return", scores)


@pytest.mark.parametrize("wrong", [{"scales": {}}, {"scales": {"large": Scale(1, "", "")}}, {"statistic": "median"}])
def test_a_table_that_cannot_be_is_refused(wrong):
    sound = {"scales": {"small": Scale(1, "", "")}, "statistic": "mean"}
    with pytest.raises(ValueError, match=r"give (some|one) of"):
        Table("t", "p", "s", jobs=lambda scale: [], cells=lambda scale, folders: [], **(sound | wrong))
    claim = Claim("", "", lambda cells: Outcome(True, ""), scales=("tiny",))
    with pytest.raises(ValueError, match="give some of small, paper"):
        Table("t", "p", "s", jobs=lambda scale: [], cells=lambda scale, folders: [], claims=(claim,), **sound)
