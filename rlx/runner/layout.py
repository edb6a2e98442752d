"""How the members of a population lie on devices: in groups of one size that take turns."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from rlx.switches import uncompiled
from rlx.types import Needs

# On two CPU cores 8 members ran 1.15 (PPO), 1.19 (masked PPO on microRTS), 0.99 (MBMA) and 0.91 times (DQN) as fast in
# turns as four side by side on each core (results/benchmark/members.md). What DQN does between two updates is a single
# step of one environment: many operations on next to nothing, which more members fill. Others leave the cache.
SMALL_ROLLOUT, SIDE_BY_SIDE = 32, 4


class Layout(NamedTuple):
    """How members lie on devices.

    Attributes:
        mesh: the devices in use.
        num_members: without those that fill up.
        num_groups: that take turns.
        group_size: members of a group, over all devices.
    """

    mesh: Mesh
    num_members: int
    num_groups: int
    group_size: int

    @property
    def slots(self) -> np.ndarray:
        """Which member computes where, int ``[num_groups, group_size]``; the last one fills up."""
        slots = np.minimum(np.arange(self.num_groups * self.group_size), self.num_members - 1)
        return slots.reshape(self.num_groups, self.group_size)


def layout_for(num_members: int, devices: Sequence[Any] | None = None, side_by_side: int | None = None) -> Layout:
    """Spread members over ``devices``, by default this process's, ``side_by_side`` a device in each group, or all.

    Under ``jax_disable_jit`` each is a group of its own, on one device.
    """
    devices = list(jax.local_devices() if devices is None else devices)[:num_members]
    if uncompiled():
        devices, side_by_side = devices[:1], 1
    a_device = math.ceil(num_members / len(devices))
    num_groups = math.ceil(a_device / (side_by_side or a_device))
    # As few copies as can be: of 5 members a device in groups of at most 4, 3 and 3.
    group_size = math.ceil(a_device / num_groups) * len(devices)
    return Layout(Mesh(np.array(devices), ("members",)), num_members, num_groups, group_size)


def side_by_side_for(needs: Needs, platform: str) -> int | None:
    """How many members a device should compute side by side; ``None`` for all that it has.

    On CPU one, or some where a rollout has less than `SMALL_ROLLOUT` steps. Elsewhere small programs leave most of a
    device idle, and members side by side fill it.
    """
    if platform != "cpu":
        return None
    return SIDE_BY_SIDE if needs.num_envs * needs.rollout_length < SMALL_ROLLOUT else 1
