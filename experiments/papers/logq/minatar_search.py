"""The search for both methods' step sizes on MinAtar, each at the discount that suited it best in the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from papers.logq._deep import PAPER, late, named
from papers.logq._minatar import METHODS, training

from rlx.reproduce.sweeping import Sweep, point_returns, swept
from rlx.reproduce.table import Cell, Scale, Table

DISCOUNTS = {"DQN": 0.99, "LogDQN": 0.96}
LEARNING_RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
# Not among the seeds of the comparison itself.
FIRST_SEED = 1000


def jobs(scale: Scale) -> Sequence[Sweep]:
    """A sweep over step sizes for each game and method."""
    return [
        swept(
            training(
                game,
                method,
                told_by=DISCOUNTS[method],
                discount=DISCOUNTS[method],
                learning_rate=LEARNING_RATES[0],
                total_steps=scale.options["steps"],
                num_seeds=scale.seeds,
                seed=FIRST_SEED,
            ),
            {"agent.learning_rate": list(LEARNING_RATES)},
        )
        for game in scale.options["games"]
        for method in METHODS
    ]


def _named(game: str, method: str) -> str:
    return named(game, method, DISCOUNTS[method])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Greedy return in the last three tenths of training."""
    return [
        Cell(
            {"game": game, "method": method, "discount": DISCOUNTS[method], "step size": rate},
            "return in the last three tenths",
            late(point_returns(folders[_named(game, method)], {"agent.learning_rate": rate}), 0.3),
        )
        for game in scale.options["games"]
        for method in METHODS
        for rate in LEARNING_RATES
    ]


TABLE = Table(
    title="Adam's step size for LogDQN and DQN on MinAtar: the search behind logq/minatar",
    paper=PAPER,
    source="no published numbers: the paper has Atari",
    scales={
        "small": Scale(
            2, "100,000 steps", "11 min on 2 cores", {"steps": 100_000, "games": ("Breakout", "SpaceInvaders")}
        ),
        "paper": Scale(
            3,
            "1,000,000 steps",
            "GPU; not measured",
            {
                "steps": 1_000_000,
                "games": ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"),
            },
        ),
    },
    jobs=jobs,
    cells=cells,
    statistic="mean",
)
