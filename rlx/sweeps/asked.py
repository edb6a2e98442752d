"""What a sweep is asked for, checked as far as it goes without JAX: a wrong word is refused at once."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlx.errors import ConfigurationError, suggest
from rlx.runner.settings import RunSettings
from rlx.settings import checked_fields, settings_of
from rlx.sweeps.settings import SweepSettings
from rlx.sweeps.space import Axis, Point, draw, read_space

PREFIX = "sweep."
# The library of an engine, and the extra that brings it.
_LIBRARIES = {"ray": ("ray", "ray"), "slurm": ("submitit", "slurm")}


class Asked(NamedTuple):
    """A sweep whose points may still be such that they cannot run.

    Attributes:
        base: what all points share, by key.
        axes: of the space.
        settings: of the sweep.
        points: as drawn; none if a search makes them.
    """

    base: dict[str, Any]
    axes: list[Axis]
    settings: SweepSettings
    points: list[Point]


def ask(values: Mapping[str, Any]) -> Asked:
    """Tell base, space and settings apart, and draw the points.

    Args:
        values: see `rlx.sweeps.sweep.sweep`.

    Raises:
        ConfigurationError: for a key, an axis or a setting that does not fit, or a library that is not installed.
    """
    own = settings_of(SweepSettings)
    given = {key: value for key, value in values.items() if key in own}
    settings = SweepSettings(**checked_fields(SweepSettings, given, "", "a sweep"))
    written = {key.removeprefix(PREFIX): value for key, value in values.items() if key.startswith(PREFIX)}
    base = {key: value for key, value in values.items() if key not in own and not key.startswith(PREFIX)}
    _check_keys(base, written)
    axes = read_space(written)
    _check_libraries(settings)
    return Asked(base, axes, settings, _points(axes, settings))


def _check_keys(base: Mapping[str, Any], swept: Mapping[str, Any]) -> None:
    run = settings_of(RunSettings)
    known = {*run, *settings_of(SweepSettings), "agent", "env"}
    for key in base:
        if key not in known and key.partition(".")[0] not in ("agent", "env"):
            raise ConfigurationError(f"unknown key {key}{suggest(key, known)}; --help lists all keys")
        if key in swept:
            raise ConfigurationError(f"{key} is set and swept; leave out {key}= or {PREFIX}{key}=")
    if "run_dir" in base:
        raise ConfigurationError("run_dir is for one run; a sweep's runs are in its sweep_dir")
    for key in swept:
        if key in settings_of(SweepSettings):
            raise ConfigurationError(f"{PREFIX}{key} sweeps the sweep itself; write {key}=")


def _points(axes: Sequence[Axis], settings: SweepSettings) -> list[Point]:
    if settings.search != "optuna":
        return draw(axes, settings.draw, settings.num_points, settings.draw_seed)
    if settings.num_points is None:
        raise ConfigurationError("search=optuna goes on for ever; say where it ends with num_points=N")
    return []


def _check_libraries(settings: SweepSettings) -> None:
    """Refuse an engine or a search that is not there.

    Raises:
        ConfigurationError: naming what to install, or what it does not take.
    """
    library, extra = _LIBRARIES.get(settings.engine, (None, None))
    if library is not None and importlib.util.find_spec(library) is None:
        raise ConfigurationError(f"engine={settings.engine} needs {library}: pip install 'rlx[{extra}]'")
    if settings.search == "optuna" and importlib.util.find_spec("optuna") is None:
        raise ConfigurationError("search=optuna needs optuna: pip install 'rlx[optuna]'")
    if settings.engine == "local" and settings.workers > 1:
        raise ConfigurationError(
            f"workers={settings.workers} goes with engine=ray or engine=slurm; for local ones start the command again, "
            "beside this one, on the same sweep_dir"
        )
