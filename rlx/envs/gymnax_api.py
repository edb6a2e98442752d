"""What rlx uses of Gymnax, whose interface is that of every task here; the one place that imports it.

Some of its tasks draw themselves with matplotlib and seaborn, which brings in scipy and pandas and takes three times as
long to import as Gymnax. They are loaded when one of those tasks draws.
"""

from rlx import types  # noqa: F401  # it makes JAX's settings, before Gymnax makes the first array
from rlx.envs.imports import postponed

with postponed("matplotlib", "matplotlib.colors", "matplotlib.pyplot", "seaborn"):
    import gymnax
    from gymnax.environments import spaces
    from gymnax.environments.environment import Environment, EnvParams, EnvState

__all__ = ["EnvParams", "EnvState", "Environment", "gymnax", "spaces"]
