"""LogDQN beside DQN on MinAtar over discounts: the paper's Atari comparison at a size that fits here."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.logq._deep import PAPER, folder_for, late_returns
from papers.logq._minatar import METHODS, training

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISCOUNTS = (0.5, 0.84, 0.96, 0.99)
# The best of results/logq/minatar_search; games that were not searched take `OTHER_STEP_SIZE`.
STEP_SIZES = {
    ("Breakout", "DQN"): 1e-3,
    ("Breakout", "LogDQN"): 3e-4,
    ("SpaceInvaders", "DQN"): 3e-4,
    ("SpaceInvaders", "LogDQN"): 1e-4,
}
OTHER_STEP_SIZE = 3e-4
METRIC = "return in the last three tenths"


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each game, method and discount."""
    return [
        training(
            game,
            method,
            told_by=discount,
            discount=discount,
            learning_rate=STEP_SIZES.get((game, method), OTHER_STEP_SIZE),
            total_steps=scale.options["steps"],
            num_seeds=scale.seeds,
        )
        for game in scale.options["games"]
        for method in METHODS
        for discount in DISCOUNTS
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Greedy return in the last three tenths of training."""
    return [
        Cell(
            {"game": game, "method": method, "discount": discount},
            METRIC,
            late_returns(folder_for(folders, game, method, discount), 0.3),
        )
        for game in scale.options["games"]
        for method in METHODS
        for discount in DISCOUNTS
    ]


def games_of(cells: Cells) -> list[str]:
    """The games in the table, in its order."""
    return list(dict.fromkeys(str(cell.setting["game"]) for cell in cells))


def retained(cells: Cells, method: str, discount: float) -> float:
    """Mean over games of a method's return at a discount as a share of its return at its best discount."""
    shares = []
    for game in games_of(cells):
        centre = cells.where(game=game, method=method)
        shares.append(centre.where(discount=discount).centre()[0] / centre.centre().max())
    return float(np.mean(shares))


def falls_less(discount: float) -> Claim:
    """LogDQN keeps more of its best return at this discount than DQN does."""

    def check(cells: Cells) -> Outcome:
        log, plain = retained(cells, "LogDQN", discount), retained(cells, "DQN", discount)
        return Outcome(log > plain, f"LogDQN keeps {log:.2f}, DQN {plain:.2f}")

    return Claim(
        f"LogDQN loses less than DQN when the discount is lowered to {discount}",
        "mean over games of the return as a share of that at the method's best discount: higher for LogDQN",
        check,
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Return against discount, and learning curves at every discount; a plot for each game."""
    return {"return_against_discount": against_discount(cells), "learning_curves": learning_curves(cells, folders)}


def against_discount(cells: Cells) -> "Figure":
    """Return against discount, a plot for each game."""
    games = games_of(cells)
    figure, axes = new_figure(1, len(games), width=4.2 * len(games))
    for panel, game in zip(axes[0], games, strict=True):
        for method, colour in zip(METHODS, COLOURS, strict=False):
            scores = np.stack([cell.scores for cell in cells.where(game=game, method=method)])
            draw_band(panel, range(len(DISCOUNTS)), scores, method, colour, statistic=cells.statistic)
        panel.set_xticks(range(len(DISCOUNTS)), [str(discount) for discount in DISCOUNTS])
        tidy(panel, game, "discount", METRIC)
        panel.legend(fontsize=9, frameon=False)
    return figure


def learning_curves(cells: Cells, folders: Mapping[str, Path]) -> "Figure":
    """Returns against steps, a row for each game and a plot for each discount."""
    games = games_of(cells)
    figure, axes = new_figure(len(games), len(DISCOUNTS), width=14, height=2.9 * len(games))
    for panel, (game, discount) in zip(axes.flat, itertools.product(games, DISCOUNTS), strict=True):
        for method, colour in zip(METHODS, COLOURS, strict=False):
            steps, values = returns(folder_for(folders, game, method, discount))
            draw_band(panel, steps, values.T, method, colour, statistic=cells.statistic)
        tidy(panel, f"{game}, discount {discount}", "environment steps", "return")
    axes[0, 0].legend(fontsize=9, frameon=False)
    return figure


TABLE = Table(
    title="LogDQN and DQN on MinAtar at four discounts",
    paper=PAPER,
    source="no published numbers: the paper has Atari, and the bodies of its tables could not be read",
    scales={
        "small": Scale(
            6, "300,000 steps", "70 min on 2 cores", {"steps": 300_000, "games": ("Breakout", "SpaceInvaders")}
        ),
        "paper": Scale(
            5,
            "10,000,000 steps",
            "GPU; not measured",
            {
                "steps": 10_000_000,
                "games": ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"),
            },
        ),
    },
    jobs=jobs,
    cells=cells,
    claims=(falls_less(0.84), falls_less(0.5)),
    figures=figures,
    statistic="mean",
)
