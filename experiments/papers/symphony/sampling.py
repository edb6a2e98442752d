"""How the fading replay draws, and how many terminations it keeps: the real replay against the formula."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from papers.symphony._small import PAPER

from rlx.ops import fading
from rlx.replay import replay as replays
from rlx.replay import rules, sampling
from rlx.replay.replay import Replay
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.types import Key, PyTree, Transition

BLOCK, COPIES = 400, 50
ROWS = BLOCK * COPIES
WRITTEN, BATCH, BATCHES = 5_000, 2_000, 500  # a million draws a seed
DRAWS = BATCH * BATCHES
EPISODE = 24  # mean length, as of the untrained humanoid
FILLS = 20
RULES: Mapping[str, rules.Rule] = {
    "fading": rules.ByAge(sampling.inverse_cdf_of(fading.age_weights(ROWS))),
    "uniform": rules.UNIFORM,
}
WEIGHTS = {"fading": fading.age_weights(ROWS), "uniform": np.ones(ROWS)}
# Of the formula, by the specification: mean of i / N, effective sample size / N, mass of the oldest quarter and half.
EXPECTED = {"mean age rank": 0.6218, "effective size": 0.80, "oldest quarter": 0.045, "oldest half": 0.33}
P_VALUE, KEPT = "p of chi-square", "share of terminations in the replay"


def transition(number: jax.Array, terminated: jax.Array) -> Transition:
    """Transitions ``[T, 1]`` that are nothing but numbers and ends."""
    real, flag = number.astype(jnp.float32)[:, None], terminated[:, None]
    return Transition(real, real, real, flag, jnp.zeros_like(flag), real, None, None, extras={})


def empty(block: int, copies: int) -> Replay:
    """A replay of one environment."""
    example = jax.tree.map(lambda leaf: leaf[0, 0], transition(jnp.zeros(1), jnp.zeros(1, bool)))
    return replays.create_tiled(example, block, copies, 1, 1)


@functools.partial(jax.jit, static_argnames=("steps",), donate_argnums=0)
def written(replay: Replay, key: Key, start: jax.Array, steps: int) -> Replay:
    """The replay after ``steps`` more transitions, of which one in `EPISODE` terminates."""
    ends = jax.random.bernoulli(key, 1.0 / EPISODE, (steps,))

    def one(step: jax.Array, replay: Replay) -> Replay:
        rollout = transition((start + step)[None], jax.lax.dynamic_slice(ends, (step,), (1,)))
        return replays.add(replay, rollout, start + step + 1)

    return jax.lax.fori_loop(0, steps, one, replay)


def counts(replay: Replay, key: Key, rule: rules.Rule) -> np.ndarray:
    """How often each row was drawn, from the oldest on, ``[ROWS]``."""
    assert replay.queue is not None
    oldest = replay.queue.pointer[0] + 1

    @jax.jit
    def drawn(key: Key) -> jax.Array:
        sample = replays.sample(replay, BLOCK, key, BATCH, rule, 0.99)
        return (sample.indices - oldest) % ROWS

    found = [np.bincount(drawn(k), minlength=ROWS) for k in jax.random.split(key, BATCHES)]
    return np.sum(found, axis=0)


def chi_square(found: np.ndarray, weights: np.ndarray) -> float:
    """Probability of a larger chi-square, by Wilson and Hilferty; rows of few draws are taken together."""
    expected = found.sum() * weights / weights.sum()
    groups = np.minimum(np.floor(np.cumsum(expected) / 20.0), np.floor(found.sum() / 20.0) - 1).astype(int)
    seen, wanted = (np.bincount(groups, values) for values in (found, expected))
    used = wanted > 0
    statistic, freedom = float(((seen - wanted)[used] ** 2 / wanted[used]).sum()), int(used.sum()) - 1
    spread = 2.0 / (9.0 * freedom)
    return 0.5 * math.erfc(((statistic / freedom) ** (1 / 3) - 1.0 + spread) / math.sqrt(2.0 * spread))


def draw_job(rule: str, seeds: int) -> Chunked:
    """A chunk is a seed."""

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        write_key, draw_key = jax.random.split(jax.random.key(chunk))
        replay = written(empty(BLOCK, COPIES), write_key, jnp.int32(0), WRITTEN)
        found = counts(replay, draw_key, RULES[rule])
        share = found / found.sum()
        scores = {
            P_VALUE: chi_square(found, WEIGHTS[rule]),
            "mean age rank": share @ np.arange(ROWS) / ROWS,
            # Of n draws of N rows the sum of squares is too large by 1 / n.
            "effective size": 1.0 / ((share**2).sum() - 1.0 / DRAWS) / ROWS,
            "oldest quarter": share[: ROWS // 4].sum(),
            "oldest half": share[: ROWS // 2].sum(),
        }
        return state, {name: np.array([score]) for name, score in scores.items()}

    settings = {"rows": ROWS, "written": WRITTEN, "draws": DRAWS, "rule": rule, "seeds": seeds}
    return Chunked(f"draws-{rule}", settings, seeds, lambda: np.zeros(()), advance)


def keep_job(seeds: int) -> Chunked:
    """Shares of terminations ``[seeds, FILLS + 1]`` after each refill of a replay whose episodes stay short."""
    block, copies = 200, 10

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        keys, rows = jax.random.split(jax.random.key(chunk), FILLS + 1), block * copies
        replay = written(empty(block, copies), keys[0], jnp.int32(0), block)
        shares = [float(replay.ring.data.terminated.mean())]
        for fill in range(FILLS):
            replay = written(replay, keys[fill + 1], jnp.int32(block + fill * rows), rows)
            shares.append(float(replay.ring.data.terminated.mean()))
        return state, {"share": np.array([shares])}

    settings = {"block": block, "copies": copies, "fills": FILLS, "episode": EPISODE, "seeds": seeds}
    return Chunked("terminations", settings, seeds, lambda: np.zeros(()), advance)


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Draws by each rule, and a long life of a replay."""
    return [*(draw_job(rule, scale.seeds) for rule in RULES), keep_job(scale.seeds)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """What was drawn, and what is kept."""
    found = [
        Cell({"rule": rule, "refills": 0}, metric, scores)
        for rule in RULES
        for metric, scores in outputs(folders[f"draws-{rule}"]).items()
    ]
    shares = outputs(folders["terminations"])["share"]
    return found + [Cell({"rule": "fading", "refills": n}, KEPT, shares[:, n]) for n in (0, 1, 2, 5, 10, FILLS)]


def drawn_as_written(rule: str) -> Claim:
    """The specification's P4."""

    def check(cells: Cells) -> Outcome:
        least = cells.one(rule=rule, refills=0, metric=P_VALUE).scores.min()
        return Outcome(bool(least > 1e-3), f"least p {least:.3g}")

    return Claim(f"Draws follow the {rule} weights", "chi-square of a million draws: p above 0.001, every seed", check)


def fades_mildly(cells: Cells) -> Outcome:
    """The shape of the weights."""
    found = {name: cells.one(rule="fading", refills=0, metric=name).scores.mean() for name in EXPECTED}
    holds = all(abs(found[name] - value) < 0.01 for name, value in EXPECTED.items())
    return Outcome(bool(holds), ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def terminations_stay(cells: Cells) -> Outcome:
    """Terminations gather, and no more than every other row can be one that is spared."""
    ends = [cells.one(refills=n, metric=KEPT).scores.mean() for n in (0, FILLS)]
    return Outcome(bool(ends[0] < ends[1] <= 0.5), f"{ends[0]:.3f} when full, {ends[1]:.3f} after {FILLS} refills")


CHECKS: Sequence[tuple[str, str, Callable[[Cells], Outcome]]] = (
    (
        "It is a mild recency bias",
        "mean rank, effective size and mass of the old within 0.01 of the formula",
        fades_mildly,
    ),
    ("Terminations gather", "their share grows, and stays below a half", terminations_stay),
)
TABLE = Table(
    title="Symphony's fading replay: how it draws, and what it keeps",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "a million draws; 20 refills", "2 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(*(drawn_as_written(rule) for rule in RULES), *(Claim(*check) for check in CHECKS)),
    statistic="mean",
)
