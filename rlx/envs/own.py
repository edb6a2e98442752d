"""The rlx family: the project's own tasks, each a Gymnax environment registered as ``"rlx/<name>"``."""

import importlib
from collections.abc import Callable
from typing import Any

from rlx.envs.family import Built, build_registered, unknown_task
from rlx.envs.gymnax_api import Environment, gymnax
from rlx.task_names import OWN, names_of
from rlx.types import PyTree

_PREFIX = "rlx/"


def _factory(home: str) -> Callable[..., Environment]:
    """What makes the task at ``home``, and imports it only then."""
    module, attribute = home.split(":")
    return lambda **options: getattr(importlib.import_module(module), attribute)(**options)


for _name, _home in OWN.items():
    if _PREFIX + _name not in gymnax.registered_envs:
        gymnax.register(_PREFIX + _name, _factory(_home))


def make(name: str, params: PyTree | None = None, **options: Any) -> Built:
    """Build the task registered as ``"rlx/<name>"``.

    Raises:
        ConfigurationError: if there is none, or it refuses an option.
    """
    if name not in names_of("rlx"):
        raise unknown_task("rlx", name)
    return build_registered(_PREFIX + name, _PREFIX + name, params, options)
