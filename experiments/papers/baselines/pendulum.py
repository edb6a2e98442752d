"""TD3 and DDPG on Pendulum, and Stable-Baselines Jax's TD3 beside them."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.errors import ConfigurationError
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, Job, Training, outputs, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.types import PyTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK, STEPS, PERIOD, EPISODES = "gymnax/Pendulum-v1", 15_000, 1_000, 20
SHARED: Mapping[str, Any] = {
    "hidden_sizes": [256, 256],
    "batch_size": 256,
    "learning_rate": 1e-3,
    "replay_size": STEPS,
    "learning_starts": PERIOD,
    "random_steps": PERIOD,
}
TD3, DDPG, SBX = "TD3", "DDPG", "TD3 of sbx"
FINAL, AREA = "final return", "mean return of all evaluations"
SOLVED, NEEDED = -200.0, 0.8
ROOT = Path(__file__).parents[3]
PYTHON, WORKER = ROOT / ".bench-sbx" / "bin" / "python", ROOT / "experiments" / "benchmarks" / "peers" / "sbx_td3.py"


def jobs(scale: Scale) -> Sequence[Job]:
    """A training for each of ours, and the peer's seeds one after the other."""
    run = {
        "total_steps": STEPS,
        "num_evaluations": STEPS // PERIOD,
        "eval_episodes": EPISODES,
        "num_seeds": scale.seeds,
        "num_checkpoints": 1,
        "tensorboard": False,
    }
    ours = [Training(n, agent=n.lower(), env=TASK, agent_fields=SHARED, run_fields=run) for n in (TD3, DDPG)]
    return [*ours, peer(scale.seeds)]


def peer(seeds: int) -> Chunked:
    """A chunk is a seed, in a process of the peer's own environment."""
    task = {**SHARED, "steps": STEPS, "period": PERIOD, "episodes": EPISODES}

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        if not PYTHON.exists():
            raise ConfigurationError("Stable-Baselines Jax is not installed; `make bench-peers` does it")
        command = [str(PYTHON), str(WORKER), json.dumps({**task, "seed": chunk})]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return state, {"returns": np.array([json.loads(done.stdout.splitlines()[-1])])}

    return Chunked("sbx", {**task, "seeds": seeds}, seeds, lambda: np.zeros(()), advance)


def curves(folders: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Mean returns at the evaluations after that before training, ``[seeds, E]``."""
    ours = {name: returns(folders[name])[1][:, 1:] for name in (TD3, DDPG)}
    return ours | {SBX: outputs(folders["sbx"])["returns"]}


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns at the end, and over the whole of training."""
    found = curves(folders)
    scores = [(name, {FINAL: values[:, -1], AREA: values.mean(axis=1)}) for name, values in found.items()]
    return [Cell({"method": name}, metric, value) for name, metrics in scores for metric, value in metrics.items()]


def solves(name: str) -> Claim:
    """A baseline works."""

    def check(cells: Cells) -> Outcome:
        scores = cells.one(method=name, metric=FINAL).scores
        if len(scores) < 5:
            return Outcome(None, f"{len(scores)} of 5 seeds")
        good = int((scores >= SOLVED).sum())
        return Outcome(good >= NEEDED * len(scores), f"{good} of {len(scores)}, least {scores.min():.0f}")

    return Claim(f"{name} solves Pendulum", f"final return at least {SOLVED:g} in 4 of 5 seeds", check)


def no_worse(cells: Cells) -> Outcome:
    """Our TD3 beside the peer's, over the whole course."""
    ours, theirs = (cells.one(method=name, metric=AREA).scores for name in (TD3, SBX))
    errors = [x.std(ddof=1) / len(x) ** 0.5 if len(x) > 1 else 0.0 for x in (ours, theirs)]
    error = float(np.hypot(errors[0], errors[1]))
    words = f"{ours.mean():.0f} to {theirs.mean():.0f}, standard error of the difference {error:.0f}"
    return Outcome(bool(ours.mean() >= theirs.mean() - error), words)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps."""
    figure, axes = new_figure()
    for (name, values), colour in zip(curves(folders).items(), COLOURS, strict=False):
        draw_band(axes[0, 0], PERIOD * (1 + np.arange(values.shape[1])), values.T, name, colour, statistic="mean")
    tidy(axes[0, 0], "Pendulum", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="TD3 and DDPG on Pendulum, beside Stable-Baselines Jax",
    paper="Baselines of rlx, in no paper",
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(5, "15,000 steps", "20 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        solves(TD3),
        solves(DDPG),
        Claim(
            "TD3 is no worse than Stable-Baselines Jax's",
            "mean return of all evaluations at least the peer's less a standard error of the difference",
            no_worse,
        ),
    ),
    figures=figures,
    statistic="mean",
)
