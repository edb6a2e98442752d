"""How fast the environment is by itself: many copies that play at random."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from papers.masking._regimes import MAPS

from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.reproduce.jobs import Chunked
from rlx.types import PyTree

NAME, ENVS, STEPS, TURNS = "speed", 256, 200, 7


def player(map_name: str) -> Callable[[jax.Array], float]:
    """A function that plays at random and returns environment steps a second."""
    env = make_env(f"rlx/microrts-{map_name}")
    sizes = jnp.array(env.spec.action_space.nvec)  # type: ignore[union-attr]

    def step(carry: PyTree, key: jax.Array) -> tuple[PyTree, None]:
        action_key, env_key = jax.random.split(key)
        action = jax.random.randint(action_key, (ENVS, len(sizes)), 0, sizes)
        return vector.step(env, carry[0], action, env_key), None

    @jax.jit
    def play(key: jax.Array) -> PyTree:
        # Whole timesteps are carried along, so that every observation and mask is computed.
        return jax.lax.scan(step, vector.reset(env, key, ENVS), jax.random.split(key, STEPS))[0]

    def steps_per_second(key: jax.Array) -> float:
        began = time.perf_counter()
        jax.block_until_ready(play(key))
        return ENVS * STEPS / (time.perf_counter() - began)

    steps_per_second(jax.random.key(0))  # compiles
    return steps_per_second


def job() -> Chunked:
    """Repetitions in which the maps take turns."""
    players: dict[str, Callable[[jax.Array], float]] = {}

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        if not players:
            players.update({name: player(name) for name in MAPS})
        return state, {name: np.array([play(jax.random.key(chunk))]) for name, play in players.items()}

    settings = {"envs": ENVS, "steps": STEPS, "turns": TURNS}
    return Chunked(NAME, settings, TURNS, lambda: np.zeros(()), advance, weight=0.1)
