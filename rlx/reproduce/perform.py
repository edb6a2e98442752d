"""Run a table's jobs, one after the other, and show how far the whole table is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console as Terminal
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from rlx.errors import ConfigurationError
from rlx.loggers.console import duration
from rlx.loggers.display import Display
from rlx.reproduce.jobs import Job, job_folder
from rlx.runner.interrupt import interruptible

# Before this much is done, compiling is most of what the time was spent on.
_TELLING_SHARE = 0.01


def perform(title: str, jobs: Sequence[Job], parent: Path, terminal: Terminal | None = None) -> Mapping[str, Path]:
    """Run what is not finished yet, each job in its folder below ``parent``.

    Args:
        title: what runs, for the display.
        jobs: with names of their own.
        parent: folder of the table.
        terminal: where to show progress; standard output unless given.

    Returns:
        Job name -> folder, every job finished.

    Raises:
        ConfigurationError: if a job cannot run; nothing is computed then.
        RunFailed: if a training's numbers are no longer finite; what was done stays.
        KeyboardInterrupt: if somebody pressed Ctrl-C; what was done is saved.
    """
    folders = _folders(jobs, parent)
    with interruptible() as interrupted, _TableProgress(title, jobs, folders, terminal) as progress:
        for job in jobs:
            if job.finished(folders[job.name]):
                continue
            progress.start(job)
            done = job.run(folders[job.name], progress.share)
            if done:
                progress.share(1.0)
            if interrupted.is_set() or not done:
                raise KeyboardInterrupt
    return folders


def _folders(jobs: Sequence[Job], parent: Path) -> dict[str, Path]:
    """The folder of each job, by its name.

    Raises:
        ConfigurationError: if two jobs share a name, or one that is not finished cannot run.
    """
    names = [job.name for job in jobs]
    for name in names:
        if names.count(name) > 1 or "/" in name or not name:
            raise ConfigurationError(f"a job is called {name!r}; give each a name of its own, without /")
    folders = {job.name: job_folder(job, parent) for job in jobs}
    for job in jobs:
        if not job.finished(folders[job.name]):
            job.check()
    return folders


class _TableProgress:
    """A context manager that shows the share of the table that is done, weighing jobs by their expected cost."""

    def __init__(self, title: str, jobs: Sequence[Job], folders: Mapping[str, Path], terminal: Terminal | None) -> None:
        self._title, self._total, self._num_jobs = title, sum(job.weight for job in jobs), len(jobs)
        finished = [job for job in jobs if job.finished(folders[job.name])]
        self._num_done, self._done = len(finished), sum(job.weight for job in finished)
        self._spent = sum(job.seconds(folders[job.name]) for job in jobs)  # by all, before this moment
        self._job: Job | None = None
        self._current = 0.0  # share of that job
        self._start = monotonic()
        self._display = Display(self._render, self._summary, terminal)

    def __enter__(self) -> Self:
        left = self._num_jobs - self._num_done
        self._display.start(f"{self._title}: {left} of {self._num_jobs} runs to do")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop(f"{'done' if kind is None else 'stopped'}: {self._summary()}")

    def start(self, job: Job) -> None:
        """Say that ``job`` runs now."""
        if self._job:
            self._num_done, self._done = self._num_done + 1, self._done + self._job.weight
        self._job, self._current = job, 0.0
        self._display.tick()

    def share(self, share: float) -> None:
        """Say how far the job that runs is, in [0, 1]."""
        self._current = share
        self._display.tick()

    def _share(self) -> float:
        running = self._job.weight * self._current if self._job else 0.0
        return (self._done + running) / self._total if self._total else 1.0

    def _timing(self) -> list[str]:
        """Time elapsed and left; what was done earlier counts with the time it took then."""
        elapsed, share = monotonic() - self._start, self._share()
        left = (self._spent + elapsed) * (1.0 - share) / share if share >= _TELLING_SHARE else None
        return [
            f"{duration(elapsed)} elapsed",
            *([f"{duration(left)} left"] if left is not None and share < 1.0 else []),
        ]

    def _state(self) -> list[str]:
        number = self._num_done + (self._job is not None)
        return [f"{100 * self._share():.0f} %", f"run {min(number, self._num_jobs)} of {self._num_jobs}"]

    def _summary(self) -> str:
        """The state in one plain line."""
        return ", ".join([*self._state(), *([self._job.name] if self._job else []), *self._timing()])

    def _render(self) -> Group:
        """Two live lines: the table and the job that runs; how far, how long."""
        head = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        if self._job:
            head.append(f"   {self._job.name}", style="not bold magenta")
        texts = [*self._state(), *self._timing()]
        row = Grid.grid(padding=(0, 2, 0, 0))
        for _ in range(len(texts) + 1):
            row.add_column(no_wrap=True)
        width = max(10, min(40, self._display.width - 50))
        row.add_row(ProgressBar(1.0, self._share(), width=width), *texts)
        return Group(head, row)
