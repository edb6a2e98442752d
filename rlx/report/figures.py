"""What all figures share: colours, bands, and files that are the same for the same data."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rlx.errors import ConfigurationError
from rlx.report.statistics import STATISTICS, stratified_bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without yellow, which is faint on white: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def require_matplotlib() -> None:
    """Refuse to plot without matplotlib.

    Raises:
        ConfigurationError: if it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigurationError("plots need matplotlib: pip install 'rlx[report]'") from error


def new_figure(
    num_rows: int = 1, num_columns: int = 1, width: float = 6.4, height: float = 4.0, share: bool = False
) -> "tuple[Figure, np.ndarray]":
    """An empty figure and its axes ``[num_rows, num_columns]``.

    Args:
        num_rows: rows of plots.
        num_columns: columns of plots.
        width: of the whole figure, in inches.
        height: of the whole figure, in inches.
        share: give all plots the same ranges.

    Raises:
        ConfigurationError: if matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(num_rows, num_columns, squeeze=False, sharex=share, sharey=share)


def save(figure: "Figure", stem: Path) -> None:
    """Write ``<stem>.png``."""
    save_as(figure, stem.with_name(stem.name + ".png"))


def save_as(figure: "Figure", path: Path) -> None:
    """Write ``path``, whose suffix chooses the format; the same figure gives the same bytes."""
    import matplotlib

    # A fixed salt and no date.
    with matplotlib.rc_context({"svg.hashsalt": "rlx"}):
        figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)


def draw_band(
    axes: "Axes", x: ArrayLike, scores: ArrayLike, label: str, colour: str, style: str = "-", statistic: str = "iqm"
) -> None:
    """Draw a statistic over runs as a line, and its 95 % bootstrap interval as a band where there are several runs.

    Args:
        axes: where to draw.
        x: positions ``[X]``.
        scores: ``[X, runs]``, finite.
        label: for the legend.
        colour: of line and band.
        style: of the line.
        statistic: ``"iqm"`` or ``"mean"``.
    """
    over_runs = STATISTICS[statistic]
    tasks = np.asarray(scores, np.float64)[:, :, None]  # [X, runs, 1]: every position is a matrix of runs on one task
    axes.plot(x, over_runs(tasks), style, color=colour, linewidth=1.8, label=label)
    if tasks.shape[1] > 1:
        bands = np.array([stratified_bootstrap_interval(task, over_runs) for task in tasks])
        axes.fill_between(x, bands[:, 0], bands[:, 1], color=colour, alpha=0.18, linewidth=0)


def tidy(axes: "Axes", title: str, xlabel: str, ylabel: str) -> None:
    """Name the axes, draw a grid behind the lines, and leave out the frame's upper and right edge."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(xlabel, fontsize=10)
    axes.set_ylabel(ylabel, fontsize=10)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
