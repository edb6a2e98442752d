"""How far a whole sweep is, and how long it has left: told by who computes here, read from folders elsewhere."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console as Terminal
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid

from rlx.loggers.console import duration
from rlx.loggers.display import Display
from rlx.loggers.jsonl import read_rows
from rlx.sweeps import segments
from rlx.sweeps.segments import Segment

# Before this much is done, compiling is most of what the time was spent on.
_TELLING_SHARE = 0.01


class Told:
    """What a run tells of its progress, as the share that is done, and nothing else."""

    def __init__(self, steps: int, tell: Callable[[float], None]) -> None:
        self._steps, self._tell = steps, tell

    def phase(self, name: str) -> None:
        """Not shown."""

    def progress(self, step: int, training_return: float | None = None) -> None:
        """Tell the share."""
        self._tell(min(1.0, step / self._steps))

    def evaluation(self, step: int, mean: float, low: float, high: float) -> None:
        """Not shown."""

    def message(self, text: str) -> None:
        """Not shown."""


class SweepProgress:
    """A context manager that shows the share of a sweep's steps that is done, and the time left.

    Args:
        title: what is swept.
        total_steps: point-steps of the whole sweep, as far as they are known.
        quiet: show messages only.
        tell: told the share; nothing is shown then.
        terminal: where to show it; standard output unless given.
    """

    def __init__(
        self,
        title: str,
        total_steps: float,
        quiet: bool = False,
        tell: Callable[[float], None] | None = None,
        terminal: Terminal | None = None,
    ) -> None:
        self._title, self._total, self._tell = title, total_steps, tell
        if tell is not None:
            terminal = Terminal(file=io.StringIO())
        self._done = self._running = 0.0
        self._before: float | None = None  # done by earlier commands
        self._start, self._note = monotonic(), ""
        self._display = Display(self._render, self._summary, terminal, quiet)

    def __enter__(self) -> Self:
        self._display.start(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop(f"{'done' if kind is None else 'stopped'}: {self._summary()}")

    def begin(self, done: Sequence[Segment], note: str) -> None:
        """Say which segments are done, before others begin; ``note`` is shown beside the bar."""
        self._done, self._running, self._note = sum(map(cost, done)), 0.0, note
        if self._before is None:
            self._before = self._done
        self._changed()

    def running(self, steps: float) -> None:
        """Say how many point-steps of segments under way are done."""
        self._running = steps
        self._changed()

    def message(self, text: str) -> None:
        """Show a line that stays."""
        self._display.message(text)

    def _changed(self) -> None:
        self._display.tick()
        if self._tell is not None:
            self._tell(self._share())

    def _share(self) -> float:
        return min(1.0, (self._done + self._running) / self._total) if self._total else 1.0

    def _summary(self) -> str:
        """The state in one plain line."""
        elapsed, share = monotonic() - self._start, self._share()
        since = share - (self._before or 0.0) / self._total if self._total else 0.0
        left = elapsed * (1.0 - share) / since if since >= _TELLING_SHARE and share < 1.0 else None
        timing = [f"{duration(elapsed)} elapsed", *([f"{duration(left)} left"] if left is not None else [])]
        return ", ".join([f"{100 * share:.0f} %", *filter(None, [self._note]), *timing])

    def _render(self) -> Grid:
        row = Grid.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            row.add_column(no_wrap=True)
        width = max(10, min(40, self._display.width - 80))
        row.add_row(self._title, ProgressBar(1.0, self._share(), width=width), self._summary())
        return row


def cost(segment: Segment) -> float:
    """Point-steps of a segment."""
    return float((segment.end - segment.begin) * len(segment.points))


def logged(sweep: Path, segment: Segment) -> float:
    """Point-steps of a segment that have been logged, by whatever process."""
    if segments.is_finished(sweep, segment.number):
        return cost(segment)
    rows = read_rows(segments.run_folder(sweep, segment.number) / "metrics.jsonl")
    step = max((row["step"] for row in rows), default=segment.begin)
    return float(max(0, min(step, segment.end) - segment.begin) * len(segment.points))
