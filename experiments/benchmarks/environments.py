"""How many steps a second microRTS takes by itself, for ``benchmark.py environments``."""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import rlx
from benchmarks.report import Report, Settings
from rlx.envs import vector
from rlx.runner.programs import compiler_options
from rlx.types import Key, MultiDiscrete, PyTree

DESCRIPTION = """A step is all that training asks of an environment: observations, masks, auto-reset, and here
a random action drawn from the mask. Two speeds stand beside ours that were measured on two other, idle cores: the gym
API that the paper used, one environment at a time, and a plain vmapped transcription of the rules in JAX.
"""

# Steps a second.
GYM = {"4x4": 7_900, "10x10": 6_800, "16x16": 6_900, "24x24": 6_400}
PLAIN_JAX = {
    ("4x4", 1): 144_000,
    ("4x4", 64): 885_000,
    ("4x4", 256): 694_000,
    ("10x10", 1): 61_000,
    ("10x10", 64): 274_000,
    ("10x10", 256): 425_000,
    ("16x16", 1): 41_000,
    ("16x16", 64): 67_000,
    ("16x16", 256): 92_000,
    ("24x24", 1): 37_000,
    ("24x24", 64): 97_000,
    ("24x24", 256): 81_000,
}
NUM_ENVS = (1, 64, 256, 1024)
_CELLS_STEPPED = 20_000_000  # by a device in a repetition, so that it takes about a tenth of a second or more


def measure(settings: Settings) -> Report:
    """A row for each map and number of environments."""
    rows = [row(name, num_envs, settings) for name in GYM for num_envs in NUM_ENVS]
    return Report("environments", "microRTS by itself", DESCRIPTION, rows)


def row(name: str, num_envs: int, settings: Settings) -> dict[str, Any]:
    """The speed on one device and on all, and how many times the others' that is."""
    devices = [count for count in sorted({1, jax.device_count()}) if num_envs % count == 0]
    speeds = {
        f"steps/s, {count} device{'s' * (count > 1)}": steps_per_second(
            name, num_envs, count, settings.repetitions, settings.quick
        )
        for count in devices
    }
    fastest = max(speeds.values())
    ratios = {"x gym": fastest / GYM[name]}
    if (name, num_envs) in PLAIN_JAX:
        ratios["x plain JAX"] = fastest / PLAIN_JAX[name, num_envs]
    return {"map": name, "envs": num_envs, **speeds, **ratios}


def steps_per_second(name: str, num_envs: int, devices: int, repetitions: int, quick: bool) -> float:
    """The median speed over the repetitions, of all environments together (see `player`)."""
    play = player(name, num_envs, devices, quick)
    return float(np.median([play() for _ in range(repetitions)]))


def player(name: str, num_envs: int, devices: int = 1, quick: bool = False) -> Callable[[], float]:
    """A compiled function that plays at random for a while and returns steps a second, of all environments together.

    Args:
        name: the map, such as ``"10x10"``.
        num_envs: environments, spread evenly over the devices.
        devices: how many to use.
        quick: do a tenth of the work.
    """
    env = rlx.make_env(f"rlx/microrts-{name}")
    cells = env.spec.obs_shape[0] ** 2
    steps = max(2, _CELLS_STEPPED // (10 if quick else 1) // (cells + 400) // max(num_envs // devices, 16))

    def one_step(carry: PyTree, key: Key) -> tuple[PyTree, None]:
        state, timestep = carry
        action_key, step_key = jax.random.split(key)
        assert isinstance(env.spec.action_space, MultiDiscrete)
        action = draw(action_key, timestep.action_mask, env.spec.action_space.nvec)
        return vector.step(env, state, action, step_key), None

    def start(keys: Key) -> PyTree:
        return vector.reset(env, keys[0], num_envs // devices)

    def run(carry: PyTree, keys: Key) -> PyTree:
        return jax.lax.scan(one_step, carry, jax.random.split(keys[0], steps))[0]

    mesh, axis = Mesh(np.array(jax.devices()[:devices]), "envs"), PartitionSpec("envs")
    spread = functools.partial(jax.shard_map, mesh=mesh, in_specs=axis, out_specs=axis, check_vma=False)
    options = compiler_options(jax.default_backend())
    program = jax.jit(spread(run), donate_argnums=0, compiler_options=options)
    carry = jax.jit(spread(start))(jax.random.split(jax.random.key(0), devices))
    turns = itertools.count()

    def play() -> float:
        nonlocal carry
        keys = jax.random.split(jax.random.key(next(turns)), devices)
        began = time.perf_counter()
        carry = jax.block_until_ready(program(carry, keys))
        return num_envs * steps / (time.perf_counter() - began)

    play()  # compiles
    return play


def draw(key: Key, mask: jax.Array, nvec: tuple[int, ...]) -> jax.Array:
    """Random actions ``[N, 8]``: as source and target the first valid cell from a random one on, or else that one."""
    action = jax.random.randint(key, (mask.shape[0], len(nvec)), 0, np.array(nvec))
    cells = np.arange(nvec[0])
    for component, valid in ((0, mask[:, : len(cells)]), (len(nvec) - 1, mask[:, -len(cells) :])):
        first = action[:, component]
        ahead = cells - first[:, None] + jnp.where(cells < first[:, None], len(cells), 0)
        nearest = jnp.where(valid, ahead, len(cells)).min(axis=1)
        action = action.at[:, component].set((first + nearest) % len(cells))
    return action
