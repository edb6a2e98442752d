"""From names and plain values to checked agents."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from rlx import registry
from rlx.types import Agent, Box, ConfigurationError, Discrete, EnvSpec, MultiDiscrete, in_interval, suggest

_SPACE_NAMES = {Discrete: "discrete", MultiDiscrete: "factored", Box: "continuous"}
_MEMBERS = ("accepts", "spec", "num_envs", "rollout_length", "init", "act", "update", "policy")
_NUMBERS = {int: "whole numbers", float: "numbers", str: "words"}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
_LARGEST = 2**31 - 1  # arrays hold whole numbers in 32 bits


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
    check_hyperparameters(name, hyperparameters)
    env, spec = spec, getattr(spec, "spec", spec)
    if not isinstance(spec, EnvSpec):
        raise ConfigurationError(f"make_agent needs the environment, not {spec!r}: make_agent({name!r}, make_env(...))")
    # For agents that rewind it, see `rlx.runner.collect`.
    simulator = {"simulator": env.simulate} if "simulator" in cls.__dataclass_fields__ and env is not spec else {}
    return validate(cls(spec, **simulator, **hyperparameters))


def check_hyperparameters(name: str, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse what the agent ``name`` has no field for, and values that do not fit.

    Raises:
        ConfigurationError: see ``make_agent``.
    """
    settings = settings_of(registry.agent_class(name))
    for key in hyperparameters:
        owners = [other for other in registry.agents() if key in settings_of(registry.agent_class(other))]
        if owners and name not in owners:
            raise ConfigurationError(
                f"agent.{key} belongs to {', '.join(owners)}, not to {name}; leave it out, or choose that agent"
            )
    check_names(hyperparameters, settings, "agent.", name)
    for key, value in hyperparameters.items():
        checked(settings[key], value, "agent.")


def validate(agent: Agent) -> Agent:
    """Return ``agent`` with every field checked and converted.

    Raises:
        ConfigurationError: see ``make_agent``.
    """
    if isinstance(agent, type) or not dataclasses.is_dataclass(agent):
        raise ConfigurationError(
            f"{agent!r} is no agent; build one with rlx.make_agent, or from a flax.struct dataclass"
        )
    name = agent_name(agent)
    missing = [member for member in _MEMBERS if not hasattr(agent, member)]
    if missing:
        raise ConfigurationError(f"{name} is no agent: it has no {', '.join(missing)}; see docs/writing_an_agent.md")
    if type(agent.spec.action_space) not in agent.accepts:
        wanted = " or ".join(_SPACE_NAMES[space] for space in agent.accepts)
        given = _SPACE_NAMES[type(agent.spec.action_space)]
        raise ConfigurationError(
            f"{name} needs a {wanted} action space, {agent.spec.name} has a {given} one; {_remedy(agent)}"
        )
    settings = settings_of(type(agent))
    values = {key: checked(setting, getattr(agent, key), "agent.") for key, setting in settings.items()}
    return dataclasses.replace(agent, **values)


def agent_name(agent: Agent) -> str:
    """The name the agent is registered under, or its class's."""
    names = (name for name in registry.agents() if registry.agent_class(name) is type(agent))
    return next(names, type(agent).__name__)


def _remedy(agent: Agent) -> str:
    space = type(agent.spec.action_space)
    one_dimension = agent.spec.action_space == Box(1)
    if space is Box and (Discrete if one_dimension else MultiDiscrete) in agent.accepts:
        return "add env.discretise=3"
    fitting = [name for name in registry.agents() if space in registry.agent_class(name).accepts]
    return f"agents that can act there: {', '.join(fitting)}"


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
