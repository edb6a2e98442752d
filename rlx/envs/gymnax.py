"""The Gymnax family: every task registered with Gymnax, including those a user registers.

Fields that a task derives from others (CartPole's ``total_mass`` and ``polemass_length``) are parameters of
their own: overriding ``masspole`` does not change them.
"""

from typing import Any

from rlx.envs.family import Built, build_registered, unknown_task
from rlx.envs.gymnax_api import gymnax
from rlx.types import PyTree


def make(name: str, params: PyTree | None = None, **options: Any) -> Built:
    """Build the task registered as ``name``.

    Raises:
        ConfigurationError: if there is none, or it refuses an option.
    """
    if name not in gymnax.registered_envs:
        raise unknown_task("gymnax", name)
    return build_registered(f"gymnax/{name}", name, params, options)
