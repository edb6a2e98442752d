"""How fast a causal model is found, beside the lingam package (`make bench-peers` installs it)."""

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.problems import linear_model
from benchmarks.report import Report, Settings
from benchmarks.systems import PEERS, installed, started
from benchmarks.turns import speed_of, take_turns
from rlx.ops import lingam

# Samples and variables: of ACE's windows in tasks of few and of many dimensions.
SIZES = ((5_000, 7), (10_000, 7), (5_000, 12), (10_000, 12), (5_000, 24), (10_000, 24))
WHOLE, ROW, SINK = "order and matrix", "row of the reward", "row of a sink"
PACKAGE = "lingam"
# How often in a repetition.
_TIMES = {WHOLE: 1, ROW: 1, SINK: 20}
_SEED = 0


def measure(settings: Settings) -> Report:
    """A row for each size, if it should be quick only for the smallest."""
    rows = []
    for samples, variables in SIZES[: 1 if settings.quick else None]:
        print(f"{samples} samples of {variables} variables", file=sys.stderr)
        rows.append(row(samples, variables, speeds_of(samples, variables, settings.repetitions)))
    return Report("lingam", "Causal discovery", DESCRIPTION, rows)


DESCRIPTION = """DirectLiNGAM of random linear models with uniform noise, the last variable the reward: its whole
order and matrix of coefficients; the search of the order until the reward has its place, and its row
(`agent.weights=lingam` of ACE); and the row of a reward that causes nothing, for which there is nothing to search
(`agent.weights=sink`). rlx computes in 32 bits; the package, of which only the whole can be had, in 64. Medians of
interleaved repetitions."""


def speeds_of(samples: int, variables: int, repetitions: int) -> dict[str, list[float]]:
    """How often a second each is done, once a round."""
    measures: dict[str, Callable[[], float]] = {
        name: speed_of(program, _TIMES[name], _TIMES[name]) for name, program in programs(samples, variables).items()
    }
    with contextlib.ExitStack() as stack:
        for peer in installed([PEERS[PACKAGE]]):
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            task = {"iterations": 1, "steps_per_iteration": 1, "members": 1}
            task |= {"samples": samples, "variables": variables, "seed": _SEED}
            measures[PACKAGE] = stack.enter_context(started(peer, task, cache)).steps_per_second
        return take_turns(measures, repetitions)


def programs(samples: int, variables: int) -> dict[str, Callable[[int], None]]:
    """What rlx does with the same samples; each program does it a number of times."""
    x = jnp.asarray(linear_model(samples, variables, np.random.default_rng(_SEED)), jnp.float32)
    reward = variables - 1
    functions = {
        WHOLE: lambda x: lingam.direct_lingam(x),
        ROW: lambda x: lingam.row(x, reward),
        SINK: lambda x: lingam.sink_row(x, reward),
    }
    return {name: repeated(jax.jit(function), x) for name, function in functions.items()}


def repeated(function: Callable[[jax.Array], Any], x: jax.Array) -> Callable[[int], None]:
    """A program that calls ``function`` a number of times and waits for it."""

    def run(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(function(x))

    return run


def row(samples: int, variables: int, speeds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Milliseconds of each, and how many times as fast as the package, a median over rounds, and the least of them."""
    cells: dict[str, Any] = {"samples": samples, "variables": variables}
    for name, speed in speeds.items():
        cells[f"{name}, ms"] = 1e3 / statistics.median(speed)
    for name in _TIMES if PACKAGE in speeds else ():
        ratios = [ours / theirs for ours, theirs in zip(speeds[name], speeds[PACKAGE], strict=True)]
        cells |= {f"{name}, x times as fast": statistics.median(ratios), f"{name}, least": min(ratios)}
    return cells
