"""What the upper clip of targets is for: late success on the chain with and without it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from papers.logq._sweeps import METHODS, PAPER, job, success

from rlx.envs.finite_mdp import LEFT, chain
from rlx.reproduce.jobs import Chunked
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

WIDTHS, DISCOUNTS = (1, 2, 5), (0.5, 0.9, 0.96, 0.99)
CLIPS = {"U <= 1": 1.0, "none": 1e30}
POINTS = [
    {"width": width, "discount": discount, "max_value": clip}
    for clip in CLIPS.values()
    for width in WIDTHS
    for discount in DISCOUNTS
]
LATE = "late success"


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Each method is one program."""
    return [
        job(method, method, chain(), "chain", LEFT, POINTS, scale.seeds, scale.options["sweeps"]) for method in METHODS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Success in the last 10,000 sweeps."""
    sweeps = scale.options["sweeps"]
    names = {clip: name for name, clip in CLIPS.items()}
    return [
        Cell(
            {
                "method": method,
                "clip": names[point["max_value"]],
                "width": point["width"],
                "discount": point["discount"],
            },
            LATE,
            scores,
        )
        for method in METHODS
        for point, scores in zip(POINTS, success(folders[method], sweeps - 10_000, sweeps).T, strict=True)
    ]


def never_without(cells: Cells) -> Outcome:
    """At the highest discount neither method succeeds without the clip."""
    values = [cells.one(clip="none", method=m, width=w, discount=0.99).scores.max() for m in METHODS for w in (2, 5)]
    return Outcome(max(values) == 0, f"largest success of any seed {max(values):.3f}")


def sooner_when_wide(cells: Cells) -> Outcome:
    """Regular Q-learning of width 5 fails without the clip already at 0.96."""
    without, clipped = (cells.one(clip=c, method="regular", width=5, discount=0.96).scores for c in ("none", "U <= 1"))
    return Outcome(bool(without.max() == 0), f"without {without.mean():.3f}, with {clipped.mean():.3f}")


TABLE = Table(
    title="Chain: late success with and without the upper clip of targets",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "30,000 sweeps", "1 min on 2 cores", {"sweeps": 30_000})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "Without U <= 1 overlapping features and a step size of 1 diverge at a high discount",
            "success 0 for every seed at discount 0.99, widths 2 and 5, both methods",
            never_without,
        ),
        Claim(
            "Wide features diverge sooner",
            "regular, width 5, discount 0.96: success 0 for every seed",
            sooner_when_wide,
        ),
    ),
    statistic="mean",
)
