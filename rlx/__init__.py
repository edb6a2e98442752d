"""rlx: reinforcement-learning research in JAX.

The verbs: ``make_env``, ``make_agent``, ``train``, ``resume``, ``load``, ``evaluate``, ``sweep``; ``agents()`` and
``environments()`` list the names they take.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlx.build import make_agent
    from rlx.envs.api import make_env
    from rlx.errors import ConfigurationError
    from rlx.registry import agents, environments
    from rlx.sweeps.sweep import sweep
    from rlx.verbs import evaluate, load, resume, train

__all__ = [
    "ConfigurationError",
    "agents",
    "environments",
    "evaluate",
    "load",
    "make_agent",
    "make_env",
    "resume",
    "sweep",
    "train",
]

# Imported when first used: a room on its own loads neither the others nor JAX.
_HOMES = {
    "ConfigurationError": "rlx.errors",
    "agents": "rlx.registry",
    "environments": "rlx.registry",
    "make_agent": "rlx.build",
    "make_env": "rlx.envs.api",
    "evaluate": "rlx.verbs",
    "load": "rlx.verbs",
    "resume": "rlx.verbs",
    "sweep": "rlx.sweeps.sweep",
    "train": "rlx.verbs",
}


if "jax" in sys.modules:  # a program that has loaded it may make arrays before it comes to a room that does this
    from rlx import devices  # noqa: F401


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rlx' has no attribute {name!r}")
