"""Optuna as a search: it is asked for whole populations, and told what became of them (extra ``optuna``)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from rlx.sweeps.search import Known, Task
from rlx.sweeps.segments import Segment
from rlx.sweeps.space import Axis, Point


@dataclasses.dataclass(frozen=True)
class OptunaSearch:
    """Points from a tree-structured Parzen estimator (Bergstra et al. 2011), a population at a time, each to the end.

    Attributes:
        task: what is searched; its points are not used.
        axes: of the space.
        num_points: in all.
        population: points that are asked for at a time.
        seed: of the sampler.
    """

    task: Task
    axes: Sequence[Axis]
    num_points: int
    population: int
    seed: int

    def following(self, known: Sequence[Known]) -> list[Segment]:
        """The next population, which may be several segments: one a static part."""
        begun = sum(len(each.segment.points) for each in known)
        number = min(self.population, self.num_points - begun)
        points = self._asked(known, begun, number) if number > 0 else []
        batches = self.task.batches(points)
        return [Segment(len(known) + i, batch, 0, self.task.total_steps) for i, batch in enumerate(batches)]

    def cost(self) -> float:
        """Every point, every step."""
        return float(self.num_points * self.task.total_steps)

    def _asked(self, known: Sequence[Known], first: int, number: int) -> list[Point]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A new study that is told everything: what it says next depends on what is known, not on who asked before.
        sampler = optuna.samplers.TPESampler(seed=self.seed + first, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        space = {axis.key: _distribution(axis) for axis in self.axes}
        for each in known:
            for score, point in zip(each.scores, each.segment.points, strict=True):
                study.add_trial(_trial(score, point, self.axes, space))
        trials = [study.ask(space) for _ in range(number)]
        return [Point(first + i, self._values(trial.params)) for i, trial in enumerate(trials)]

    def _values(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            axis.key: _rounded(axis, params[axis.key]) if axis.scale else axis.values[params[axis.key]]
            for axis in self.axes
        }


def _rounded(axis: Axis, value: float) -> float:
    return int(value) if axis.scale == "int" else axis.within(value)


def _distribution(axis: Axis) -> Any:
    """Where Optuna draws from: the range, or the places in the list."""
    from optuna import distributions

    if axis.scale == "int":
        return distributions.IntDistribution(int(axis.low), int(axis.high))
    if axis.scale:
        return distributions.FloatDistribution(axis.low, axis.high, log=axis.scale == "log")
    return distributions.CategoricalDistribution(tuple(range(len(axis.values))))


def _trial(score: float, point: Point, axes: Sequence[Axis], space: dict[str, Any]) -> Any:
    """A point as a finished trial; one that has diverged has failed."""
    from optuna.trial import TrialState, create_trial

    params = {
        axis.key: point.values[axis.key] if axis.scale else axis.values.index(point.values[axis.key]) for axis in axes
    }
    if not math.isfinite(score):
        return create_trial(params=params, distributions=space, state=TrialState.FAIL)
    return create_trial(params=params, distributions=space, value=score)
