"""Bias and variance of the four methods' policy gradients on Pendulum, early and late in the training of PPO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from papers.mbma import _measure as measuring
from papers.mbma._pendulum import PAPER, SETTINGS, TASK

from rlx.ops import gradient_bias
from rlx.report.figures import COLOURS, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UPDATES = (8, 30)
AC, CONTROL, MBMA, MBPO, QMA = measuring.AC, "AC, split in halves", "MBMA", "MBPO", "QMA"
BIAS, COSINE, VARIANCE, RETURN = "relative bias", "cosine", "relative variance", "return"
PRINTED_BIAS, PRINTED_VARIANCE = "printed bias", "printed variance"


def job(num_updates: int, scale: Scale) -> Chunked:
    """A seed a chunk."""
    count, more = scale.options["estimates"], scale.options["reference"]

    def advance(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        found = measuring.measure(chunk, num_updates, count, more)
        return state, {name: np.asarray(values)[None] for name, values in found.items()}

    settings = {
        "task": TASK,
        "agent": SETTINGS,
        "actor": measuring.ACTOR,
        "updates": num_updates,
        "methods": measuring.SOURCES,
        "episodes": measuring.NUM_EPISODES,
        "estimates": count,
        "reference": more,
        "q_functions": [measuring.RECENT, measuring.Q_EPOCHS, measuring.Q_BATCH],
        "seeds": scale.seeds,
    }
    return Chunked(
        f"after-{num_updates}", settings, scale.seeds, lambda: np.zeros(()), advance, weight=num_updates + 30
    )


def jobs(scale: Scale) -> Sequence[Chunked]:
    """One for each point of training."""
    return [job(num_updates, scale) for num_updates in UPDATES]


def statistics(estimates: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """All numbers of one method and seed, from ``[K, P]`` and ``[R, P]``."""
    ours, truth = jnp.asarray(estimates), jnp.asarray(reference)
    printed = {
        PRINTED_BIAS: gradient_bias.printed_bias(ours.mean(axis=0), truth.mean(axis=0)),
        PRINTED_VARIANCE: gradient_bias.printed_variance(ours),
    }
    found = {
        BIAS: gradient_bias.relative_bias(ours, truth),
        COSINE: gradient_bias.cosine(ours, truth),
        VARIANCE: gradient_bias.relative_variance(ours, truth),
    }
    for name, averages in printed.items():
        found |= {name: averages.mean, f"{name}, IQM": averages.interquartile}
        found |= {f"{name}, ratio of sums": averages.of_sums}
    return {name: float(value) for name, value in found.items()}


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Return of the policy, and each method's numbers."""
    found = []
    for num_updates in UPDATES:
        measured = outputs(folders[f"after-{num_updates}"])
        found.append(Cell({"updates": num_updates, "method": AC}, RETURN, measured["return"]))
        references = measured["reference"]
        pairs = {method: list(zip(measured[method], references, strict=True)) for method in measuring.SOURCES}
        pairs[CONTROL] = [gradient_bias.halves(estimates) for estimates in references]
        for method, pairs_by_seed in pairs.items():
            by_seed = [statistics(*pair) for pair in pairs_by_seed]
            found += [
                Cell({"updates": num_updates, "method": method}, metric, np.array([seed[metric] for seed in by_seed]))
                for metric in by_seed[0]
            ]
    return found


def late(cells: Cells, method: str, metric: str) -> np.ndarray:
    """One number of a method at the later point, ``[seeds]``."""
    return cells.one(updates=UPDATES[-1], method=method, metric=metric).scores


def listed(scores: np.ndarray) -> str:
    """The scores of all seeds in words."""
    return ", ".join(f"{score:.2f}" for score in scores)


def aligned(cells: Cells) -> Outcome:
    """MBMA's mean gradient points where the true one does."""
    cosines = late(cells, MBMA, COSINE)
    return Outcome(bool((cosines > 0.93).all()), ", ".join(f"{cosine:.3f}" for cosine in cosines))


def below(method: str, other: str, metric: str, factor: float, statement: str) -> Claim:
    """A number of one method is below a share of another's, for every seed."""

    def check(cells: Cells) -> Outcome:
        ours, theirs = late(cells, method, metric), late(cells, other, metric)
        measured = f"{method} {listed(ours)}; {other} {listed(theirs)}"
        return Outcome(bool((ours < factor * theirs).all()), measured)

    criterion = f"{UPDATES[-1]} updates, every seed: {metric} below {factor} of that of {other}"
    return Claim(statement, criterion, check)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Relative bias and variance of every method at both points of training, a dot for each seed."""
    figure, axes = new_figure(1, 2, width=9.6)
    methods = list(dict.fromkeys(str(cell.setting["method"]) for cell in cells.where(metric=BIAS)))
    for panel, metric in zip(axes[0], (BIAS, VARIANCE), strict=True):
        for shift, (num_updates, colour) in enumerate(zip(UPDATES, COLOURS, strict=False)):
            scores = [cells.one(updates=num_updates, method=method, metric=metric).scores for method in methods]
            places = [np.full(len(each), place + 0.2 * shift) for place, each in enumerate(scores)]
            label = f"after {num_updates} updates"
            panel.plot(np.concatenate(places), np.concatenate(scores), "o", color=colour, alpha=0.7, label=label)
        panel.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
        panel.set_yscale("symlog", linthresh=0.1)
        tidy(panel, metric, "", "")
        panel.set_ylim(-0.02, 2 * max(cell.scores.max() for cell in cells.where(metric=metric)))
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"bias_variance": figure}


TABLE = Table(
    title="Pendulum: bias and variance of the policy gradients of MBMA, MBPO and QMA against the actor-critic's (AC)",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={
        "small": Scale(
            3,
            "48 estimates of 8 episodes a method, 300 for the reference",
            "10 min on 2 cores",
            {"estimates": 48, "reference": 300},
        )
    },
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "Simulated actions give the right direction",
            f"{UPDATES[-1]} updates, every seed: cosine of MBMA's mean and the reference above 0.93",
            aligned,
        ),
        below(MBMA, MBPO, BIAS, 0.6, "Simulated actions are less biased than simulated states"),
        below(MBMA, QMA, BIAS, 0.3, "Simulated actions are less biased than actions valued by a critic"),
        below(MBMA, AC, VARIANCE, 0.5, "Simulated actions lower the variance"),
    ),
    figures=figures,
    statistic="mean",
)
