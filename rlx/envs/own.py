"""The rlx family: the project's own tasks, each a Gymnax environment registered as ``"rlx/<name>"``."""

from typing import Any

import gymnax

from rlx.envs import chain, factor_regulator, linear_quadratic, microrts, probes
from rlx.envs.family import Built, build_registered, unknown_task
from rlx.types import PyTree

_PREFIX = "rlx/"
_TASKS = {
    "chain": chain.Chain,
    "mirrored-chain": chain.MirroredChain,
    "gap-chain": chain.GapChain,
    "corridor": chain.Corridor,
    "factor-regulator": factor_regulator.FactorRegulator,
    "linear-quadratic": linear_quadratic.LinearQuadratic,
    "microrts-4x4": microrts.MicroRTS4x4,
    "microrts-10x10": microrts.MicroRTS10x10,
    "microrts-16x16": microrts.MicroRTS16x16,
    "microrts-24x24": microrts.MicroRTS24x24,
    "probe-constant": probes.Constant,
    "probe-observation": probes.Observation,
    "probe-delayed": probes.Delayed,
    "probe-action": probes.Action,
    "probe-action-observation": probes.ActionObservation,
    "probe-masked": probes.Masked,
    "probe-factored": probes.Factored,
    "probe-recall": probes.Recall,
    "probe-terminated": probes.Terminated,
    "probe-truncated": probes.Truncated,
    "probe-continuous": probes.Continuous,
    "probe-continuous-observation": probes.ContinuousObservation,
    "probe-nan": probes.NotANumber,
}

for _name, _task in _TASKS.items():
    if _PREFIX + _name not in gymnax.registered_envs:
        gymnax.register(_PREFIX + _name, _task)


def names() -> tuple[str, ...]:
    """Names of the tasks registered under ``"rlx/"``."""
    return tuple(i.removeprefix(_PREFIX) for i in gymnax.registered_envs if i.startswith(_PREFIX))


def make(name: str, params: PyTree | None = None, **options: Any) -> Built:
    """Build the task registered as ``"rlx/<name>"``.

    Raises:
        ConfigurationError: if there is none, or it refuses an option.
    """
    if name not in names():
        raise unknown_task("rlx", name, names())
    return build_registered(_PREFIX + name, _PREFIX + name, params, options)
