"""Table 2 and figures 2 and 3: masking, masking removed, naive masking and penalties on four maps of microRTS."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.masking import _speed as speed
from papers.masking._regimes import (
    HORIZON,
    MAPS,
    PAPER,
    REMOVED,
    STEPS_PER_EPISODE,
    curve,
    run_of,
    scores,
    scores_without_mask,
    training,
)

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.report.runs import RunRecords
from rlx.reproduce.jobs import Job, outputs
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALONE = speed.REGIMES[1]
# What a shorter training can be compared in.
ANY_BUDGET = ("early KL", "steps/s")
CURVES = {
    "return": ("training/return_mean", 1, "return of an episode"),
    "invalid_null": ("update/invalid_null", STEPS_PER_EPISODE, "commands to empty cells, an episode"),
    "invalid_owner": ("update/invalid_owner", STEPS_PER_EPISODE, "commands to what is not one's own, an episode"),
    "invalid_busy": ("update/invalid_busy", STEPS_PER_EPISODE, "commands to busy units, an episode"),
    "divergence": ("update/last_approx_kl", 1, "approximate KL divergence, absolute"),
}


def published() -> dict[tuple[str, str, str], float]:
    """The authors' numbers by map, regime and metric."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8") as file:
        return {(row["map"], row["regime"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


def trainings(scale: Scale) -> list[tuple[str, str]]:
    """Map and regime of each training."""
    return [(map_name, regime) for map_name, regimes in scale.options["rows"].items() for regime in regimes]


def jobs(scale: Scale) -> Sequence[Job]:
    """A training for each map and regime, and the speed of the environment."""
    rows = scale.options["rows"].items()
    return [speed.job(), *(training(map_name, regime, scale) for map_name, regimes in rows for regime in regimes)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """The paper's numbers of every row, and the environment's speed."""
    known, rows = published(), []
    for map_name, regime in trainings(scale):
        run = run_of(folders, map_name, regime)
        found = scores(run)
        if regime == "masking":
            rows += [(map_name, REMOVED, metric, values) for metric, values in scores_without_mask(run).items()]
        else:
            del found["avoidable"]
        rows += [(map_name, regime, metric, values) for metric, values in found.items()]
    for name, rates in outputs(folders[speed.NAME]).items():
        map_name, _, regime = name.partition(" ")
        rows.append((map_name, regime, "steps/s", rates))
    whole = scale.options["steps"] >= HORIZON
    return [
        Cell(
            {"map": map_name, "regime": regime},
            metric,
            values,
            known.get((map_name, regime, metric)) if whole or metric in ANY_BUDGET else None,
        )
        for map_name, regime, metric, values in rows
    ]


def masking_learns(cells: Cells) -> Outcome:
    """Masking on 10x10 earns most of what there is."""
    late, end = (cells.one(map="10x10", regime="masking", metric=m).scores for m in ("return from 50k", "return"))
    holds = late.min() >= 30 and np.mean(end >= 38) >= 2 / 3
    return Outcome(bool(holds), f"least {late.min():.1f}, last 10 episodes {_listed(end)}")


def penalties_fail(cells: Cells) -> Outcome:
    """Penalties on 10x10 earn next to nothing."""
    found = {
        cell.setting["regime"]: cell.scores.max()
        for metric in ("return from 50k", "return")
        for cell in cells.where(map="10x10", metric=metric)
        if str(cell.setting["regime"]).startswith("penalty")
    }
    return Outcome(bool(max(found.values()) <= 3), ", ".join(f"{name}: {most:.2f}" for name, most in found.items()))


def naive_diverges(cells: Cells) -> Outcome:
    """Naive masking moves its policy further in an update than masking."""
    naive, masked = (
        cells.one(map="10x10", regime=regime, metric="early KL").scores.mean() for regime in ("naive", "masking")
    )
    return Outcome(bool(naive / masked >= 2), f"naive {naive:.4f}, masking {masked:.4f}, ratio {naive / masked:.1f}")


def nothing_avoidable(cells: Cells) -> Outcome:
    """Under masking no command goes to what cannot be commanded, if anything can."""
    most = max(cell.scores.max() for cell in cells.where(regime="masking", metric="avoidable"))
    return Outcome(bool(most == 0), f"most in any update {most:g} an episode")


def fortyfold(cells: Cells) -> Outcome:
    """The environment is forty times as fast as the one that the paper used."""
    rates = cells.one(map="10x10", regime=ALONE).scores
    ratio = np.median(rates) / published()["10x10", ALONE, "steps/s"]
    return Outcome(bool(ratio >= 40), f"median {np.median(rates):,.0f} steps/s, {ratio:.0f} times")


def masking_scales(cells: Cells) -> Outcome:
    """Masking solves all maps in a small part of the budget."""
    ends, solved = ([cells.one(map=m, regime="masking", metric=name).scores for m in MAPS] for name in SCALING)
    means = [float(np.mean(shares)) for shares in solved]
    holds = min(end.min() for end in ends) >= 38 and max(means) <= 30
    return Outcome(bool(holds), f"solved at {_listed(means)} % of the steps")


def penalties_do_not_scale(cells: Cells) -> Outcome:
    """No penalty earns anything on the larger maps."""
    most = max(
        cell.scores.mean()
        for cell in cells.where(metric="return")
        if str(cell.setting["regime"]).startswith("penalty") and cell.setting["map"] != "4x4"
    )
    return Outcome(bool(most <= 3), f"largest mean {most:.2f}")


def behaviour_survives(cells: Cells) -> Outcome:
    """What was learned with the mask is partly there without it."""
    means = [float(cells.one(map=m, regime=REMOVED, metric="return").scores.mean()) for m in MAPS]
    return Outcome(bool(min(means) >= 5), f"mean returns {_listed(means)}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Every curve against steps, a plot for each map."""
    trained = [(str(cell.setting["map"]), str(cell.setting["regime"])) for cell in cells.where(metric="KL")]
    maps = list(dict.fromkeys(map_name for map_name, _ in trained))
    regimes = {at: [regime for name, regime in trained if name == at] for at in maps}
    colours = dict(zip(dict.fromkeys(regime for _, regime in trained), COLOURS, strict=False))
    drawn = {}
    for name in CURVES:
        drawn[name], axes = new_figure(1, len(maps), width=4.6 * len(maps))
        for panel, map_name in zip(axes[0], maps, strict=True):
            runs = {regime: run_of(folders, map_name, regime) for regime in regimes[map_name]}
            draw_curves(panel, name, map_name, runs, colours, cells.statistic)
        axes[0, 0].legend(fontsize=8, frameon=False)
    return drawn


def draw_curves(
    panel: "Axes", name: str, map_name: str, runs: Mapping[str, RunRecords], colours: Mapping[str, str], statistic: str
) -> None:
    """One of ``CURVES`` of each regime on a map; with the return also, broken, that with the mask removed."""
    key, factor, label = CURVES[name]
    for regime, run in runs.items():
        steps, values = curve(run, key)
        draw_band(panel, steps, factor * np.abs(values.T), regime, colours[regime], statistic=statistic)
        if name == "return" and regime == "masking":
            steps, values = curve(run, "evaluation/return_mean")
            draw_band(panel, steps, values.T, REMOVED, colours[regime], style="--", statistic=statistic)
    if name == "divergence":
        panel.set_yscale("log")
    tidy(panel, map_name, "environment steps", label)


def _listed(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


SCALING = ("return", "solved")
SMALL_REGIMES = ("masking", "naive", "penalty 0", "penalty -0.01")
ALL_REGIMES = (*SMALL_REGIMES, "penalty -0.1", "penalty -1")

TABLE = Table(
    title="Invalid actions in microRTS: masking, masking removed, naive masking and penalties",
    paper=PAPER,
    source="numbers quoted in the paper's text, where they could be read, and else what its authors' logged runs say; "
    "shares of time from thinned logs are about 15 % too high; steps/s: gym-microrts 0.1.2 through its gym API on 2 "
    "idle cores",
    scales={
        "small": Scale(
            4,
            "102,400 steps",
            "40 min on 2 cores",
            {"steps": 102_400, "rows": dict.fromkeys(("4x4", "10x10"), SMALL_REGIMES)},
        ),
        "paper": Scale(
            4,
            "500,000 steps",
            "GPU; not measured",
            {"steps": 500_000, "rows": dict.fromkeys(MAPS, ALL_REGIMES)},
        ),
    },
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "Masking learns the task",
            "10x10: mean return from 50,000 steps on at least 30 for every seed, and of the last 10 episodes at least "
            "38 for two thirds of the seeds",
            masking_learns,
        ),
        Claim(
            "Penalties do not get it off the ground",
            "10x10: mean return from 50,000 steps on and of the last 10 episodes at most 3 for every penalty and seed",
            penalties_fail,
        ),
        Claim(
            "Naive masking makes the divergence of updates explode",
            "10x10: mean absolute approximate KL of the first 25 updates at least twice that of masking",
            naive_diverges,
        ),
        Claim(
            "A mask leaves out invalid sources",
            "masking: no command to an empty or foreign cell in any update, steps at which a component has no valid "
            "choice left out",
            nothing_avoidable,
        ),
        Claim(
            "The environment is fast (rlx's own target)",
            "10x10 with 256 environments and random commands: median steps/s at least 40 times the gym API's 6,800",
            fortyfold,
        ),
        Claim(
            "Masking scales with the number of invalid actions",
            "all maps: mean return of the last 10 episodes at least 38 for every seed, solved within 30 % of the steps "
            "in the mean",
            masking_scales,
            scales=("paper",),
        ),
        Claim(
            "Penalties do not scale",
            "16x16, 24x24 and 10x10: mean return of the last 10 episodes at most 3 for every penalty",
            penalties_do_not_scale,
            scales=("paper",),
        ),
        Claim(
            "Agents trained with a mask behave without it",
            "all maps: mean return with masking removed at least 5",
            behaviour_survives,
            scales=("paper",),
        ),
    ),
    figures=figures,
    statistic="mean",
)
