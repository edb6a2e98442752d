"""How fast the chain's program is: settings and seeds a second, beside a plain NumPy loop of the same algorithm."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from papers.logq import _linear_sweeps as linear
from papers.logq import _numpy_loop
from papers.logq._linear import LogQLearning, QLearning
from papers.logq._sweeps import METHODS, PAPER, grid

from rlx.envs.finite_mdp import chain, tile_features
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

SEEDS, BLOCKS, LOOP_SWEEPS = 8, 10, 20
# A pair is one seed of one setting, learning for as long as "early" lasts.
SWEEPS_OF_A_PAIR = 10_000
LOOPS = {"regular": _numpy_loop.Regular, "log": _numpy_loop.Logarithmic}
METRICS = ("pairs/s, rlx", "pairs/s, NumPy loop", "ratio")


def program(method: type[QLearning] | type[LogQLearning]) -> Callable[[], int]:
    """A function that learns the 56 settings of a method with all seeds, and returns how many sweeps that were."""
    members = [
        method(discount=point["discount"], spread=linear.spread(tile_features(50, point["width"]), 4))
        for point in grid()
    ]
    settings = linear.stack(members)
    keys, states = jax.vmap(jax.random.key)(jnp.arange(SEEDS)), linear.init_seeds(settings, SEEDS)
    task, optimal = chain(), jnp.zeros(50, jnp.int32)

    def run() -> int:
        jax.block_until_ready(linear.advance_seeds(keys, task, optimal, settings, states, BLOCKS))
        return SEEDS * len(members) * BLOCKS * linear.SWEEPS_PER_BLOCK

    run()  # compiles
    return run


def loop(method: str) -> Callable[[], int]:
    """A function that learns one setting in the loop, and returns how many sweeps that were."""
    rng = np.random.default_rng(0)
    learner = LOOPS[method](num_states=50, width=2, discount=0.5)
    samples = [_numpy_loop.draw_sweep(rng, 50) for _ in range(LOOP_SWEEPS)]

    def run() -> int:
        for number, sweep in enumerate(samples):
            learner.sweep(sweep, number)
        return LOOP_SWEEPS

    return run


def pairs_per_second(run: Callable[[], int]) -> float:
    """Pairs of seed and setting a second."""
    began = time.perf_counter()
    sweeps = run()
    return sweeps / SWEEPS_OF_A_PAIR / (time.perf_counter() - began)


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Repetitions in which the programs and the loops take turns."""
    runs: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {}

    def advance(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if not runs:
            runs.update({name: (program(method), loop(name)) for name, method in METHODS.items()})
        return state, {name: np.array([[pairs_per_second(run) for run in pair]]) for name, pair in runs.items()}

    repetitions = scale.options["repetitions"]
    settings = {"seeds": SEEDS, "blocks": BLOCKS, "loop_sweeps": LOOP_SWEEPS, "repetitions": repetitions}
    return [Chunked("turns", settings, repetitions, lambda: np.zeros(()), advance)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Pairs a second of either, and their ratio; of both methods together by their times."""
    rates = outputs(folders["turns"])
    rates["both"] = 2 / np.sum([1 / rate for rate in rates.values()], axis=0)
    return [
        Cell({"method": method}, metric, scores)
        for method, rate in rates.items()
        for metric, scores in zip(METRICS, (*rate.T, rate[:, 0] / rate[:, 1]), strict=True)
    ]


def hundredfold(cells: Cells) -> Outcome:
    """The program is a hundred times as fast as the loop."""
    ratio = cells.one(method="both", metric="ratio").scores
    return Outcome(bool(np.median(ratio) >= 100), f"median {np.median(ratio):.0f}, least {ratio.min():.0f}")


TABLE = Table(
    title="Chain: pairs of seed and setting a second, in rlx and in a NumPy loop",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(1, "1,000 sweeps a turn", "1 min on 2 cores", {"repetitions": 7})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "One vectorised program makes the whole scan cheap (rlx's own target)",
            "both methods: median ratio at least 100",
            hundredfold,
        ),
    ),
    statistic="iqm",
)
