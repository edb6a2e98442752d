"""When a run evaluates and saves, in iterations; a function of the settings alone, so a resumed run keeps to it."""

import copy
import math

from rlx.runner.settings import RunSettings


class Plan:
    """The schedule of one run.

    Attributes:
        iterations: iterations that spend the budget; the last may overshoot it by less than one iteration.
        evaluations: iterations after which the run evaluates and logs, 0 and the last among them.
        checkpoints: iterations after which it saves, 0 and the last among them.
        steps: environment steps of each member that those iterations take.
    """

    def __init__(self, settings: RunSettings, steps_per_iteration: int) -> None:
        self.steps_per_iteration = steps_per_iteration
        self.iterations = math.ceil(settings.total_steps / steps_per_iteration)
        self.steps = self.iterations * steps_per_iteration
        self.evaluations = self._evenly(settings.num_evaluations)
        self.checkpoints = self._evenly(settings.num_checkpoints)

    def until(self, iteration: int) -> "Plan":
        """The same schedule as far as ``iteration``, where it evaluates and saves a last time."""
        part = copy.copy(self)
        part.iterations, part.steps = iteration, iteration * self.steps_per_iteration
        part.evaluations = frozenset(i for i in self.evaluations if i < iteration) | {iteration}
        part.checkpoints = frozenset(i for i in self.checkpoints if i < iteration) | {iteration}
        return part

    def stops(self, after: int) -> list[int]:
        """Iterations later than ``after`` at which the host has something to do, in order."""
        return sorted(i for i in self.evaluations | self.checkpoints if i > after)

    def _evenly(self, count: int) -> frozenset[int]:
        return frozenset(round(self.iterations * i / count) for i in range(count + 1))
