"""Points to agents: what of a point makes another program, its static part, and what is only another number in it."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlx.compose import Config, compose_values
from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.runner.settings import RunSettings
from rlx.settings import Setting, checked, settings_of
from rlx.sweeps.space import Axis, Point
from rlx.types import Agent
from rlx.verbs import check_run

_AGENT = "agent."


class Part(NamedTuple):
    """What points of one static part share.

    Attributes:
        config: of one of the points.
        agent: of that point.
        env: where all of them train.
    """

    config: Config
    agent: Agent
    env: Env


class Placed(NamedTuple):
    """A point's agent, and the name of its static part."""

    part: str
    agent: Agent


class Builder:
    """Builds points on one base, each static part once.

    Args:
        base: what all points share, by key as on the command line of ``experiments/train.py``.
    """

    def __init__(self, base: Mapping[str, Any]) -> None:
        self._base = dict(base)
        self.parts: dict[str, Part] = {}

    def place(self, point: Point) -> Placed:
        """The point's agent and its static part.

        Raises:
            ConfigurationError: if its configuration cannot run, naming the point.
        """
        values = self._base | point.values
        numbers = _numbers(values.get("agent"), values, point.values)
        name = json.dumps({key: value for key, value in values.items() if key not in numbers}, sort_keys=True)
        with _named(point):
            part = self._part(name, values)
            fields = fields_of(type(part.agent))
            given = {key.removeprefix(_AGENT): values[key] for key in numbers}
            hyperparameters = {field: checked(fields[field], value, _AGENT) for field, value in given.items()}
            return Placed(name, dataclasses.replace(part.agent, **hyperparameters))  # type: ignore[type-var]

    def _part(self, name: str, values: Mapping[str, Any]) -> Part:
        if name not in self.parts:
            config = compose_values(values)
            part = Part(config, *config.build())
            check_run([part.agent], part.env, config.settings)
            self.parts[name] = part
        return self.parts[name]


def check_space(builder: Builder, axes: Sequence[Axis]) -> None:
    """Try every value of each axis, of a range its ends, so that whatever is drawn of it can run.

    Raises:
        ConfigurationError: for a key that cannot be swept, or a value that does not fit.
    """
    for axis in axes:
        if axis.key in settings_of(RunSettings):
            raise ConfigurationError(
                f"sweep.{axis.key}: it is the run's, and the same for all points; sweep agent, env and their keys"
            )
    first = {axis.key: axis.extremes[0] for axis in axes}
    presets = next((axis.values for axis in axes if axis.key == "agent"), ())
    for axis in axes:
        # What belongs to one preset only may not suit the first of them; the points themselves say.
        if axis.key.startswith(_AGENT) and presets and not axis.scale:
            continue
        for value in axis.extremes:
            builder.place(Point(-1, first | {axis.key: value}))


@functools.cache
def fields_of(cls: type) -> dict[str, Setting]:
    """`settings_of`, which reads annotations for a while, kept."""
    return settings_of(cls)


def explorable(preset: str | None, axis: Axis) -> bool:
    """Whether ``axis`` is over numbers that may change while a program runs."""
    field = axis.key.removeprefix(_AGENT)
    return axis.key.startswith(_AGENT) and field in _leaf_fields(preset) and all(map(_is_number, axis.extremes))


def in_words(values: Mapping[str, Any]) -> str:
    """Keys and values in one line."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def _numbers(preset: str | None, values: Mapping[str, Any], swept: Mapping[str, Any]) -> list[str]:
    """The swept keys that are real-valued hyperparameters: members of one program may differ in them."""
    if any("${" in str(value) for value in values.values()):
        return []  # one value may stand for others
    leaves = _leaf_fields(preset) if any(key.startswith(_AGENT) for key in swept) else frozenset()
    return [key for key, value in swept.items() if key.removeprefix(_AGENT) in leaves and _is_number(value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@functools.cache
def _leaf_fields(preset: str | None) -> frozenset[str]:
    """The hyperparameters of a preset's agent that are leaves of its pytree."""
    cls = compose_values({} if preset is None else {"agent": preset}).choice.cls
    leaves = {field.name for field in dataclasses.fields(cls) if field.metadata.get("pytree_node", True)}
    return frozenset(leaves & settings_of(cls).keys())


@contextlib.contextmanager
def _named(point: Point) -> Iterator[None]:
    """Say which point it is that is refused."""
    try:
        yield
    except ConfigurationError as error:
        where = "the sweep" if point.number < 0 else f"point {point.number}"
        raise ConfigurationError(f"{where} ({in_words(point.values)}): {error}") from error
