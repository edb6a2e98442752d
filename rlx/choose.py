"""An agent for no environment yet: what can be checked of its name and fields; of JAX it loads what that agent does."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rlx import registry
from rlx.errors import ConfigurationError
from rlx.settings import checked_fields, settings_of


@dataclasses.dataclass(frozen=True)
class AgentChoice:
    """An agent for no environment yet.

    Attributes:
        cls: its class.
        hyperparameters: the fields that differ from their defaults, checked and converted.
    """

    cls: Any
    hyperparameters: Mapping[str, Any]


def choose_agent(name: str, hyperparameters: Mapping[str, Any]) -> AgentChoice:
    """Check all that can be checked without an environment.

    Raises:
        ConfigurationError: for an unknown agent, a field it does not have, or a value that does not fit.
    """
    cls = registry.agent_class(name)
    own = settings_of(cls)
    for key in hyperparameters:
        if key not in own:
            _refuse_foreign(key, name)
    return AgentChoice(cls, checked_fields(cls, hyperparameters, "agent.", name))


def _refuse_foreign(key: str, name: str) -> None:
    """Name the agents that have the field ``key``, if any; only for that are they all imported."""
    owners = [other for other in registry.agents() if key in settings_of(registry.agent_class(other))]
    if owners:
        raise ConfigurationError(
            f"agent.{key} belongs to {', '.join(owners)}, not to {name}; leave it out, or choose that agent"
        )
