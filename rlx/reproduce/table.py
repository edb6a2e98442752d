"""What a table of a paper is: the runs behind it, its cells with their published numbers, and its claims."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rlx.report.statistics import STATISTICS, stratified_bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rlx.reproduce.jobs import Job

SCALES = ("small", "paper")
NOTHING_PUBLISHED = "no published numbers"

Setting = Mapping[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is computed.

    Attributes:
        seeds: independent runs of each cell.
        budget: of one run, in words, such as ``"10,000 sweeps"``.
        cost: of the whole table, in words, such as ``"2 min on 2 cores"``.
        options: whatever the table's own functions read of a scale.
    """

    seeds: int
    budget: str
    cost: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One number of the table.

    Attributes:
        setting: what tells it from the others, column name -> value.
        metric: what is measured.
        scores: float64 ``[seeds]``, one a run; any array of that length is taken.
        published: the paper's number, if it has one.
    """

    setting: Setting
    metric: str
    scores: np.ndarray
    published: float | None = None

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, np.float64)
        if scores.ndim != 1 or scores.size == 0:
            raise ValueError(f"scores of {_words(self)} have the shape {scores.shape}; give [seeds], at least one")
        object.__setattr__(self, "scores", scores)


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a table, in its order, and the statistic that sums up the scores of each."""

    cells: tuple[Cell, ...]
    statistic: str = "iqm"

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def where(self, **query: str | int | float) -> "Cells":
        """The cells whose setting has these values; ``metric=`` asks for the metric.

        Raises:
            LookupError: if there is none, so that a claim about nothing cannot hold.
        """
        found = tuple(cell for cell in self.cells if _matches(cell, query))
        if not found:
            raise LookupError(f"no cell has {_asked(query)}; there is {_values(self.cells, query)}")
        return Cells(found, self.statistic)

    def one(self, **query: str | int | float) -> Cell:
        """The only cell whose setting has these values.

        Raises:
            LookupError: if there is none, or more than one.
        """
        found = self.where(**query).cells
        if len(found) > 1:
            raise LookupError(
                f"{len(found)} cells have {_asked(query)}, such as {_words(found[0])} and {_words(found[1])}"
            )
        return found[0]

    def centre(self) -> np.ndarray:
        """The statistic of each cell, ``[cells]``."""
        return np.array([float(STATISTICS[self.statistic](cell.scores[:, None])) for cell in self.cells])

    def interval(self) -> np.ndarray:
        """The 95 % bootstrap interval of the statistic of each cell, ``[cells, 2]``; NaN for a single score."""
        over_runs = STATISTICS[self.statistic]
        return np.array(
            [
                stratified_bootstrap_interval(cell.scores[:, None], over_runs) if cell.scores.size > 1 else [np.nan] * 2
                for cell in self.cells
            ]
        )

    def published(self) -> np.ndarray:
        """The paper's numbers, ``[cells]``; NaN where it has none."""
        return np.array([np.nan if cell.published is None else cell.published for cell in self.cells])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a claim.

    Attributes:
        holds: None if it cannot be decided at this budget.
        measured: what was found, in words and numbers.
    """

    holds: bool | None
    measured: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something the paper says that can be checked.

    Attributes:
        statement: what the paper says.
        criterion: when it counts as reproduced.
        check: the criterion as a function of the cells.
        scales: the scales it is checked at.
    """

    statement: str
    criterion: str
    check: Callable[[Cells], Outcome]
    scales: tuple[str, ...] = SCALES


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, or the numbers behind a figure, of a paper.

    Attributes:
        title: what it shows.
        paper: authors, year and title or link.
        source: where the published numbers come from, or ``NOTHING_PUBLISHED``.
        scales: ``"small"`` (fits two cores) and ``"paper"`` (the original budget), or one of them.
        jobs: what must be computed at a scale, whose ``seeds`` may have been changed on the command line.
        cells: the numbers, from the scale and each job's folder by its name; every job is finished by then.
        claims: what is checked.
        figures: name -> figure, from the cells and the jobs' folders.
        statistic: of the scores of a cell, ``"iqm"`` (interquartile mean) or ``"mean"``.
        notes: what is reduced, and other caveats, in Markdown; where a file ``<table>.md`` lies beside the table's,
            that is taken.
    """

    title: str
    paper: str
    source: str
    scales: Mapping[str, Scale]
    jobs: "Callable[[Scale], Sequence[Job]]"
    cells: Callable[[Scale, Mapping[str, Path]], Sequence[Cell]]
    claims: tuple[Claim, ...] = ()
    figures: "Callable[[Cells, Mapping[str, Path]], Mapping[str, Figure]] | None" = None
    statistic: Literal["mean", "iqm"] = "iqm"
    notes: str = ""

    def __post_init__(self) -> None:
        if not self.scales or not set(self.scales) <= set(SCALES):
            raise ValueError(f"scales are {list(self.scales)}; give some of {', '.join(SCALES)}")
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic is {self.statistic!r}; give one of {', '.join(STATISTICS)}")
        for claim in self.claims:
            if not set(claim.scales) <= set(SCALES):
                raise ValueError(f"a claim has the scales {claim.scales}; give some of {', '.join(SCALES)}")


def _matches(cell: Cell, query: Setting) -> bool:
    has = {"metric": cell.metric, **cell.setting}
    return all(name in has and has[name] == value for name, value in query.items())


def _asked(query: Setting) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in query.items())


def _words(cell: Cell) -> str:
    return f"({_asked({**cell.setting, 'metric': cell.metric})})"


def _values(cells: Sequence[Cell], query: Setting) -> str:
    """What the asked names can be, or all names where an asked one is unknown; for a message."""
    values: dict[str, dict[str | int | float, None]] = {}
    for cell in cells:
        for name, value in {**cell.setting, "metric": cell.metric}.items():
            values.setdefault(name, {})[value] = None
    names = query if set(query) <= set(values) else values
    return "; ".join(f"{name}: {', '.join(repr(value) for value in values[name])}" for name in names)
