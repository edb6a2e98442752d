"""Plot learning curves."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure, save_as, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]
MEMBERS_DRAWN = 5
_CAPTION = "line: interquartile mean over seeds; band: 95 % bootstrap interval"


def plot_learning_curves(curves: Curves, path: Path, title: str = "", ylabel: str = "return") -> None:
    """Write the figure of ``learning_curves_figure``; the suffix of ``path`` chooses the format (.png, .svg, .pdf)."""
    save_as(learning_curves_figure(curves, title, ylabel), path)


def learning_curves_figure(
    curves: Curves, title: str = "", ylabel: str = "return", references: Mapping[str, float] | None = None
) -> "Figure":
    """Draw the interquartile mean over members of each curve, with its 95 % bootstrap interval as a band.

    Where a curve has at most five members each is drawn too, as a thin line. A step at which a member has no
    value is left out of that curve's mean and band.

    Args:
        curves: label -> steps ``[S]`` and values ``[members, S]``, as ``learning_curves`` returns them.
        title: stands above the plot.
        ylabel: what the values are.
        references: label -> height of a horizontal line, such as a published score.

    Raises:
        ConfigurationError: if matplotlib is not installed.
    """
    figure, all_axes = new_figure()
    axes = all_axes[0, 0]
    _draw_curves(axes, curves)
    _draw_references(axes, references or {})
    _finish(axes, title, ylabel)
    figure.supxlabel(_CAPTION, fontsize=7, color="0.45")
    return figure


def panels_figure(panels: Mapping[str, Curves], title: str = "") -> "Figure":
    """Draw several metrics side by side, by the label of their axis, each as ``learning_curves_figure`` does.

    Raises:
        ConfigurationError: if matplotlib is not installed.
    """
    figure, all_axes = new_figure(1, len(panels), width=4.8 * len(panels), height=3.8)
    for axes, (ylabel, curves) in zip(all_axes[0], panels.items(), strict=True):
        _draw_curves(axes, curves)
        _finish(axes, title, ylabel)
    figure.supxlabel(_CAPTION, fontsize=7, color="0.45")
    return figure


def _draw_curves(axes: "Axes", curves: Curves) -> None:
    for index, (label, (steps, values)) in enumerate(curves.items()):
        style = ("-", "--", ":")[index // len(COLOURS) % 3]
        _draw_curve(axes, label, np.asarray(steps), np.asarray(values), COLOURS[index % len(COLOURS)], style)


def _draw_curve(axes: "Axes", label: str, steps: np.ndarray, values: np.ndarray, colour: str, style: str) -> None:
    members, whole = len(values), np.isfinite(values).all(axis=0)
    if not whole.any():
        raise ValueError(f"{label!r} has no step at which every member has a value; leave diverged members out")
    if 1 < members <= MEMBERS_DRAWN:
        axes.plot(steps, values.T, color=colour, linewidth=0.7, alpha=0.4)
    steps, values = steps[whole], values[:, whole]
    draw_band(axes, steps, values.T, f"{label} (n = {members})", colour, style)


def _draw_references(axes: "Axes", references: Mapping[str, float]) -> None:
    for label, height in references.items():
        axes.axhline(height, color="0.35", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        beside = axes.get_yaxis_transform()  # x in shares of the width, y in data
        axes.text(1.01, height, label, transform=beside, va="center", fontsize=8, color="0.35")


def _finish(axes: "Axes", title: str, ylabel: str) -> None:
    from matplotlib.ticker import EngFormatter

    tidy(axes, title, "environment steps", ylabel)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.0)
    axes.legend(edgecolor="none", framealpha=0.85, fontsize=9)
