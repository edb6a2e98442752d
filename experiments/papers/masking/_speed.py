"""How fast the environment is by itself: 256 copies, on all devices, that play at random."""

from collections.abc import Callable

import jax
import numpy as np
from benchmarks.environments import player
from papers.masking._regimes import MAPS

from rlx.reproduce.jobs import Chunked
from rlx.types import PyTree

NAME, ENVS, TURNS = "speed", 256, 7


def job() -> Chunked:
    """Repetitions in which the maps take turns."""
    players: dict[str, Callable[[], float]] = {}
    devices = jax.device_count()

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        if not players:
            players.update({name: player(name, ENVS, devices) for name in MAPS})
        return state, {name: np.array([play()]) for name, play in players.items()}

    settings = {"envs": ENVS, "devices": devices, "turns": TURNS}
    return Chunked(NAME, settings, TURNS, lambda: np.zeros(()), advance, weight=0.1)
