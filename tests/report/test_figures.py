import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure, save, tidy


def drawn(scores, **options):
    figure, axes = new_figure(2, 3, share=True)
    assert axes.shape == (2, 3)
    draw_band(axes[1, 2], [0, 10], scores, "label", COLOURS[0], **options)
    return figure, axes[1, 2]


def test_a_line_is_the_statistic_over_runs():
    scores = [[0.0, 1.0, 3.0, 100.0], [2.0, 2.0, 2.0, 2.0]]
    for options, height in (({}, 2.0), ({"statistic": "mean"}, 26.0)):
        _, axes = drawn(scores, **options)
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, height], [10, 2.0]])
        assert axes.lines[0].get_label() == "label"


def test_a_band_is_the_bootstrap_interval():
    # Either of two runs is drawn twice with probability 1/4, so 95 % reach from one to the other.
    _, axes = drawn([[1.0, 3.0], [5.0, 5.0]])
    (band,) = axes.collections
    vertices = band.get_paths()[0].vertices
    assert set(vertices[vertices[:, 0] == 0, 1]) == {1.0, 3.0}
    assert set(vertices[vertices[:, 0] == 10, 1]) == {5.0}


def test_one_run_has_no_band():
    assert len(drawn([[1.0], [2.0]])[1].collections) == 0


def test_the_same_figure_gives_the_same_files(tmp_path):
    for name in ("one", "v0.5"):
        figure, axes = drawn([[1.0, 3.0], [5.0, 5.0]])
        tidy(axes, "title", "x", "y")
        save(figure, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "v0.5.png"]
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "v0.5.png").read_bytes()
