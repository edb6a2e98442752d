"""The Gymnax family: every task registered with Gymnax, including those a user registers.

Fields that a task derives from others (CartPole's ``total_mass`` and ``polemass_length``) are parameters of
their own: overriding ``masspole`` does not change them.
"""

from typing import Any

import gymnax

from rlx.envs.family import Built, build_registered, unknown_task
from rlx.types import PyTree

# MNISTBandit-bsuite downloads its images when built; it can be made by name but is no part of the list.
_NEEDS_DATA = ("MNISTBandit-bsuite",)


def names() -> tuple[str, ...]:
    """Names of the tasks that need nothing but Gymnax."""
    return tuple(i for i in gymnax.registered_envs if not i.startswith("rlx/") and i not in _NEEDS_DATA)


def make(name: str, params: PyTree | None = None, **options: Any) -> Built:
    """Build the task registered as ``name``.

    Raises:
        ConfigurationError: if there is none, or it refuses an option.
    """
    if name not in gymnax.registered_envs:
        raise unknown_task("gymnax", name, names())
    return build_registered(f"gymnax/{name}", name, params, options)
