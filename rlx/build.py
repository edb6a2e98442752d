"""From names and plain values to checked agents."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rlx import registry
from rlx.errors import ConfigurationError
from rlx.settings import check_names, checked, settings_of
from rlx.types import Agent, Box, Discrete, EnvSpec, MultiDiscrete

_SPACE_NAMES = {Discrete: "discrete", MultiDiscrete: "factored", Box: "continuous"}
_MEMBERS = ("accepts", "spec", "needs", "init", "act", "update", "policy")


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
