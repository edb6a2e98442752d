"""What became of a sweep's points, read from its folder: states, scores, curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlx.loggers.jsonl import read_rows
from rlx.report.runs import RunRecords, learning_curves
from rlx.report.statistics import mean, stratified_bootstrap_interval
from rlx.sweeps import segments
from rlx.sweeps.search import Known
from rlx.sweeps.segments import Segment, Sheet
from rlx.sweeps.space import Point


class Result(NamedTuple):
    """A point as it stands.

    Attributes:
        point: with the values that it ended with.
        state: ``"waiting"``, ``"running"``, ``"interrupted"``, ``"finished"``, ``"diverged"``, or, in a
            search, ``"left behind"``.
        steps: environment steps of each of its members.
        scores: mean return at the end, one a seed; NaN where it has diverged; none before there are any.
        curve: steps ``[S]`` and mean returns ``[seeds, S]``, from its first step on.
        place: of its members: the number of the segment, and the place among its points.
    """

    point: Point
    state: str
    steps: int
    scores: np.ndarray
    curve: tuple[np.ndarray, np.ndarray]
    place: tuple[int, int]

    @property
    def score(self) -> float:
        """Mean over seeds; minus infinity where one has diverged, or none is known."""
        return float(self.scores.mean()) if len(self.scores) and np.isfinite(self.scores).all() else -math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the score, over seeds; NaN where there is no score."""
        if not math.isfinite(self.score):
            return math.nan, math.nan
        return stratified_bootstrap_interval(self.scores[:, None], mean)


def known(sweep: Path, segment: Segment, score_share: float) -> Known:
    """A finished segment with the scores of its points."""
    scores = scores_of(sweep, segment, score_share)
    return Known(segment, [float(row.mean()) if np.isfinite(row).all() else -math.inf for row in scores])


def scores_of(sweep: Path, segment: Segment, score_share: float) -> np.ndarray:
    """Mean return of each seed over the last ``score_share`` of what it has been trained, ``[points, seeds]``.

    At least the last evaluation counts; NaN is what has diverged.
    """
    return _late(*curves(sweep, segment), segments.sheet_of(sweep, segment.number), score_share)


def _late(steps: np.ndarray, values: np.ndarray, sheet: Sheet | None, score_share: float) -> np.ndarray:
    late = steps > steps[-1] * (1 - score_share)
    late[-1] = True
    scores = values[:, :, late].mean(axis=-1)
    return np.where(sheet.diverged, np.nan, scores) if sheet else scores


def curves(sweep: Path, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[S]`` and mean returns ``[points, seeds, S]`` of a segment that has logged something."""
    folder = segments.run_folder(sweep, segment.number)
    rows = read_rows(folder / "metrics.jsonl")
    steps, values = learning_curves(RunRecords(folder, {}, {}, rows))
    return steps, values.reshape(len(segment.points), -1, len(steps))


def results(sweep: Path, points: Sequence[Point], total_steps: int, score_share: float, over: bool) -> list[Result]:
    """Every point as it stands, by number.

    Args:
        sweep: the folder.
        points: those that were drawn; a search may have made others.
        total_steps: of a member that is trained to the end.
        score_share: see `scores_of`.
        over: whether nothing comes after what is there.
    """
    noted = segments.read_all(sweep)
    states = {segment.number: segments.state(sweep, segment.number) for segment in noted}
    sheets = {segment.number: segments.sheet_of(sweep, segment.number) for segment in noted}
    logs = {segment.number: curves(sweep, segment) for segment in noted if _has_log(sweep, segment)}
    newest = {point.number: (segment, slot) for segment in noted for slot, point in enumerate(segment.points)}
    scored = {
        number: _late(*log, sheets[number], score_share) for number, log in logs.items() if states[number] == "finished"
    }
    found = {point.number: _untouched(point) for point in points}
    for number, (segment, slot) in newest.items():
        state, scores = states[segment.number], np.zeros(0)
        if state == "finished":
            scores = scored[segment.number][slot]
            state = _ending(scores, segment.end >= total_steps, over)
        curve = _joined(noted, logs, segment, slot)
        steps = int(curve[0][-1]) if len(curve[0]) else 0
        found[number] = Result(segment.points[slot], state, steps, scores, curve, (segment.number, slot))
    return [found[number] for number in sorted(found)]


def ranked(found: Sequence[Result]) -> list[Result]:
    """The best first: by steps where a search left some behind, then by score."""
    return sorted(found, key=lambda result: (result.state != "finished", -result.steps, -result.score))


def _untouched(point: Point) -> Result:
    return Result(point, "waiting", 0, np.zeros(0), (np.zeros(0), np.zeros((0, 0))), (-1, -1))


def _has_log(sweep: Path, segment: Segment) -> bool:
    return bool(read_rows(segments.run_folder(sweep, segment.number) / "metrics.jsonl"))


def _ending(scores: np.ndarray, complete: bool, over: bool) -> str:
    if not np.isfinite(scores).all():
        return "diverged"
    if complete:
        return "finished"
    return "left behind" if over else "waiting"


def _joined(
    noted: Sequence[Segment], logs: Mapping[int, tuple[np.ndarray, np.ndarray]], segment: Segment, slot: int
) -> tuple[np.ndarray, np.ndarray]:
    """The curve of a point, back through the segments that its members come from."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    upto = math.inf
    while True:
        if segment.number in logs:
            steps, values = logs[segment.number]
            parts.append((steps[steps < upto], values[slot][:, steps < upto]))
            upto = min(upto, steps[0])
        if not segment.sources:
            break
        source = segment.sources[slot]
        segment, slot = noted[source.segment], source.slot
    parts.reverse()
    if not parts:
        return np.zeros(0), np.zeros((0, 0))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts], axis=1)


def row_of(result: Result, rank: int) -> dict[str, Any]:
    """The result as a row of a table."""
    low, high = result.interval
    known_score = math.isfinite(result.score)
    return {
        "rank": rank,
        "point": result.point.number,
        **{key: str(value) if isinstance(value, list) else value for key, value in result.point.values.items()},
        "return": result.score if known_score else "",
        "low": low if known_score else "",
        "high": high if known_score else "",
        "seeds": len(result.scores),
        "steps": result.steps,
        "state": result.state,
    }
