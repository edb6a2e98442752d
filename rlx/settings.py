"""How a field is declared, with its meaning and its range, and how a value is checked against that.

The fields of agents, environments and runs alike; nothing here needs JAX.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from rlx.errors import ConfigurationError, suggest

_NUMBERS = {int: "whole numbers", float: "numbers", str: "words"}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
_STEP = "environment_step"
_LARGEST = 2**31 - 1  # arrays hold whole numbers in 32 bits


def hyper(default: Any, doc: str, *, within: str = "", choices: tuple[str, ...] = (), static: bool = False) -> Any:
    """Declare a hyperparameter: a dataclass field that knows its meaning and its range.

    Args:
        default: default value.
        doc: one line for ``--help``.
        within: range of a number in interval notation, such as ``"(0, 1]"`` or ``"[1, inf)"``.
        choices: the allowed words, for a string.
        static: True for what fixes a shape or a branch; False makes it a pytree leaf that can be swept.
    """
    metadata = {"pytree_node": not static, "doc": doc, "within": within, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def environment_step() -> Any:
    """Declare the field of an agent that holds its environment's pure step; ``make_agent`` fills it in.

    It is static, and None in an agent that was built from a spec alone. The step takes states ``[B]`` of the task,
    actions ``[B, ...]`` and a key, and returns the next states and their timestep.
    """
    return dataclasses.field(default=None, metadata={"pytree_node": False, _STEP: True})


def environment_steps(cls: type) -> tuple[str, ...]:
    """Names of the fields of ``cls`` that were declared with ``environment_step``."""
    return tuple(field.name for field in dataclasses.fields(cls) if _STEP in field.metadata)


def in_interval(value: float, interval: str) -> bool:
    """Whether ``value`` lies in ``interval``, written as ``"(0, 1]"``; NaN lies in none."""
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below and not math.isnan(value)


class Setting(NamedTuple):
    """One configurable field: its type, default (``dataclasses.MISSING`` if it has none) and documentation."""

    name: str
    type: Any
    default: Any
    doc: str
    within: str
    choices: tuple[str, ...]


def settings_of(cls: type) -> dict[str, Setting]:
    """The fields of ``cls`` that were declared with ``hyper``, by name."""
    types = get_type_hints(cls)
    return {
        field.name: Setting(
            field.name,
            types[field.name],
            field.default,
            field.metadata["doc"],
            field.metadata["within"],
            field.metadata["choices"],
        )
        for field in dataclasses.fields(cls)
        if "doc" in field.metadata
    }


def checked(setting: Setting, value: Any, where: str) -> Any:
    """``value`` as ``setting``'s type; ``where`` stands before its name in messages, such as ``"agent."``.

    Raises:
        ConfigurationError: if the type is wrong or the value out of range.
    """
    name = f"{where}{setting.name}"
    try:
        converted = _converted(setting.type, value)
    except TypeError as error:
        raise ConfigurationError(f"{name}={value!r} has the wrong type; it must be {_kind(setting)}") from error
    if converted is None:
        return None
    if setting.choices and converted not in setting.choices:
        hint = suggest(converted, setting.choices)
        raise ConfigurationError(f"{name}={converted} is no choice{hint}; choose one of {', '.join(setting.choices)}")
    numbers = converted if isinstance(converted, tuple) else (converted,)
    whole = all(isinstance(number, int) for number in numbers)
    within = setting.within.replace("inf)", f"{_LARGEST}]") if whole else setting.within
    if within and not all(in_interval(number, within) for number in numbers):
        raise ConfigurationError(f"{name}={value} is out of range; it must lie in {within}")
    return converted


def checked_fields(cls: type, values: Mapping[str, Any], where: str, owner: str) -> dict[str, Any]:
    """``values`` as the fields of ``cls`` that they are named after, each checked and converted.

    Args:
        cls: a dataclass whose fields were declared with ``hyper``.
        values: by name; what is missing keeps its default.
        where: stands before a name in messages, such as ``"agent."``.
        owner: whose fields they are, for messages.

    Raises:
        ConfigurationError: for an unknown name, a wrong type or a value out of range.
    """
    settings = settings_of(cls)
    check_names(values, settings, where, owner)
    return {name: checked(settings[name], value, where) for name, value in values.items()}


def check_names(names: Iterable[str], settings: Mapping[str, Setting], where: str, owner: str) -> None:
    """Refuse a name that is no setting.

    Raises:
        ConfigurationError: naming the nearest setting, or all of them where none is near.
    """
    for name in names:
        if name not in settings:
            near = difflib.get_close_matches(name, settings, n=1, cutoff=0.6)
            remedy = f" (did you mean '{where}{near[0]}'?)" if near else f"; {owner} has: {', '.join(settings)}"
            raise ConfigurationError(f"unknown key {where}{name}{remedy}")


def _converted(wanted: Any, value: Any) -> Any:
    """``value`` as type ``wanted`` if nothing is lost; whole floats such as 1e6 count as integers.

    Raises:
        TypeError: if it is no such value.
    """
    options = get_args(wanted) if type(None) in get_args(wanted) else (wanted,)
    if value is None and type(None) in options:
        return None
    wanted = options[0]
    if get_origin(wanted) is tuple and isinstance(value, (list, tuple)):
        return tuple(_converted(get_args(wanted)[0], item) for item in value)
    if getattr(value, "shape", None) == ():
        value = value.item()  # a NumPy or JAX scalar, as from np.logspace
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int and number and math.isfinite(value) and int(value) == value:
        return int(value)
    if wanted is float and number:
        return float(value)
    if (wanted is str or get_origin(wanted) is Literal) and isinstance(value, str) and value:
        return value
    if wanted is bool and isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is not {wanted}")


def _kind(setting: Setting) -> str:
    """In words, what the setting takes."""
    options = get_args(setting.type) if type(None) in get_args(setting.type) else (setting.type,)
    if setting.choices:
        kind = f"one of {', '.join(setting.choices)}"
    elif get_origin(options[0]) is tuple:
        kind = f"a list of {_NUMBERS[get_args(options[0])[0]]} in brackets, such as [64,64]"
    else:
        kind = _KINDS[options[0]]
    return f"{kind}, or null" if type(None) in options else kind
