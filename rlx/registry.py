"""Names to agents and environment families, imported only when asked for."""

import importlib
from typing import Any

from rlx.errors import ConfigurationError, suggest
from rlx.task_names import names_of

_AGENTS = {
    "ace": "rlx.agents.ace:ACE",
    "bdq": "rlx.agents.bdq:BDQ",
    "coach": "rlx.agents.coach:COACH",
    "decqn": "rlx.agents.decqn:DecQN",
    "deep_coach": "rlx.agents.deep_coach:DeepCOACH",
    "dqn": "rlx.agents.dqn:DQN",
    "logq": "rlx.agents.logq:LogDQN",
    "masked_ppo": "rlx.agents.masked_ppo:MaskedPPO",
    "mbma": "rlx.agents.mbma:MBMA",
    "ppo": "rlx.agents.ppo:PPO",
    "revalued": "rlx.agents.revalued:REValueD",
    "sac": "rlx.agents.sac:SAC",
    "symphony": "rlx.agents.symphony:Symphony",
    "tamer": "rlx.agents.tamer:TAMER",
    "td3": "rlx.agents.td3:TD3",
}

# A family is a module with `make(name, params=None, **options) -> Built`, see `rlx.envs.family`.
_FAMILIES = {
    "brax": "rlx.envs.brax",
    "gymnax": "rlx.envs.gymnax",
    "jumanji": "rlx.envs.jumanji",
    "playground": "rlx.envs.playground",
    "rlx": "rlx.envs.own",
}


def agents() -> tuple[str, ...]:
    """Names of the agents that can be built."""
    return tuple(sorted(_AGENTS))


def agent_class(name: str) -> Any:
    """The agent class registered as ``name``.

    Raises:
        ConfigurationError: if there is none.
    """
    if name not in _AGENTS:
        raise ConfigurationError(f"unknown agent {name!r}{suggest(name, _AGENTS)}; agents: {', '.join(agents())}")
    module, attribute = _AGENTS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def agent_name(cls: type) -> str:
    """The name ``cls`` is registered under, or else its own; imports nothing."""
    home = f"{cls.__module__}:{cls.__qualname__}"
    return next((name for name, registered in _AGENTS.items() if registered == home), cls.__name__)


def family(name: str) -> Any:
    """The module of the environment family registered as ``name`` (the part before the slash).

    Raises:
        ConfigurationError: if there is none.
    """
    if name not in _FAMILIES:
        raise ConfigurationError(
            f"unknown environment family {name!r}{suggest(name, _FAMILIES)}; families: {', '.join(_FAMILIES)}"
        )
    return importlib.import_module(_FAMILIES[name])


def environments() -> tuple[str, ...]:
    """Full names of all environments, such as ``"brax/ant"``; imports no family."""
    return tuple(f"{prefix}/{name}" for prefix in _FAMILIES for name in names_of(prefix))
