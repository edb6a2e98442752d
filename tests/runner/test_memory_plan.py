import os

import jax
import jax.numpy as jnp
import pytest

from rlx.errors import ConfigurationError
from rlx.replay.ring import Ring
from rlx.runner.memory_plan import memory_plan

KIB = 1024
CPU = jax.devices("cpu")[:1]


def test_memory_is_planned_with_replay_and_rollouts_named():
    ring = Ring(jax.ShapeDtypeStruct((2, 3 * KIB), jnp.float32))  # 24 KiB
    state = {"replay": ring, "params": jax.ShapeDtypeStruct((2, KIB), jnp.uint8)}  # and 2 KiB
    rollout = jax.ShapeDtypeStruct((3, KIB), jnp.uint8)
    assert memory_plan(state, rollout, CPU) == "state 26 KiB (replay 24 KiB) and rollouts 3 KiB on 1 device"


@pytest.mark.parametrize(("state", "rollout"), [(1.1, 0), (0.6, 0.5)])
def test_what_cannot_fit_is_refused_with_a_remedy(state, rollout):
    floats = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    shapes = Ring(jax.ShapeDtypeStruct((int(state * floats),), jnp.float32))
    with pytest.raises(ConfigurationError, match=r"do not fit: .* lower num_seeds or agent.replay_size"):
        memory_plan(shapes, jax.ShapeDtypeStruct((int(rollout * floats),), jnp.float32), CPU)
