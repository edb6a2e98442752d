"""What a run's memory goes to, computed from shapes before anything is allocated."""

import math
import os
from collections.abc import Sequence
from typing import Any

import jax

from rlx.errors import ConfigurationError
from rlx.replay.ring import Ring
from rlx.types import PyTree


def memory_plan(state: PyTree, rollout: PyTree, devices: Sequence[Any]) -> str:
    """One line on the memory that a run will take.

    Args:
        state: shapes and dtypes of the state of all members.
        rollout: those of the rollouts that are held at the same time.
        devices: where all this is.

    Raises:
        ConfigurationError: if it cannot fit.
    """
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, Ring))
    replay = sum(num_bytes(leaf) for leaf in leaves if isinstance(leaf, Ring))
    total, rollouts = num_bytes(state), num_bytes(rollout)
    line = (
        f"state {readable(total)} (replay {readable(replay)}) and rollouts {readable(rollouts)} "
        f"on {len(devices)} device{'s' if len(devices) > 1 else ''}"
    )
    available = available_bytes(devices)
    if available is not None and total + rollouts > available:
        if 2 * replay > total + rollouts:
            remedy = "agent.replay_size"
        else:
            remedy = "agent.num_envs, agent.rollout_length, agent.hidden_sizes or env.pool_size"
        raise ConfigurationError(f"{line} do not fit: {readable(available)} are there; lower num_seeds or {remedy}")
    return line


def num_bytes(tree: PyTree) -> int:
    """Bytes of the arrays of a tree of arrays or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def available_bytes(devices: Sequence[Any]) -> int | None:
    """Memory of the host for CPU devices, else what is free on the devices together; ``None`` if nobody can say."""
    if devices[0].platform == "cpu":
        return host_bytes()
    statistics = [device.memory_stats() for device in devices]
    if not all(statistics):
        return None
    return sum(each["bytes_limit"] - each["bytes_in_use"] for each in statistics)


def host_bytes() -> int | None:
    """Memory of this machine; ``None`` where the system does not say, as on Windows."""
    names = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"}
    if not names <= getattr(os, "sysconf_names", {}).keys():
        return None
    values = [os.sysconf(name) for name in names]
    return math.prod(values) if min(values) > 0 else None


def readable(size: float) -> str:
    """A number of bytes in three digits, as ``"24 KiB"``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
