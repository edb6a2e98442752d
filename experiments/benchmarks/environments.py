"""How many steps a second microRTS takes by itself, for ``benchmark.py environments``."""

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

import rlx
from benchmarks.programs import whole
from benchmarks.report import Report, Settings
from benchmarks.turns import speed_of, take_turns
from rlx.types import Clock, EnvSpec, Key, Metrics, Mode, MultiDiscrete, Needs, PyTree, Timestep, Transition

DESCRIPTION = """The program that training compiles, with an agent that draws a random action from the mask and
learns nothing: observations, masks and auto-reset are those of training. A member stays on one device, and members
spread over all. Two speeds stand beside ours that were measured on two other, idle cores: the gym
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
MEMBERS = (1, 4)
_CELLS_STEPPED = 20_000_000  # by a device in a repetition, so that it takes about a tenth of a second or more


def measure(settings: Settings) -> Report:
    """A row for each map and number of environments."""
    rows = [row(name, num_envs, settings) for name in GYM for num_envs in NUM_ENVS]
    return Report("environments", "microRTS by itself", DESCRIPTION, rows)


def row(name: str, num_envs: int, settings: Settings) -> dict[str, Any]:
    """The speed of one member and of several, and how many times the others' that of one is."""
    plays = {
        f"steps/s, {members} member{'s' * (members > 1)}": playing(name, num_envs, members, settings.quick)
        for members in MEMBERS
    }
    speeds = take_turns(plays, settings.repetitions)
    medians = {way: statistics.median(speed) for way, speed in speeds.items()}
    alone = next(iter(medians.values()))
    ratios = {"1 member, x gym": alone / GYM[name]}
    if (name, num_envs) in PLAIN_JAX:
        ratios["1 member, x plain JAX"] = alone / PLAIN_JAX[name, num_envs]
    return {"map": name, "envs": num_envs, **medians, **ratios}


def playing(name: str, num_envs: int, members: int, quick: bool = False) -> Callable[[], float]:
    """Measures steps a second of all environments together, playing at random.

    Args:
        name: the map, such as ``"10x10"``.
        num_envs: environments of a member.
        members: of a population, over all devices.
        quick: do a tenth of the work.
    """
    env = rlx.make_env(f"rlx/microrts-{name}")
    cells = env.spec.obs_shape[0] ** 2
    agent = Random(num_envs, env.spec)
    steps = agent.needs.num_envs * agent.needs.rollout_length
    work = _CELLS_STEPPED // (10 if quick else 1) // (cells + 400) * min(num_envs, 16) // 16
    iterations = max(1, work // steps)
    return speed_of(whole(agent, env, members), iterations, iterations * members * steps)


@struct.dataclass
class Random:
    """An agent that draws valid actions and learns nothing: what is left of training is the environment."""

    num_envs: int = struct.field(pytree_node=False)
    spec: EnvSpec = struct.field(pytree_node=False)
    weight: float = 0.0

    accepts = (MultiDiscrete,)

    @property
    def needs(self) -> Needs:
        """Rollouts of training, all of a state acts."""
        return Needs(self.num_envs, rollout_length=16, acting=("weight",))

    def init(self, key: Key) -> "Random":
        """The agent itself is its state."""
        return dataclasses.replace(self, weight=jnp.zeros(()))  # type: ignore[arg-type]

    def act(self, state: PyTree, timestep: Timestep, key: Key, clock: Clock) -> tuple[jax.Array, dict[str, Any]]:
        """Random actions that the mask allows."""
        return draw(key, timestep.action_mask, self.spec.nvec), {}

    def update(self, state: PyTree, rollout: Transition, key: Key, clock: Clock) -> tuple[PyTree, Metrics]:
        """Nothing."""
        return state, Metrics({})

    def policy(self, state: PyTree, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """Random actions that the mask allows."""
        return draw(key, timestep.action_mask, self.spec.nvec)


def draw(key: Key, mask: Any, nvec: tuple[int, ...]) -> jax.Array:
    """Random actions ``[N, 8]``: as source and target the first valid cell from a random one on, or else that one."""
    action = jax.random.randint(key, (mask.shape[0], len(nvec)), 0, np.array(nvec))
    cells = np.arange(nvec[0])
    for component, valid in ((0, mask[:, : len(cells)]), (len(nvec) - 1, mask[:, -len(cells) :])):
        first = action[:, component]
        ahead = cells - first[:, None] + jnp.where(cells < first[:, None], len(cells), 0)
        nearest = jnp.where(valid, ahead, len(cells)).min(axis=1)
        action = action.at[:, component].set((first + nearest) % len(cells))
    return action
