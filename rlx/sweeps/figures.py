"""Sensitivity: how a sweep's score depends on each hyperparameter, and on each two of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure, save, tidy
from rlx.sweeps.results import Result
from rlx.sweeps.space import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where an axis has more values than this, as after random draws, neighbours are taken together.
MOST_VALUES = 12
# Heat maps are of each two of the first so many axes.
MAPPED_AXES = 4


def write_figures(sweep: Path, axes: Sequence[Axis], found: Sequence[Result]) -> list[str]:
    """Write ``sensitivity.png``, a curve for each axis, and ``heat.png``, a map for each two; return their names."""
    scored = [result for result in found if np.isfinite(result.score)]
    if not scored:
        return []
    _sensitivity(sweep, axes, scored)
    pairs = list(itertools.combinations(axes[:MAPPED_AXES], 2))
    if pairs:
        _heat(sweep, pairs, scored)
    return ["sensitivity.png", *(["heat.png"] if pairs else [])]


def bins(axis: Axis, found: Sequence[Result]) -> list[tuple[Any, list[Result]]]:
    """Results by the value they have on ``axis``, or by the middle of neighbouring values where these are many."""
    values = [result.point.values[axis.key] for result in found]
    if axis.scale == "" or len({str(value) for value in values}) <= MOST_VALUES:
        distinct = axis.values if axis.scale == "" else sorted(set(values))
        groups = [(value, [r for r, own in zip(found, values, strict=True) if own == value]) for value in distinct]
        return [(value, group) for value, group in groups if group]
    order = sorted(range(len(values)), key=lambda index: values[index])
    parts = np.array_split(np.array(order), MOST_VALUES)
    return [(float(np.median([values[index] for index in part])), [found[index] for index in part]) for part in parts]


def _sensitivity(sweep: Path, axes: Sequence[Axis], scored: Sequence[Result]) -> None:
    figure, panels = new_figure(1, len(axes), width=max(4.2, 3.6 * len(axes)), height=3.4)
    for axis, panel in zip(axes, panels[0], strict=True):
        grouped = bins(axis, scored)
        places = [value for value, _ in grouped] if axis.scale else list(range(len(grouped)))
        _draw_groups(panel, places, [_scores(group) for _, group in grouped])
        _scale(panel, axis, [value for value, _ in grouped])
        tidy(panel, axis.key, "", "return")
    figure.supxlabel("line: mean over all points and seeds with that value; band: 95 % bootstrap interval", fontsize=7)
    save(figure, sweep / "sensitivity")


def _draw_groups(panel: "Axes", places: Sequence[float], groups: Sequence[np.ndarray]) -> None:
    """A band where all values have as many runs, as in a grid; else error bars of the same."""
    from rlx.report.statistics import mean, stratified_bootstrap_interval

    if len({len(group) for group in groups}) == 1 and len(groups) > 1:
        draw_band(panel, places, np.stack(groups), "", COLOURS[0], "-o", statistic="mean")
        return
    middle = np.array([group.mean() for group in groups])
    ends = np.array([stratified_bootstrap_interval(group[:, None], mean) for group in groups])
    errors = np.abs(ends.T - middle)
    panel.errorbar(places, middle, yerr=errors, color=COLOURS[0], marker="o", capsize=2)


def _scores(group: Sequence[Result]) -> np.ndarray:
    return np.concatenate([result.scores for result in group])


def _scale(panel: "Axes", axis: Axis, values: Sequence[Any]) -> None:
    if axis.scale == "log":
        panel.set_xscale("log")
    if axis.scale == "":
        panel.set_xticks(range(len(values)), [_short(value) for value in values], rotation=20, ha="right", fontsize=8)


def _heat(sweep: Path, pairs: Sequence[tuple[Axis, Axis]], scored: Sequence[Result]) -> None:
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, panels = new_figure(rows, columns, width=4.4 * columns, height=3.8 * rows)
    for panel, pair in itertools.zip_longest(panels.flat, pairs):
        if pair is None:
            panel.set_axis_off()
            continue
        values, labels = heat_map(pair[0], pair[1], scored)
        image = panel.imshow(values, origin="lower", aspect="auto", cmap="viridis")
        figure.colorbar(image, ax=panel, label="return")
        panel.set_xticks(range(len(labels[0])), labels[0], rotation=30, ha="right", fontsize=7)
        panel.set_yticks(range(len(labels[1])), labels[1], fontsize=7)
        panel.set_xlabel(pair[0].key)
        panel.set_ylabel(pair[1].key)
    save(figure, sweep / "heat")


def heat_map(first: Axis, second: Axis, scored: Sequence[Result]) -> tuple[np.ndarray, tuple[list[str], list[str]]]:
    """Mean score ``[values of second, values of first]``, NaN where there is none, and how the values are called."""
    across, up = bins(first, scored), bins(second, scored)
    values = np.full((len(up), len(across)), np.nan)
    for row, column in np.ndindex(*values.shape):
        numbers = {result.point.number for result in up[row][1]}
        both = [result.score for result in across[column][1] if result.point.number in numbers]
        values[row, column] = np.mean(both) if both else np.nan
    return values, ([_short(value) for value, _ in across], [_short(value) for value, _ in up])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")
