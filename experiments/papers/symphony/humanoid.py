"""Tables IV and V: the four variants on the humanoid, by when they reach a return and how often they fall."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.symphony._small import CHANGE, PAPER, RETURN, curve, figure_of

from rlx.report.runs import read_run
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Preset and steps of exploration, which the paper leaves out.
VARIANTS = {
    "ED": ("symphony_ed", 7_680),
    "SE": ("symphony_se", 10_240),
    "S3": ("symphony", 10_240),
    "S2": ("symphony_s2", 20_480),
}
STEPS, PERIOD = 3_000_000, 50_000
LEVELS = (5_000, 6_000, 7_000)
# Steps at which the mean return first reaches a level.
REACHED = {
    "ED": (227_000, 782_000, 2_060_000),
    "SE": (217_000, 657_000, 1_392_000),
    "S3": (240_000, 682_000, 1_895_000),
    "S2": (285_000, 880_000, 2_768_000),
}
EPISODES = {"ED": 11_530.5, "SE": 12_433.5, "S3": 11_411.5, "S2": 8_284.1}
FINAL, NUMBER = "final return", "episodes"


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each variant."""
    return [training(name, scale) for name in VARIANTS]


def training(name: str, scale: Scale) -> Training:
    """All seeds of a variant."""
    preset, exploration = VARIANTS[name]
    run = {
        "total_steps": STEPS + exploration,
        "num_evaluations": STEPS // PERIOD,
        "num_checkpoints": STEPS // PERIOD,
        "eval_episodes": 25,
        "num_seeds": scale.seeds,
        "tensorboard": False,
    }
    env = {"backend": "mjx", "action_semantics": "gym_v4"}
    return Training(name, agent=preset, env="brax/humanoid", env_fields=env, run_fields=run)


def steps_to(level: int, steps: np.ndarray, returns: np.ndarray) -> float:
    """The first of ``steps`` ``[E]`` at which the mean of ``returns`` ``[seeds, E]`` reaches it, or infinity."""
    there = returns.mean(axis=0) >= level
    return float(steps[np.argmax(there)]) if there.any() else np.inf


def episodes(folder: Path) -> np.ndarray:
    """Training episodes of each seed, ``[seeds]``."""
    found: dict[int, float] = {}
    for row in read_run(folder).rows:
        found[row["member"]] = found.get(row["member"], 0.0) + (row.get("training/episodes") or 0.0)
    return np.array([found[member] for member in sorted(found)])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps to each level without exploration, in thousands; episodes, returns, and what became of sigma."""
    found = []
    for name, (_, exploration) in VARIANTS.items():
        setting, folder = {"variant": name}, folders[name]
        steps, returns = curve(folder)
        for level, published in zip(LEVELS, REACHED[name], strict=True):
            reached = steps_to(level, steps - exploration, returns)
            found.append(Cell(setting, f"thousand steps to {level}", np.array([reached / 1e3]), published / 1e3))
        found += [
            Cell(setting, NUMBER, episodes(folder), EPISODES[name]),
            Cell(setting, FINAL, returns[:, -1]),
            *(Cell(setting, f"return at {at:,}", at_step(steps, returns, at)) for at in (400_000, 1_200_000)),
            Cell(setting, "sigma after 1,000,000", late_sigma(folder)),
        ]
    return found


def at_step(steps: np.ndarray, values: np.ndarray, at: int) -> np.ndarray:
    """The last values ``[seeds]`` up to step ``at``."""
    return values[:, np.searchsorted(steps, at, side="right") - 1]


def late_sigma(folder: Path) -> np.ndarray:
    """Mean sigma of each seed after a million steps."""
    steps, values = curve(folder, "sigma")
    return values[:, steps > 1_000_000].mean(axis=1)


def speed(cells: Cells) -> Outcome:
    """The specification's pass marks for S3."""
    early, late = (cells.one(variant="S3", metric=f"return at {at}").scores.mean() for at in ("400,000", "1,200,000"))
    return Outcome(bool(early >= 4_500 and late >= 6_000), f"{early:.0f} and {late:.0f}")


def contracts(cells: Cells) -> Outcome:
    """Where sigma is at last."""
    found = cells.one(variant="S3", metric="sigma after 1,000,000").scores
    return Outcome(bool(found.min() >= 0.36 and found.max() <= 0.42), f"{found.min():.3f} to {found.max():.3f}")


def falls_least(cells: Cells) -> Outcome:
    """S2 has fewer episodes than S3."""
    ours, theirs = (cells.one(variant=name, metric=NUMBER).scores.mean() for name in ("S2", "S3"))
    return Outcome(bool(ours < theirs), f"{ours:.0f} to {theirs:.0f}")


def order_of_speed(cells: Cells) -> Outcome:
    """Who is first at 7,000."""
    found = {name: cells.one(variant=name, metric="thousand steps to 7000").scores[0] for name in VARIANTS}
    if not np.isfinite(list(found.values())).all():
        return Outcome(None, f"{sum(np.isfinite(list(found.values())))} of 4 reach it")
    holds = found["SE"] < found["S3"] < found["ED"] < found["S2"]
    return Outcome(bool(holds), ", ".join(f"{name} {steps:.0f}" for name, steps in found.items()))


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Figures 10 to 14: returns and sigma, and the change of actions."""
    metrics = {RETURN: "return of an episode", "sigma": "sigma", CHANGE: "mean |a_t - a_(t-1)|"}
    return {"curves": figure_of(folders, {name: name for name in VARIANTS}, "humanoid", metrics)}


TABLE = Table(
    title="Humanoid: when the variants reach a return, and how often they fall",
    paper=PAPER,
    source="tables IV and V of the copy of 25 January 2026",
    scales={"paper": Scale(10, "3,000,000 steps after exploration", "GPU; not measured")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "S3 stands early and walks late", "mean return at least 4,500 at 400,000 steps, 6,000 at 1,200,000", speed
        ),
        Claim(
            "Sigma contracts to just above 1 / e", "S3: in [0.36, 0.42] after 1,000,000 steps, every seed", contracts
        ),
        Claim("S2 falls least", "fewer episodes than S3 in as many steps", falls_least),
        Claim("SE, S3, ED, S2 is the order of speed", "steps to a mean return of 7,000, in this order", order_of_speed),
    ),
    figures=figures,
    statistic="mean",
)
