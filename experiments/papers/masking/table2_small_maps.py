"""Rows of table 2 at the paper's full budget: all of 4x4, and masking and naive masking on 10x10."""

import dataclasses

import numpy as np
from papers.masking import table2
from papers.masking._regimes import REMOVED

from rlx.reproduce.table import Cells, Claim, Outcome, Scale

MAPS = ("4x4", "10x10")


def masking_solves(cells: Cells) -> Outcome:
    """Masking solves both maps with every seed."""
    ends, solved = ([cells.one(map=m, regime="masking", metric=name).scores for m in MAPS] for name in table2.SCALING)
    means = [float(np.mean(shares)) for shares in solved]
    holds = min(end.min() for end in ends) >= 38 and max(means) <= 20
    return Outcome(bool(holds), f"solved at {means[0]:.1f} % and {means[1]:.1f} % of the steps")


def naive_learns(cells: Cells) -> Outcome:
    """Naive masking solves the maps as well."""
    ends = [cells.one(map=m, regime="naive", metric="return").scores.mean() for m in MAPS]
    return Outcome(bool(min(ends) >= 38), f"mean returns {ends[0]:.1f} and {ends[1]:.1f}")


def penalties_must_be_small(cells: Cells) -> Outcome:
    """A small penalty learns the smallest map, the largest one does not."""
    small, large = (cells.one(map="4x4", regime=f"penalty {p}", metric="return").scores for p in ("-0.01", "-1"))
    holds = small.mean() >= 30 and large.mean() <= 3
    return Outcome(bool(holds), f"mean returns {small.mean():.1f} and {large.mean():.1f}")


def behaviour_survives(cells: Cells) -> Outcome:
    """What was learned with the mask is partly there without it."""
    means = [float(cells.one(map=m, regime=REMOVED, metric="return").scores.mean()) for m in MAPS]
    return Outcome(bool(min(means) >= 5 and max(means) < 40), f"mean returns {means[0]:.1f} and {means[1]:.1f}")


TABLE = dataclasses.replace(
    table2.TABLE,
    title="Masking, naive masking and penalties at full budget: rows of masking/table2 for 4x4 and 10x10",
    scales={
        "paper": Scale(
            4,
            "500,000 steps",
            "1 h on 2 cores",
            {"steps": 500_000, "rows": {"4x4": table2.ALL_REGIMES, "10x10": ("masking", "naive")}},
        ),
    },
    claims=(
        Claim(
            "Masking solves the task early",
            "mean return of the last 10 episodes at least 38 for every seed, solved within 20 % of the steps in the "
            "mean, on both maps",
            masking_solves,
        ),
        Claim(
            "Naive masking learns it too", "mean return of the last 10 episodes at least 38 on both maps", naive_learns
        ),
        Claim(
            "Naive masking makes the divergence of updates explode",
            "10x10: mean absolute approximate KL of the first 25 updates at least twice that of masking",
            table2.naive_diverges,
        ),
        Claim(
            "Penalties learn the smallest map if they are small",
            "4x4: mean return of the last 10 episodes at least 30 with -0.01, at most 3 with -1",
            penalties_must_be_small,
        ),
        Claim(
            "Agents trained with a mask behave without it, in part",
            "mean return with masking removed at least 5, and below 40, on both maps",
            behaviour_survives,
        ),
    ),
)
