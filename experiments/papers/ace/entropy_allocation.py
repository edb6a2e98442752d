"""The deceptive bandit: where SAC and causal SAC keep their entropy, and what that does to the return."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from papers.ace.identification import PAPER

import rlx
from rlx.agents.ace import ACE
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK = "rlx/deceptive-bandit"
SAC, CAUSAL = "SAC", "causal SAC"
METHODS = {SAC: "none", CAUSAL: "sink"}
SMALL: Mapping[str, Any] = {
    "num_envs": 4,
    "num_updates": 4,
    "actor_period": 2,
    "hidden_sizes": [64, 64],
    "batch_size": 64,
    "learning_starts": 100,
    "random_steps": 1_000,
    "replay_size": 8_000,
    "initial_temperature": 0.05,
    "temperature_learning_rate": 3e-3,
    "interval": 1_000,
    "window": 1_000,
    "reset": False,
}
MATTERS, INERT = "deviation of the dimension that matters", "mean deviation of the others"
RETURN = "mean return of all evaluations"


def jobs(scale: Scale) -> Sequence[Training]:
    """Both methods, all seeds of each."""
    run = {
        "total_steps": 6_000,
        "num_evaluations": 12,
        "eval_episodes": 64,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    return [
        Training(
            name.replace(" ", "_"), agent="ace", env=TASK, agent_fields={**SMALL, "weights": weights}, run_fields=run
        )
        for name, weights in METHODS.items()
    ]


def deviations(folder: Path) -> np.ndarray:
    """Deviations of the policies' Gaussians, before the tangent, in the mean over observations, ``[seeds, D]``."""
    trained = rlx.load(folder)
    obs = jax.random.normal(jax.random.key(0), (256, 3))
    agent = trained.members[0].agent
    assert isinstance(agent, ACE)
    actor = agent.sac.actor
    return np.asarray(jax.vmap(lambda p: jnp.exp(actor.apply(p, obs)[1]).mean(0))(trained.state.params["actor"]))


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Deviations at the end, and the return over the whole of training."""
    rows = []
    for method in METHODS:
        folder = folders[method.replace(" ", "_")]
        deviation = deviations(folder)
        scores = {MATTERS: deviation[:, 0], INERT: deviation[:, 1:].mean(-1), RETURN: returns(folder)[1].mean(-1)}
        rows += [Cell({"method": method}, metric, values) for metric, values in scores.items()]
    return rows


def means(cells: Cells, metric: str) -> tuple[float, float]:
    """Of SAC and of causal SAC."""
    sac, causal = (float(cells.one(method=method, metric=metric).scores.mean()) for method in METHODS)
    return sac, causal


def keeps_entropy_where_it_matters(cells: Cells) -> Outcome:
    """Causal SAC explores the dimension that matters for longer."""
    sac, causal = means(cells, MATTERS)
    return Outcome(bool(causal >= 1.5 * sac), f"{causal:.3f} to {sac:.3f}, {causal / sac:.2f} times")


def spends_less_elsewhere(cells: Cells) -> Outcome:
    """It explores the others less."""
    sac, causal = means(cells, INERT)
    return Outcome(bool(causal <= sac), f"{causal:.3f} to {sac:.3f}")


def returns_are_no_worse(cells: Cells) -> Outcome:
    """Its return is not below SAC's by more than a standard error."""
    sac, causal = (cells.one(method=method, metric=RETURN).scores for method in METHODS)
    error = sac.std(ddof=1) / len(sac) ** 0.5 if len(sac) > 1 else 0.0
    holds = causal.mean() >= sac.mean() - error
    return Outcome(bool(holds), f"{causal.mean():.2f} to {sac.mean():.2f}, standard error {error:.2f}")


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps."""
    figure, axes = new_figure()
    for method, colour in zip(METHODS, COLOURS, strict=False):
        steps, values = returns(folders[method.replace(" ", "_")])
        draw_band(axes[0, 0], steps, values.T, method, colour, statistic="mean")
    tidy(axes[0, 0], "deceptive bandit", "environment steps", "return of the most likely action")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Deceptive bandit: where the entropy goes, with and without causal weights",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, "6,000 steps", "2 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("Entropy stays where it matters", "deviation at least 1.5 times SAC's", keeps_entropy_where_it_matters),
        Claim("The other dimensions get less", "mean deviation no larger than SAC's", spends_less_elsewhere),
        Claim("It costs no return", "at least SAC's mean less one standard error", returns_are_no_worse),
    ),
    figures=figures,
    statistic="mean",
)
