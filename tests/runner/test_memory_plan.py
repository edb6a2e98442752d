import os

import jax
import jax.numpy as jnp
import pytest

from rlx.errors import ConfigurationError
from rlx.replay.replay import create
from rlx.replay.ring import Ring
from rlx.replay.transitions import example_transition
from rlx.runner.memory_plan import memory_plan
from rlx.types import Discrete, EnvSpec

KIB, MIB = 1024, 2**20
CPU = jax.devices("cpu")[:1]


def test_memory_is_planned_with_replay_and_rollouts_named():
    ring = Ring(jax.ShapeDtypeStruct((2, 3 * KIB), jnp.float32))  # 24 KiB
    state = {"replay": ring, "params": jax.ShapeDtypeStruct((2, KIB), jnp.uint8)}  # and 2 KiB
    rollout = jax.ShapeDtypeStruct((3, KIB), jnp.uint8)
    line = "state 26 KiB (replay 24 KiB) and rollouts 3 KiB on 1 device, and 26 KiB of the host to save it"
    assert memory_plan(state, rollout, CPU) == line


def test_saving_takes_pieces_and_reading_takes_all():
    gib = jax.ShapeDtypeStruct((1024, MIB), jnp.uint8)
    assert memory_plan(gib, (), CPU).endswith("288 MiB of the host to save it")  # nine pieces of 32 MiB
    assert memory_plan(gib, (), CPU, resumed=True).endswith("1 GiB of the host to read it")


def test_priorities_are_replay():
    """1,600 transitions, and sums of 4 B each on levels of 1,600, 112 and 16."""
    spec = EnvSpec("a/b", (1,), "uint8", Discrete(2), None)
    replay = jax.eval_shape(lambda: create(example_transition(spec), 1600, 1, 1, prioritise=True))
    stored = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(replay.ring))
    plan = memory_plan({"replay": replay, "rest": jax.ShapeDtypeStruct((MIB,), jnp.uint8)}, (), CPU)
    assert f"(replay {(stored + 4 * (1600 + 112 + 16) + 4) / KIB:.3g} KiB)" in plan


@pytest.mark.parametrize(("state", "rollout"), [(1.1, 0), (0.6, 0.5)])
def test_what_cannot_fit_is_refused_with_a_remedy(state, rollout):
    floats = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    shapes = Ring(jax.ShapeDtypeStruct((int(state * floats),), jnp.float32))
    with pytest.raises(ConfigurationError, match=r"do not fit: .* lower num_seeds or agent.replay_size"):
        memory_plan(shapes, jax.ShapeDtypeStruct((int(rollout * floats),), jnp.float32), CPU)
