"""A sweep's definition: values by key to a checked base, space, settings and points, before anything is written."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rlx.errors import ConfigurationError
from rlx.runner.settings import RunSettings
from rlx.sweeps.asked import ask
from rlx.sweeps.parts import Builder, check_space, explorable
from rlx.sweeps.settings import SweepSettings
from rlx.sweeps.space import Axis, Point


@dataclasses.dataclass(frozen=True)
class Definition:
    """What is swept, checked.

    Attributes:
        base: what all points share, by key.
        axes: of the space.
        settings: of the sweep.
        run: settings that every point runs with, but for its folder.
        points: as drawn; none if a search makes them.
    """

    base: dict[str, Any]
    axes: Sequence[Axis]
    settings: SweepSettings
    run: RunSettings
    points: Sequence[Point]

    def points_by_part(self, builder: Builder) -> Counter[str]:
        """How many points each static part has."""
        return Counter(builder.place(point).part for point in self.points)

    def written(self) -> dict[str, Any]:
        """All that its results depend on, as YAML can hold it."""
        return {
            "base": self.base,
            "space": {axis.key: axis.text for axis in self.axes},
            "sweep": self.settings.defining(),
        }


def define(values: Mapping[str, Any]) -> tuple[Definition, Builder]:
    """Check all of a sweep, and place its points.

    Args:
        values: see `rlx.sweeps.sweep.sweep`.

    Raises:
        ConfigurationError: naming what cannot work, and the point where it is one.
    """
    base, axes, settings, points = ask(values)
    builder = Builder(base)
    check_space(builder, axes)
    parts = Counter(builder.place(point).part for point in points)
    run = next(iter(builder.parts.values())).config.settings
    _check_search(settings, axes, base, run, len(points), parts)
    return Definition(base, axes, settings, run, points), builder


def _check_search(
    settings: SweepSettings,
    axes: Sequence[Axis],
    base: Mapping[str, Any],
    run: RunSettings,
    num_points: int,
    parts: Counter[str],
) -> None:
    """Refuse a search that has nothing to choose from."""
    if settings.search == "halving":
        _check_halving(settings, run, num_points)
    if settings.search == "pbt":
        if min(parts.values()) < 2:
            raise ConfigurationError("search=pbt copies within a program's points; one has a single point; add some")
        if not any(explorable(base.get("agent"), axis) for axis in axes):
            raise ConfigurationError(
                "search=pbt explores real-valued hyperparameters, and none is swept; add one, such as "
                "sweep.agent.learning_rate=log(1e-4,1e-2,8)"
            )
    if settings.search in ("pbt", "none", "optuna") and settings.first_rung is not None:
        raise ConfigurationError(f"first_rung={settings.first_rung} goes with search=halving")


def _check_halving(settings: SweepSettings, run: RunSettings, num_points: int) -> None:
    if num_points < settings.keep_one_in:
        raise ConfigurationError(
            f"search=halving keeps one in {settings.keep_one_in} points, and there are {num_points}; add some, or "
            "lower keep_one_in"
        )
    if settings.first_rung is not None and settings.first_rung >= run.total_steps:
        raise ConfigurationError(
            f"first_rung={settings.first_rung} is not below total_steps={run.total_steps}; lower it"
        )
