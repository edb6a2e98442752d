"""Figure 1 of Nauman and Cygan: an actor-critic on CartPole with more actions a state, from the rewound simulator."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = "Nauman and Cygan, ICML 2023, https://arxiv.org/abs/2210.13011"
ACTIONS = (1, 2, 4, 8)
BUDGET = 28_800  # environment steps, a multiple of every evaluation interval
EVALUATED_EVERY, SOLVED_AT = 50, 190
STEPS, SHARE = "steps to solve, thousands", "share of seeds that solve"
# The step sizes that gave N = 1 the lowest median; see the table's notes.
STEP_SIZES = {1: 1e-3, 16: 1e-2, 64: 1e-2}
# Read off the figure, whose T nearest to 16 is about 10.
PUBLISHED = {1: (9.0, 4.4, 2.7, 2.2), 16: (4.0, 2.4, 1.7, 1.4), 64: (5.5, 3.7, 2.8, 2.3)}


def named(rollout_length: int, num_actions: int) -> str:
    """The name of a training."""
    return f"T{rollout_length}-N{num_actions}"


def training(rollout_length: int, num_actions: int, scale: Scale) -> Training:
    """All seeds of an actor-critic with ``num_actions`` actions a state."""
    extras: dict[str, Any] = {"source": "none"}
    if num_actions > 1:
        # As many steps as a real action of the batch is scored from on average.
        horizon = (rollout_length + 1) // 2
        extras = {"source": "simulator", "num_extras": num_actions - 1, "horizon": horizon}
    # One step along the gradient for each batch: at a ratio of 1 the clipped surrogate's is the actor-critic's.
    agent = {
        "num_envs": 1,
        "rollout_length": rollout_length,
        "num_epochs": 1,
        "num_minibatches": 1,
        "learning_rate": STEP_SIZES[rollout_length],
        "anneal": False,
        "max_grad_norm": 1e6,
        "trace_decay": 0.95,
        "extras_start": 0,
        "extras_growth": 0,
    }
    interval = rollout_length * max(1, round(EVALUATED_EVERY / rollout_length))
    run = {
        "total_steps": BUDGET,
        "num_evaluations": BUDGET // interval,
        "eval_episodes": 25,
        "eval_mode": "sample",
        "num_seeds": scale.seeds,
        "num_checkpoints": 5,
        "tensorboard": False,
    }
    return Training(
        named(rollout_length, num_actions),
        agent="mbma",
        env="gymnax/CartPole-v1",
        agent_fields=extras | agent,
        env_fields={"max_episode_steps": 200},
        run_fields=run,
    )


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each number of steps an update and of actions a state."""
    return [training(*setting, scale) for setting in itertools.product(scale.options["lengths"], ACTIONS)]


def steps_to_solve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps until the first evaluation that counts as solved, the budget where none does, and if any did.

    Both are ``[seeds]``.
    """
    steps, values = returns(folder)
    solved = np.asarray(values >= SOLVED_AT)
    ever = np.asarray(solved.any(1))
    return np.where(ever, steps[solved.argmax(1)], BUDGET), ever


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Steps to solve of each seed, and the share of seeds that solve."""
    found = []
    for length, (index, actions) in itertools.product(scale.options["lengths"], enumerate(ACTIONS)):
        setting = {"T": length, "N": actions}
        steps, solved = steps_to_solve(folders[named(length, actions)])
        found.append(Cell(setting, STEPS, steps / 1000, PUBLISHED[length][index]))
        found.append(Cell(setting, SHARE, np.array([solved.mean()])))
    return found


def medians(cells: Cells, rollout_length: int) -> np.ndarray:
    """Median over seeds of the steps to solve, in thousands, ``[len(ACTIONS)]``."""
    return np.array([np.median(cells.one(T=rollout_length, N=n, metric=STEPS).scores) for n in ACTIONS])


def falls(cells: Cells) -> Outcome:
    """The more actions, the fewer steps."""
    found = medians(cells, 16)
    words = (f"N = {actions}: {thousands:.2f}" for actions, thousands in zip(ACTIONS, found, strict=True))
    return Outcome(bool((np.diff(found) < 0).all()), ", ".join(words) + " thousand")


def eight_against_one(*rollout_lengths: int) -> Callable[[Cells], Outcome]:
    """Whether eight actions need less than 0.6 times the steps of one, whatever the rollout's length."""

    def check(cells: Cells) -> Outcome:
        ratios = {length: medians(cells, length)[-1] / medians(cells, length)[0] for length in rollout_lengths}
        words = (f"T = {length}: {ratio:.2f}" for length, ratio in ratios.items())
        return Outcome(bool(max(ratios.values()) < 0.6), ", ".join(words) + " times")

    return check


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Steps to solve against the number of actions, and the learning curves of every rollout's length."""
    lengths = list(dict.fromkeys(int(cell.setting["T"]) for cell in cells))
    figure, axes = new_figure(1, 1 + len(lengths), width=4.6 * (1 + len(lengths)), height=3.8)
    against = axes[0, 0]
    for length, colour in zip(lengths, COLOURS, strict=False):
        found = cells.where(T=length, metric=STEPS)
        scores = np.stack([cell.scores for cell in found])
        draw_band(against, ACTIONS, scores, f"T = {length}", colour, statistic=cells.statistic)
        against.plot(
            ACTIONS, found.published(), "o--", color=colour, linewidth=1, markersize=4, label=f"T = {length}, published"
        )
    against.set_xscale("log", base=2)
    against.set_xticks(ACTIONS, [str(actions) for actions in ACTIONS])
    against.set_ylim(0)
    tidy(against, "CartPole, 200 steps", "actions a state N", STEPS)
    for panel, length in zip(axes[0, 1:], lengths, strict=True):
        for actions, colour in zip(ACTIONS, COLOURS, strict=False):
            steps, values = returns(folders[named(length, actions)])
            draw_band(panel, steps, values.T, f"N = {actions}", colour, statistic=cells.statistic)
        panel.axhline(SOLVED_AT, color="0.6", linewidth=0.8)
        tidy(panel, f"T = {length}", "environment steps", "return")
    for panel in axes[0]:
        panel.legend(fontsize=8, frameon=False)
    return {"steps_to_solve": figure}


TABLE = Table(
    title="CartPole: steps to solve with more actions a state from the rewound simulator (Figure 1)",
    paper=PAPER,
    source="read off the paper's figure, means of 45 seeds; beside T = 16 stand those at its T nearest to it, about 10",
    scales={
        "small": Scale(46, f"{BUDGET:,} steps", "10 min on 2 cores", {"lengths": (16,)}),
        "paper": Scale(46, f"{BUDGET:,} steps", "not measured", {"lengths": (1, 16, 64)}),
    },
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "More actions a state need fewer environment steps",
            "T = 16: the median steps to solve fall monotonically over N = 1, 2, 4, 8",
            falls,
        ),
        Claim(
            "Eight actions need far fewer than one",
            "T = 16: median steps to solve with N = 8 below 0.6 times those with N = 1",
            eight_against_one(16),
        ),
        Claim(
            "They do however short or long the rollouts",
            "T = 1, 16 and 64: the same",
            eight_against_one(1, 16, 64),
            scales=("paper",),
        ),
    ),
    figures=figures,
)
