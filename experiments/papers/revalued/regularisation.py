"""The regulariser on the factor regulator: its weight and how fast targets follow, and the speed limit they set."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.revalued._regulator import ENSEMBLE, FINAL, PAPER, SMALL, UPDATES, curve, final, training

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPONENTS = 24
BETAS, RATES = (0.0, 0.05, 0.5), (0.005, 0.02)
SETTINGS = [(rate, beta) for rate in RATES for beta in BETAS]
VALUE = "value at the end"
# Of the error over its weight, d / (1 - exp(-d)), as far as the Huber loss is quadratic and beyond: largest at d = 1.
LARGEST_LEAD = 1.0 / (1.0 - math.exp(-1.0))


def job_name(rate: float, beta: float) -> str:
    """Of a training."""
    return f"tau{rate:g}-beta{beta:g}"


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each weight and rate."""
    found = []
    for rate, beta in SETTINGS:
        fields = {**ENSEMBLE, "regularise": True, "regulariser": beta, "target_rate": rate}
        env = {"num_components": COMPONENTS}
        found.append(training(job_name(rate, beta), ("revalued", fields), env, scale))
    return found


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Final returns, and the mean value of actions in minibatches of the last twelfth of training."""
    found = []
    for rate, beta in SETTINGS:
        folder, setting = folders[job_name(rate, beta)], {"tau": rate, "beta": beta}
        found += [Cell(setting, FINAL, final(folder)), Cell(setting, VALUE, curve(folder, "update/q_value")[1][:, -1])]
    return found


def speed_limit(rate: float, beta: float, updates: float = UPDATES) -> float:
    """What utilities that start at 0 can grow to: the target's ``tau / (2 beta)`` an update, and the lead on it."""
    lead = LARGEST_LEAD / (2.0 * beta)
    return lead * (rate * updates + 1.0)


def values_are_held(cells: Cells) -> Outcome:
    """A large weight and slow targets hold values below what they grow to without, and below the speed limit."""
    free, held = (cells.one(tau=RATES[0], beta=beta, metric=VALUE).scores for beta in (0.0, BETAS[-1]))
    limit = speed_limit(RATES[0], BETAS[-1])
    holds = (held < free).all() and held.max() <= limit
    return Outcome(bool(holds), f"{held.mean():.1f} to {free.mean():.1f}, at most {held.max():.1f} of {limit:.1f}")


def faster_targets_free_it(cells: Cells) -> Outcome:
    """Targets that follow faster let values grow faster under the same weight."""
    slow, fast = (cells.one(tau=rate, beta=BETAS[-1], metric=VALUE).scores.mean() for rate in RATES)
    return Outcome(bool(fast > slow), f"{fast:.1f} to {slow:.1f}")


def regulariser_helps(cells: Cells) -> Outcome:
    """Not decided, whatever the numbers: values are still held back by the speed limit."""
    found = [(rate, [cells.one(tau=rate, beta=b, metric=FINAL).scores.mean() for b in BETAS]) for rate in RATES]
    listed = "; ".join(f"tau {rate:g}: {', '.join(f'{mean:.1f}' for mean in means)}" for rate, means in found)
    return Outcome(None, f"returns with beta {', '.join(f'{beta:g}' for beta in BETAS)}: {listed}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns and values against steps, with the speed limit of the largest weight."""
    figure, axes = new_figure(2, len(RATES), width=9.2, height=6.8)
    for (above, below), rate in zip(axes.T, RATES, strict=True):
        for beta, colour in zip(BETAS, COLOURS, strict=False):
            folder, label = folders[job_name(rate, beta)], f"beta {beta:g}"
            steps, returns = curve(folder)
            draw_band(above, steps, returns.T, label, colour, statistic=cells.statistic)
            steps, values = curve(folder, "update/q_value")
            # Before the first update there is no minibatch.
            draw_band(below, steps[1:], values.T[1:], label, colour, statistic=cells.statistic)
        updates = np.maximum(steps - SMALL["learning_starts"], 0) / SMALL["rollout_length"]
        limit = updates * rate / (2.0 * BETAS[-1])
        below.plot(steps, limit, "k:", linewidth=1.2, label=f"tau / (2 beta) an update, beta {BETAS[-1]:g}")
        tidy(above, f"tau {rate:g}", "environment steps", "return of an episode")
        tidy(below, f"tau {rate:g}", "environment steps", "value of actions in minibatches")
        below.legend(fontsize=8, frameon=False)
    return {"return_and_value": figure}


TABLE = Table(
    title="Factor regulator: the regulariser's weight and how fast targets follow",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "16,000 steps", "4 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "The regulariser limits how fast values grow (rlx's own derivation)",
            "tau 0.005: values at the end with beta 0.5 below those without for every seed, and within the speed limit",
            values_are_held,
        ),
        Claim(
            "The limit is proportional to how fast targets follow (rlx's own derivation)",
            "beta 0.5: mean value at the end with tau 0.02 above that with 0.005",
            faster_targets_free_it,
        ),
        Claim(
            "The regulariser helps",
            "reported only: in so few updates the speed limit decides, and the regulariser is reconstructed",
            regulariser_helps,
        ),
    ),
    figures=figures,
    statistic="mean",
)
