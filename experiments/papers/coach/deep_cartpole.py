"""Deep COACH taught CartPole by a scripted trainer: with and without replay, sparse, wrong and late feedback."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from papers.coach._teach import QUALITATIVE

import rlx
from rlx.envs.api import Env
from rlx.envs.teacher import Channel
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.runner import loop, population
from rlx.runner.acting import acting_part
from rlx.runner.evaluate import evaluate
from rlx.types import Agent, Clock, Key, PyTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = "Arumugam et al. 2019, https://arxiv.org/abs/1902.04257"
EVERY, EVALUATIONS, EPISODES = 250, 12, 16
SHORT, LONG = 1_500, 3_000
REPLAY, ONCE = "yes", "no"
RETURN = "greedy return"


class Row(NamedTuple):
    """A row: whether windows are replayed, what the channel does, and the delay that the agent is told of."""

    fault: str
    replay: str
    steps: int
    told: int
    channel: Channel


SPARSE, SPARSER, WRONG, LATE = "one in 5 spoken", "one in 20 spoken", "one in 5 spoken, 20 % wrong sign", "4 steps late"
SLOTS = 5
FIFTH = Channel(probability=0.2, lag=1, slots=SLOTS)
TWENTIETH = Channel(probability=0.05, lag=1, slots=SLOTS)
ROWS = (
    Row(SPARSE, REPLAY, SHORT, 1, FIFTH),
    Row(SPARSE, ONCE, SHORT, 1, FIFTH),
    Row(SPARSER, REPLAY, SHORT, 1, TWENTIETH),
    Row(SPARSER, ONCE, SHORT, 1, TWENTIETH),
    Row(WRONG, REPLAY, LONG, 1, Channel(probability=0.2, flips=0.2, lag=1, slots=SLOTS)),
    Row(LATE, REPLAY, LONG, 4, Channel(probability=0.2, lag=4, slots=SLOTS)),
    Row(LATE, REPLAY, LONG, 1, Channel(probability=0.2, lag=4, slots=SLOTS)),
)


def rows(replay: str) -> list[Row]:
    """Those with or without replay, which are members of one program."""
    return [row for row in ROWS if row.replay == replay]


def job(replay: str, seeds: int) -> Chunked:
    """Teach every such row with every seed; outputs: greedy returns ``[EVALUATIONS, rows, seeds]``."""
    chosen = rows(replay)
    env = rlx.make_env("gymnax/CartPole-v1", teacher="action", feedback_lag=SLOTS - 1)
    fields = {"batch_size": 16 if replay == REPLAY else 0}
    agents = [rlx.make_agent("deep_coach", env, delay=row.told, **fields) for row in chosen for _ in range(seeds)]
    stacked = population.stack(agents)
    spread = [row.channel for row in chosen for _ in range(seeds)]
    channels = jax.tree.map(lambda *leaves: jnp.stack(leaves), *spread)
    keys = population.keys_for(range(len(agents)), population.INIT_STREAM)

    def init() -> PyTree:
        return _begun(env, stacked, channels, keys)

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        evaluation_keys = population.evaluation_keys(range(len(agents)), chunk)
        state, returns = _advanced(env, stacked, channels, state, evaluation_keys)
        return state, {"returns": np.asarray(returns).reshape(1, len(chosen), seeds)}

    settings: dict[str, Any] = {"seeds": seeds, "every": EVERY, "episodes": EPISODES, "fields": fields}
    settings["rows"] = [[row.fault, row.told, dataclasses.astuple(row.channel)] for row in chosen]
    return Chunked(f"replay_{replay}", settings, EVALUATIONS, init, advance, weight=10.0 if replay == REPLAY else 1.0)


def _with(env: Env, channel: Channel) -> Env:
    assert env.teacher is not None
    return dataclasses.replace(env, teacher=dataclasses.replace(env.teacher, channel=channel))


@functools.partial(jax.jit, static_argnums=0)
def _begun(env: Env, agents: Agent, channels: Channel, keys: Key) -> loop.RunState:
    clock = Clock.start(EVERY * EVALUATIONS, 1)
    start = lambda agent, channel, key: loop.init(agent, _with(env, channel), key, clock)  # noqa: E731
    return jax.vmap(start, out_axes=loop.MEMBER_AXES)(agents, channels, keys)


@functools.partial(jax.jit, static_argnums=0)
def _advanced(
    env: Env, agents: Agent, channels: Channel, state: loop.RunState, keys: Key
) -> tuple[loop.RunState, jax.Array]:
    members = (0, 0, loop.MEMBER_AXES)
    iterate = jax.vmap(
        lambda agent, channel, state: loop.iterate(agent, _with(env, channel), state), members, loop.MEMBER_AXES
    )

    def step(_: jax.Array, state: loop.RunState) -> loop.RunState:
        state = iterate(agents, channels, state)
        return dataclasses.replace(state, clock=state.clock.advance())

    state = jax.lax.fori_loop(0, EVERY, step, state)
    play = lambda agent, acting, key: evaluate(agent, env, acting, key, EPISODES, "greedy").returns.mean()  # noqa: E731
    return state, jax.vmap(play)(agents, acting_part(agents, state.agent), keys)


def jobs(scale: Scale) -> Sequence[Chunked]:
    """With replay and without."""
    return [job(replay, scale.seeds) for replay in (REPLAY, ONCE)]


def curves(folders: Mapping[str, Path], replay: str) -> np.ndarray:
    """Greedy returns ``[EVALUATIONS, rows, seeds]``."""
    return outputs(folders[f"replay_{replay}"])["returns"]


def setting(row: Row) -> dict[str, str | int]:
    """What tells a row from the others."""
    told: dict[str, str | int] = {"feedback": row.fault, "replay": row.replay, "steps": row.steps, "delay": row.told}
    return told | {"paper": QUALITATIVE}


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """The greedy return after each row's steps."""
    found = []
    for replay in (REPLAY, ONCE):
        for index, row in enumerate(rows(replay)):
            returns = curves(folders, replay)[row.steps // EVERY - 1, index]
            found.append(Cell(setting(row), RETURN, returns))
    return found


def mean(cells: Cells, **query: str | int) -> float:
    """Mean over seeds of one row."""
    return float(cells.one(**query).scores.mean())


def learns(cells: Cells) -> Outcome:
    """About 300 presses teach it."""
    found = mean(cells, feedback=SPARSE, replay=REPLAY)
    return Outcome(found >= 400, f"{found:.0f}")


def replay_helps(cells: Cells) -> Outcome:
    """One press is used many times."""
    kept, once = (mean(cells, feedback=SPARSE, replay=replay) for replay in (REPLAY, ONCE))
    return Outcome(kept - once >= 100, f"{kept:.0f} and {once:.0f}")


def lag_matters(cells: Cells) -> Outcome:
    """It has to be told how late feedback is."""
    wrong, right = (mean(cells, feedback=LATE, delay=told) for told in (1, 4))
    return Outcome(wrong <= 150 and right >= 430, f"{right:.0f} with the true delay, {wrong:.0f} with 1")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Greedy returns against steps."""
    figure, axes = new_figure(width=7.2)
    steps = EVERY * np.arange(1, EVALUATIONS + 1)
    for number, row in enumerate(ROWS):
        index = rows(row.replay).index(row)
        label = f"{row.fault}, delay {row.told}" + ("" if row.replay == REPLAY else ", no replay")
        draw_band(axes[0, 0], steps, curves(folders, row.replay)[:, index], label, COLOURS[number], statistic="mean")
    tidy(axes[0, 0], "Deep COACH on CartPole, a scripted trainer", "steps", "greedy return")
    axes[0, 0].legend(fontsize=7, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Deep COACH: CartPole, taught by a script",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "1,500 or 3,000 steps", "30 s on 1 core")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("Some 300 presses teach it", "at least 400 after 1,500 steps", learns),
        Claim("Replaying windows is what does it", "at least 100 more than without", replay_helps),
        Claim("It must know how late feedback is", "4 late: at least 430 told so, at most 150 told 1", lag_matters),
    ),
    figures=figures,
    statistic="mean",
)
