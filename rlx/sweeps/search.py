"""Searches: from what is known of a sweep's segments to those that come next.

Each is a function of what is known, and of nothing else: a search that was stopped goes on from its folder.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from rlx.sweeps.segments import Segment, Source
from rlx.sweeps.space import Axis, Point

# Of what population-based training multiplies a hyperparameter by (Jaderberg et al. 2017, section 4.1.1).
FACTORS = (0.8, 1.25)


class Known(NamedTuple):
    """A finished segment, and the score of each of its points; minus infinity where it has diverged."""

    segment: Segment
    scores: Sequence[float]


class Search(Protocol):
    """Decides what is trained next."""

    def following(self, known: Sequence[Known]) -> list[Segment]:
        """The segments that come next, none at the end.

        Args:
            known: all segments so far, in order.
        """
        ...

    def cost(self) -> float:
        """Point-steps that all of it takes, about."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """What a search searches.

    Attributes:
        points: as they were drawn.
        total_steps: environment steps of a member that is trained to the end.
        part_of: the static part of a point.
        at_once: of a static part, how many of its points are trained as one population.
        workers: segments that are computed at the same time.
    """

    points: Sequence[Point]
    total_steps: int
    part_of: Callable[[Point], str]
    at_once: Callable[[str], int]
    workers: int = 1

    def batches(self, points: Iterable[Point]) -> Iterator[tuple[Point, ...]]:
        """Points of one part together, in the order they first appear, as many as are trained at once."""
        by_part: dict[str, list[Point]] = {}
        for point in points:
            by_part.setdefault(self.part_of(point), []).append(point)
        for part, members in by_part.items():
            size = self.at_once(part)
            yield from (tuple(members[first : first + size]) for first in range(0, len(members), size))


@dataclasses.dataclass(frozen=True)
class Everything:
    """No search: every point to the end."""

    task: Task

    def following(self, known: Sequence[Known]) -> list[Segment]:
        """All segments that are not known yet."""
        batches = list(self.task.batches(self.task.points))
        return [
            Segment(number, batches[number], 0, self.task.total_steps) for number in range(len(known), len(batches))
        ]

    def cost(self) -> float:
        """Every point, every step."""
        return float(len(self.task.points) * self.task.total_steps)


class Candidate(NamedTuple):
    """A point that has reached a rung."""

    score: float
    point: Point
    source: Source


@dataclasses.dataclass(frozen=True)
class Halving:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), a population being what is one trial there.

    Points climb rungs. Whenever a population is free, it takes the best third of those at the highest rung at which so
    many wait that they fill it, else new points, so that the places of those that stay behind are never empty.

    Attributes:
        task: what is searched.
        keep_one_in: of so many points one goes on.
        rungs: environment steps at which points are compared; the last one is the end.
    """

    task: Task
    keep_one_in: int
    rungs: tuple[int, ...]

    def following(self, known: Sequence[Known]) -> list[Segment]:
        """As many segments as there are workers; at the end, when all wait for each other, those of the lowest rung."""
        reached = [self._reached(known, rung) for rung in range(len(self.rungs))]
        chosen = [*self._full(reached), *self._new(reached)][: self.task.workers] or self._last(reached)
        return [dataclasses.replace(segment, number=len(known) + index) for index, segment in enumerate(chosen)]

    def cost(self) -> float:
        """Every point to the first rung, a share of them to each further one."""
        total, number = 0.0, float(len(self.task.points))
        for before, rung in zip((0, *self.rungs), self.rungs, strict=False):
            total += number * (rung - before)
            number = max(1.0, number // self.keep_one_in)
        return total

    def _reached(self, known: Sequence[Known], rung: int) -> list[Candidate]:
        """Who has come to ``rung``, the best first."""
        found = [
            Candidate(score, point, Source(segment.number, slot))
            for segment, scores in known
            if segment.end == self.rungs[rung]
            for slot, (score, point) in enumerate(zip(scores, segment.points, strict=True))
        ]
        return sorted(found, key=lambda candidate: -candidate.score)

    def _promotable(self, reached: Sequence[list[Candidate]], rung: int, least: int = 0) -> list[Candidate]:
        """The best of ``rung`` that have not gone on yet."""
        number = max(least, len(reached[rung]) // self.keep_one_in)
        gone = {candidate.point.number for candidate in reached[rung + 1]}
        best = [candidate for candidate in reached[rung][:number] if math.isfinite(candidate.score)]
        return [candidate for candidate in best if candidate.point.number not in gone]

    def _full(self, reached: Sequence[list[Candidate]]) -> Iterator[Segment]:
        """Promotions that fill a population, those of the highest rungs first."""
        for rung in reversed(range(len(self.rungs) - 1)):
            climbing = self._climbing(self._promotable(reached, rung), rung)
            yield from (each for each in climbing if len(each.points) == self.task.at_once(self._part(each)))

    def _part(self, segment: Segment) -> str:
        return self.task.part_of(segment.points[0])

    def _new(self, reached: Sequence[list[Candidate]]) -> Iterator[Segment]:
        begun = {candidate.point.number for candidate in reached[0]}
        waiting = [point for point in self.task.points if point.number not in begun]
        return (Segment(-1, points, 0, self.rungs[0]) for points in self.task.batches(waiting))

    def _last(self, reached: Sequence[list[Candidate]]) -> list[Segment]:
        for rung in range(len(self.rungs) - 1):
            climbing = list(self._climbing(self._promotable(reached, rung, least=1), rung))
            if climbing:
                return climbing
        return []

    def _climbing(self, candidates: Sequence[Candidate], rung: int) -> Iterator[Segment]:
        sources = {candidate.point.number: candidate.source for candidate in candidates}
        for points in self.task.batches(candidate.point for candidate in candidates):
            origins = tuple(sources[point.number] for point in points)
            yield Segment(-1, points, self.rungs[rung], self.rungs[rung + 1], origins)


def rungs_for(total_steps: int, keep_one_in: int, num_points: int, first: int | None) -> tuple[int, ...]:
    """The rungs of `Halving`, each ``keep_one_in`` times as high as the one before, up to ``total_steps``.

    Args:
        total_steps: the last one.
        keep_one_in: ratio of two of them.
        num_points: that begin.
        first: the first one; ``None``: so many rungs that about one point gets to the last.
    """
    if first is None:
        halvings = max(1, int(math.log(num_points, keep_one_in) + 1e-9))
        return tuple(math.ceil(total_steps / keep_one_in**left) for left in reversed(range(halvings + 1)))
    rungs = [first]
    while rungs[-1] * keep_one_in < total_steps:
        rungs.append(rungs[-1] * keep_one_in)
    return (*rungs, total_steps)


@dataclasses.dataclass(frozen=True)
class PopulationBased:
    """Population-based training (Jaderberg et al. 2017): the worst quarter copies the best, and explores from there.

    Points of different static parts are populations of their own.

    Attributes:
        task: what is searched.
        exploits: times that points copy, evenly spaced over training.
        axes: those along which copies explore.
        seed: of whom they copy, and of how they explore.
    """

    task: Task
    exploits: int
    axes: Sequence[Axis]
    seed: int

    def following(self, known: Sequence[Known]) -> list[Segment]:
        """The next stretch of each population."""
        if not known:
            batches = list(self.task.batches(self.task.points))
            return [Segment(number, points, 0, self._end(0)) for number, points in enumerate(batches)]
        newest: dict[str, Known] = {}
        for each in known:
            newest[self.task.part_of(each.segment.points[0])] = each
        going = [each for each in newest.values() if each.segment.end < self.task.total_steps]
        return [self._next(each, len(known) + index) for index, each in enumerate(going)]

    def cost(self) -> float:
        """Every point, every step."""
        return float(len(self.task.points) * self.task.total_steps)

    def _end(self, stretch: int) -> int:
        return math.ceil(self.task.total_steps * (stretch + 1) / (self.exploits + 1))

    def _next(self, last: Known, number: int) -> Segment:
        """The stretch after ``last``."""
        segment, rng = last.segment, np.random.default_rng((self.seed, number))
        points = list(segment.points)
        sources = [Source(segment.number, slot) for slot in range(len(points))]
        order = np.argsort(np.asarray(last.scores), kind="stable")
        quarter = len(points) // 4 or len(points) // 2
        for slot in order[:quarter]:
            best = int(rng.choice(order[len(points) - quarter :]))
            sources[slot] = Source(segment.number, best)
            points[slot] = Point(points[slot].number, explored(points[best].values, self.axes, rng))
        ends = [self._end(stretch) for stretch in range(self.exploits + 1)]
        return Segment(number, tuple(points), segment.end, min(e for e in ends if e > segment.end), tuple(sources))


def explored(values: dict[str, object], axes: Sequence[Axis], rng: np.random.Generator) -> dict[str, object]:
    """``values`` with each of ``axes`` moved: a range by one of `FACTORS`, a list to a neighbour or not at all."""
    moved = {axis.key: _moved(values[axis.key], axis, rng) for axis in axes}
    return values | moved


def _moved(value: object, axis: Axis, rng: np.random.Generator) -> object:
    if axis.scale:
        return axis.within(float(value) * float(rng.choice(FACTORS)))  # type: ignore[arg-type]
    place = axis.values.index(value) + int(rng.integers(-1, 2))
    return axis.values[min(max(place, 0), len(axis.values) - 1)]
