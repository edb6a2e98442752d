"""How fast the environment is by itself: members of 256 copies that play at random, in the program of training."""

from collections.abc import Callable

import jax
import numpy as np
from benchmarks.environments import playing
from papers.masking._regimes import MAPS

from rlx.reproduce.jobs import Chunked
from rlx.types import PyTree

NAME, ENVS, TURNS = "speed", 256, 7
# Members of a population -> what its rows are called.
REGIMES = {1: "environment alone", 4: "environment alone, 4 members"}


def job() -> Chunked:
    """Repetitions in which the maps take turns."""
    players: dict[str, Callable[[], float]] = {}

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        if not players:
            players.update({f"{m} {regime}": playing(m, ENVS, n) for m in MAPS for n, regime in REGIMES.items()})
            for play in players.values():
                play()  # compiles
        return state, {name: np.array([play()]) for name, play in players.items()}

    settings = {"envs": ENVS, "devices": jax.device_count(), "turns": TURNS, "members": list(REGIMES)}
    return Chunked(NAME, settings, TURNS, lambda: np.zeros(()), advance, weight=0.2)
