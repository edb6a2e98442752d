"""The parts that a sweep is computed in: points of one program, trained side by side from one step to another.

A *segment* is a run in a folder of its own: with checkpoints, resumed where it was stopped, and locked while a process
is at it. A sweep without a search is one segment a batch of points, from the first step to the last. A search adds
segments as it sees results, and their members may begin where others ended.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rlx.errors import ConfigurationError
from rlx.runner.folder import write_atomically
from rlx.runner.lock import Taken, locked
from rlx.sweeps.space import Point

FINISHED = "finished.json"


class Source(NamedTuple):
    """Where a point's members begin: with the states of the point in place ``slot`` at the end of a segment."""

    segment: int
    slot: int


@dataclasses.dataclass(frozen=True)
class Segment:
    """Points trained side by side.

    Attributes:
        number: in the sweep.
        points: all of one static part.
        begin: environment steps of each member before it.
        end: those after it, at least; rounded up to whole iterations.
        sources: where each point begins; none if all of them begin anew.
    """

    number: int
    points: tuple[Point, ...]
    begin: int
    end: int
    sources: tuple[Source, ...] = ()


class Sheet(NamedTuple):
    """What is known at the end of a segment: of each point, whether each seed has diverged, and the wall time."""

    diverged: list[list[bool]]
    seconds: float


def run_folder(sweep: Path, number: int) -> Path:
    """The run folder of a segment."""
    return sweep / "runs" / f"{number:05d}"


def write(sweep: Path, segment: Segment) -> None:
    """Note the segment in the sweep's folder."""
    (sweep / "segments").mkdir(exist_ok=True)
    write_atomically(_file(sweep, segment.number), json.dumps(dataclasses.asdict(segment)) + "\n")


def read(sweep: Path, number: int) -> Segment:
    """A noted segment.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    file = _file(sweep, number)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        points = tuple(Point(*point) for point in found.pop("points"))
        return Segment(points=points, sources=tuple(Source(*source) for source in found.pop("sources")), **found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{file} is damaged; remove {sweep} and sweep again") from error


def read_all(sweep: Path) -> list[Segment]:
    """All noted segments, in order."""
    return [read(sweep, int(file.stem)) for file in sorted((sweep / "segments").glob("*.json"))]


def finish(sweep: Path, number: int, sheet: Sheet) -> None:
    """Note that a segment is done."""
    write_atomically(run_folder(sweep, number) / FINISHED, json.dumps(sheet._asdict()) + "\n")


def sheet_of(sweep: Path, number: int) -> Sheet | None:
    """What is known of a segment at its end; ``None`` before."""
    file = run_folder(sweep, number) / FINISHED
    return Sheet(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def is_finished(sweep: Path, number: int) -> bool:
    """Whether the segment is done."""
    return (run_folder(sweep, number) / FINISHED).exists()


def saved_step(sweep: Path, number: int) -> int:
    """Step of the segment's newest checkpoint; -1 if there is none."""
    saved = (run_folder(sweep, number) / "checkpoints").glob("*")
    return max((int(path.name) for path in saved if path.name.isdigit()), default=-1)


def state(sweep: Path, number: int) -> str:
    """``"finished"``, ``"running"``, ``"interrupted"`` or ``"waiting"``: as its folder is found, noted nowhere."""
    folder = run_folder(sweep, number)
    if is_finished(sweep, number):
        return "finished"
    if not folder.exists():
        return "waiting"
    try:
        with locked(folder):
            return "interrupted" if (folder / "config.yaml").exists() else "waiting"
    except Taken:
        return "running"


def unfinished(sweep: Path, segments: Sequence[Segment]) -> list[int]:
    """Numbers of the segments that are not done."""
    return [segment.number for segment in segments if not is_finished(sweep, segment.number)]


def _file(sweep: Path, number: int) -> Path:
    return sweep / "segments" / f"{number:05d}.json"
