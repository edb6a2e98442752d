import sys

import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.report.curves import learning_curves_figure, panels_figure, plot_learning_curves
from rlx.report.runs import RunRecords

STEPS = np.array([0, 1000, 500_000, 1_000_000])


def curve(members):
    return STEPS, np.random.default_rng(members).normal(size=(members, 4)).cumsum(axis=1)


def test_formats_follow_the_suffixes(tmp_path):
    for name in ("curve.png", "curve.svg"):
        plot_learning_curves({"ppo": curve(3), "sac": curve(8)}, tmp_path / name, title="brax/ant")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "curve.svg").read_text()


def test_the_same_data_make_the_same_file(tmp_path):
    for name in ("one.svg", "two.svg"):
        plot_learning_curves({"ppo": curve(3)}, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_is_drawn():
    values = np.array([[0.0, 1.0, 2.0, 3.0], [0.0, 3.0, 4.0, np.nan]])
    curves = {"two": (STEPS, values), "eight": curve(8), "one": curve(1)}
    figure = learning_curves_figure(curves, "brax/ant", "score", references={"paper": 2.0})
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "brax/ant"
    lines = {line.get_label(): line for line in axes.lines}
    # The mean of two values, at the three steps where both exist.
    np.testing.assert_array_equal(lines["two (n = 2)"].get_xydata(), [[0, 0.0], [1000, 2.0], [500_000, 3.0]])
    assert "eight (n = 8)" in lines
    assert "one (n = 1)" in lines
    assert len(axes.lines) == 3 + 2 + 1  # the curves, two thin members, the reference
    assert len(axes.collections) == 2  # one member has no band
    # Both members are resampled alone with probability 1/4 each: the band reaches them.
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == 4.0
    assert axes.get_ylabel() == "score"
    assert axes.xaxis.get_major_formatter()(500_000) == "500k"
    assert "paper" in [text.get_text() for text in axes.texts]


def test_a_curve_without_a_whole_step_is_named(tmp_path):
    with pytest.raises(ValueError, match="'ppo' has no step"):
        plot_learning_curves({"ppo": (STEPS, np.full((2, 4), np.nan))}, tmp_path / "curve.png")


def test_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rlx\[report\]'"):
        plot_learning_curves({"ppo": curve(3)}, tmp_path / "curve.png")


def test_panels_stand_side_by_side():
    figure = panels_figure({"return": {"td3": curve(3)}, "mean |a|": {"td3": curve(2), "sac": curve(2)}}, "brax/ant")
    assert [axes.get_ylabel() for axes in figure.axes] == ["return", "mean |a|"]
    assert [len(axes.get_legend().get_texts()) for axes in figure.axes] == [1, 2]


def run_with(folder, **metrics):
    """A run of one member whose rows hold these."""
    rows = [{"member": 0, "step": step, "evaluation/return_mean": 1.0, **metrics} for step in (0, 10)]
    return RunRecords(folder, {"env": {"name": "brax/ant"}, "agent": {"name": folder.name}}, {}, rows)


def test_the_use_of_actions_is_plotted_beside_the_return(tmp_path, monkeypatch):
    import plot

    drawn = {}
    monkeypatch.setattr(
        plot, "save_as", lambda figure, path: drawn.update(labels=[a.get_ylabel() for a in figure.axes])
    )
    used = {"evaluation/action_size": 0.1, "evaluation/action_change": 0.2, "evaluation/action_near_limit": 0.0}
    runs = [run_with(tmp_path / "td3", **used, **{"evaluation/power": 3.0}), run_with(tmp_path / "sac", **used)]
    plot.draw(runs, tmp_path / "curve.png", actions=True)
    assert drawn["labels"] == ["return", "mean |a|", "mean |a_t - a_(t-1)|", "share of |a| above 0.95"]
    plot.draw(runs[:1], tmp_path / "curve.png", actions=True)
    assert drawn["labels"][-1] == "power"
    with pytest.raises(ConfigurationError, match="no measures of continuous actions"):
        plot.draw([run_with(tmp_path / "dqn")], tmp_path / "curve.png", actions=True)
