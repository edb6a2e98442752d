"""What a run's memory goes to, computed from shapes before anything is allocated."""

import math
import os
from collections.abc import Sequence
from typing import Any

import jax

from rlx.errors import ConfigurationError
from rlx.replay.replay import Replay
from rlx.replay.ring import Ring
from rlx.runner.pieces import SAVING_BYTES
from rlx.types import PyTree


def memory_plan(state: PyTree, rollout: PyTree, devices: Sequence[Any], resumed: bool = False) -> str:
    """One line on the memory that a run will take: its state, the rollouts, and what saving or reading takes.

    Args:
        state: shapes and dtypes of the state of all members.
        rollout: those of the rollouts that are held at the same time.
        devices: where all this is.
        resumed: whether it is read from a checkpoint, as a whole, before it goes to the devices.

    Raises:
        ConfigurationError: if it cannot fit.
    """
    leaves = jax.tree.leaves(state, is_leaf=_is_replay)
    replay = sum(num_bytes(leaf) for leaf in leaves if _is_replay(leaf))
    total, rollouts = num_bytes(state), num_bytes(rollout)
    on_host = total if resumed else min(total, SAVING_BYTES)
    line = (
        f"state {readable(total)} (replay {readable(replay)}) and rollouts {readable(rollouts)} "
        f"on {len(devices)} device{'s' if len(devices) > 1 else ''}, and {readable(on_host)} of the host "
        f"to {'read' if resumed else 'save'} it"
    )
    available = available_bytes(devices)
    needed = total + rollouts + (on_host if devices[0].platform == "cpu" else 0)
    if available is not None and needed > available:
        raise ConfigurationError(
            f"{line} do not fit: {readable(available)} are there; lower num_seeds or {_remedy(replay, needed)}"
        )
    return line


def _is_replay(node: PyTree) -> bool:
    return isinstance(node, Replay | Ring)


def _remedy(replay: int, needed: int) -> str:
    if 2 * replay > needed:
        return "agent.replay_size"
    return "agent.num_envs, agent.rollout_length, agent.hidden_sizes or env.pool_size"


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
