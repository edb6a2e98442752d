"""From names and plain values to checked agents."""

import dataclasses
import math
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from rlx import registry
from rlx.types import (
    Agent,
    Box,
    ConfigurationError,
    Discrete,
    EnvSpec,
    MultiDiscrete,
    in_interval,
    suggest,
)

_SPACE_NAMES = {Discrete: "discrete", MultiDiscrete: "factored", Box: "continuous"}


class Setting(NamedTuple):
    """One configurable field: its type, default and documentation."""

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
    """``value`` as ``setting``'s type.

    Raises:
        ConfigurationError: if the type is wrong or the value out of range.
    """
    name = f"{where}{setting.name}"
    value = _converted(setting.type, value, name)
    if value is None:
        return value
    if setting.choices and value not in setting.choices:
        raise ConfigurationError(
            f"{name}={value}: unknown choice{suggest(str(value), setting.choices)}; one of {', '.join(setting.choices)}"
        )
    numbers = value if isinstance(value, tuple) else (value,)
    if setting.within and not all(in_interval(number, setting.within) for number in numbers):
        raise ConfigurationError(f"{name}={value} is out of range; it must lie in {setting.within}")
    return value


def check_names(names: Any, settings: dict[str, Setting], where: str, owner: str) -> None:
    """Refuse a name that is no setting, and say which one is nearest."""
    for name in names:
        if name not in settings:
            raise ConfigurationError(
                f"unknown key {where}{name}{suggest(name, settings)}; {owner} has: {', '.join(settings)}"
            )


def make_agent(name: str, spec: Any, **hyperparameters: Any) -> Agent:
    """Build the agent ``name`` for an environment.

    Args:
        name: one of ``rlx.agents()``.
        spec: an ``EnvSpec``, or anything with one as its ``spec``, such as the result of ``make_env``.
        **hyperparameters: fields to change from their defaults.

    Raises:
        ConfigurationError: for an unknown name, a wrong type, a value out of range, or an agent that cannot act in
            that environment.
    """
    cls = registry.agent_class(name)
    settings = settings_of(cls)
    check_names(hyperparameters, settings, "agent.", name)
    agent = cls(spec if isinstance(spec, EnvSpec) else spec.spec, **hyperparameters)
    return validate(agent)


def validate(agent: Agent) -> Agent:
    """Return ``agent`` with every field checked and converted.

    Raises:
        ConfigurationError: see ``make_agent``.
    """
    if not dataclasses.is_dataclass(agent):
        raise ConfigurationError(f"{agent!r} is no agent; build one with rlx.make_agent")
    name = type(agent).__name__.lower()
    if type(agent.spec.action_space) not in agent.accepts:
        wanted = " or ".join(_SPACE_NAMES[space] for space in agent.accepts)
        given = _SPACE_NAMES[type(agent.spec.action_space)]
        raise ConfigurationError(
            f"{name} needs a {wanted} action space, {agent.spec.name} has a {given} one; {_remedy(agent)}"
        )
    settings = settings_of(type(agent))
    values = {key: checked(setting, getattr(agent, key), "agent.") for key, setting in settings.items()}
    return dataclasses.replace(agent, **values)


def _remedy(agent: Agent) -> str:
    if isinstance(agent.spec.action_space, Box) and MultiDiscrete in agent.accepts:
        return "add discretise=3"
    fitting = [
        name for name in registry.agents() if type(agent.spec.action_space) in registry.agent_class(name).accepts
    ]
    return f"agents that can act there: {', '.join(fitting)}"


def _converted(wanted: Any, value: Any, name: str) -> Any:
    """``value`` as type ``wanted`` if nothing is lost; whole floats such as 1e6 count as integers."""
    options = get_args(wanted) if type(None) in get_args(wanted) else (wanted,)
    if value is None and type(None) in options:
        return None
    wanted = options[0]
    if get_origin(wanted) is tuple and isinstance(value, (list, tuple)):
        return tuple(_converted(get_args(wanted)[0], item, name) for item in value)
    if wanted is dict or get_origin(wanted) is dict:
        return dict(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int and number and math.isfinite(value) and int(value) == value:
        return int(value)
    if wanted is float and number:
        return float(value)
    if get_origin(wanted) is Literal and isinstance(value, str):
        return value
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    if wanted in (int, float) and hasattr(value, "dtype"):  # a leaf of a stacked population or a tracer
        return value
    readable = getattr(wanted, "__name__", str(wanted)) if get_origin(wanted) is None else str(wanted)
    raise ConfigurationError(f"{name}={value!r} has the wrong type; it must be {_ARTICLES.get(readable, readable)}")


_ARTICLES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
