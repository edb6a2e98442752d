"""Progress on the terminal: a live bar, or a plain line now and then where there is no terminal."""

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console as Terminal
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rlx.loggers.display import Display
from rlx.loggers.pace import Pace


class Console:
    """A context manager that shows how far a run is, its return, its speed and the time left.

    On a terminal two lines are redrawn in place. Elsewhere (a file, CI) every evaluation prints one line, and
    progress at most one each 10 s.

    Args:
        title: what runs, such as ``"ppo on brax/halfcheetah"``.
        total_steps: environment steps of each member.
        num_members: members of the population; the speed shown is that of all together.
        quiet: show messages only.
        terminal: where to draw; standard output unless given.
    """

    def __init__(
        self,
        title: str,
        total_steps: int,
        num_members: int,
        quiet: bool = False,
        terminal: Terminal | None = None,
    ) -> None:
        self._title = title + (f" · {num_members} members" if num_members > 1 else "")
        self._total_steps, self._num_members = total_steps, num_members
        self._display = Display(self._render, self._summary, terminal, quiet)
        self._start = monotonic()
        self._pace = Pace(total_steps, self._start)
        self._step, self._phase = 0, "starting"
        self._evaluated = self._trained = ""

    def __enter__(self) -> Self:
        """Start showing progress."""
        self._display.start(f"{self._title}, {count(self._total_steps)} steps")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        self.phase("done" if kind is None else "stopped")
        self._display.stop(f"{self._phase}: {self._summary()}")

    def phase(self, name: str) -> None:
        """Name what the run does now: ``"training"``, ``"evaluating"``, ``"saving"``, ``"compiling ..."``."""
        self._phase = name
        self._pace.phase(name, monotonic())

    def progress(self, step: int, training_return: float | None = None) -> None:
        """Show that every member has taken ``step`` steps.

        Call it once before training too, so that the speed counts from there, after a resume as well.

        Args:
            step: environment steps so far of each member.
            training_return: mean return of the episodes that just ended in training, if any did.
        """
        now = monotonic()
        self._step = step
        self._pace.progress(step, now)
        if training_return is not None:
            self._trained = number(training_return)
        self._display.tick()

    def evaluation(self, step: int, mean: float, low: float, high: float) -> None:
        """Show the last evaluation.

        Args:
            step: environment steps of each member when it was evaluated.
            mean: mean return over members.
            low: lower end of their spread.
            high: upper end; shown is ± half the distance between the two.
        """
        self._step = step
        spread = (high - low) / 2
        size = max(abs(mean), spread)
        self._evaluated = number(mean, size) + (f" ± {number(spread, size)}" if spread else "")
        self._display.line(self._summary())

    def message(self, text: str) -> None:
        """Print a line that stays, above the live progress; also when quiet."""
        self._display.message(text)

    def _timing(self) -> list[str]:
        """Speed, time elapsed and time left, as far as they are known."""
        speed, left = self._pace.speed(), self._pace.seconds_left()
        running = self._phase not in ("done", "stopped")
        return [
            *([f"{count(speed * self._num_members)} steps/s"] if speed is not None else []),
            f"{duration(monotonic() - self._start)} elapsed",
            *([f"{duration(left)} left"] if left is not None and running else []),
        ]

    def _summary(self) -> str:
        """The state in one plain line."""
        share = 100 * self._step / self._total_steps
        parts = [f"step {count(self._step)} of {count(self._total_steps)} ({share:.0f} %)"]
        parts += [f"return {self._evaluated}"] if self._evaluated else []
        parts += [f"training return {self._trained}"] if self._trained else []
        return ", ".join(parts + self._timing())

    def _render(self) -> Group:
        """The two live lines: what runs and its return; how far, how fast, how long and what it does now."""
        head = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        if self._evaluated:
            head.append(f"   return {self._evaluated}", style="not bold green")
        if self._trained:
            head.append(f"   training {self._trained}", style="not bold dim")
        texts = [f"{100 * self._step / self._total_steps:3.0f} %", *self._timing()]
        # Beside the bar 70 columns hold all but the longest texts; the phase alone gives way to those.
        bar = ProgressBar(self._total_steps, self._step, width=max(10, min(40, self._display.width - 70)))
        row = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(len(texts) + 1):
            row.add_column(no_wrap=True)
        row.add_row(bar, *texts, Text(self._phase, style="magenta", no_wrap=True, overflow="ellipsis"))
        return Group(head, row)


def count(value: float) -> str:
    """A count in three digits: ``"950"``, ``"48.2k"``, ``"1M"``."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:  # what rounds up to the next suffix belongs to it
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def number(value: float, size: float | None = None) -> str:
    """A return in about three digits and never an exponent: ``"0.85"``, ``"42.1"``, ``"1520"``.

    Args:
        value: to be written.
        size: magnitude that decides on the digits of numbers that stand together; that of ``value`` if None.
    """
    size = abs(value) if size is None else size
    return f"{value:.{2 if size < 10 else 1 if size < 100 else 0}f}"


def duration(seconds: float) -> str:
    """A time span as ``"0:42"`` or ``"3:07:42"``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
