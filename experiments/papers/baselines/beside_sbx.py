"""SAC, TD3 and DDPG in Pendulum, beside those of Stable-Baselines Jax (`make bench-peers` installs it)."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.systems import PEERS, ROOT, WORKERS

from rlx.errors import RunFailed
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.report.statistics import mean, stratified_bootstrap_interval
from rlx.reproduce.jobs import Chunked, Job, Training, outputs, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RLX, SBX = "rlx", "sbx"
TASK, STEPS, EVALUATIONS, EPISODES = "Pendulum-v1", 10_000, 20, 10
AVERAGE, FINAL = "mean return of all evaluations", "return of the last five"
# Random actions return about -1,220; -150 swings up and stays there.
SOLVED = -200.0
# Both systems count 1,000 random steps before learning starts.
_SHARED: Mapping[str, Any] = {
    "hidden_sizes": [256, 256],
    "activation": "relu",
    "batch_size": 256,
    "discount": 0.99,
    "target_rate": 0.005,
    "replay_size": STEPS,
    "learning_starts": 1_000,
    "random_steps": 1_000,
}
_DETERMINISTIC: Mapping[str, Any] = {**_SHARED, "learning_rate": 1e-3, "exploration_noise": 0.1}
AGENTS: Mapping[str, Mapping[str, Any]] = {
    "sac": {**_SHARED, "learning_rate": 3e-4},
    "td3": _DETERMINISTIC,
    "ddpg": _DETERMINISTIC,
}


def job_name(agent: str, system: str) -> str:
    """Of a training, or of all of sbx's."""
    return f"{agent}-{system}"


def ours(agent: str, scale: Scale) -> Training:
    """All seeds, one environment, an update a step."""
    run = {
        "total_steps": STEPS,
        "num_evaluations": EVALUATIONS,
        "eval_episodes": EPISODES,
        "num_seeds": scale.seeds,
        "tensorboard": False,
    }
    return Training(job_name(agent, RLX), agent, f"gymnax/{TASK}", AGENTS[agent], run_fields=run)


def theirs(agent: str, scale: Scale) -> Chunked:
    """A chunk is a seed."""
    task = task_of(agent)
    advance = lambda state, seed: (state, {"returns": np.array([curve(task | {"seed": seed})])})  # noqa: E731
    return Chunked(job_name(agent, SBX), task | {"seeds": scale.seeds}, scale.seeds, lambda: np.zeros(()), advance)


def task_of(agent: str) -> dict[str, Any]:
    """What sbx is told, in the words of Stable-Baselines."""
    fields = AGENTS[agent]
    noise = {"noise": fields["exploration_noise"]} if "exploration_noise" in fields else {}
    return noise | {
        "algorithm": agent.upper(),
        "env": TASK,
        "steps": STEPS,
        "evaluations": EVALUATIONS,
        "episodes": EPISODES,
        "hidden_sizes": fields["hidden_sizes"],
        "activation": fields["activation"],
        "settings": {
            "buffer_size": fields["replay_size"],
            "batch_size": fields["batch_size"],
            "gamma": fields["discount"],
            "tau": fields["target_rate"],
            "learning_rate": fields["learning_rate"],
            "learning_starts": fields["learning_starts"],
            "train_freq": 1,
            "gradient_steps": 1,
        },
    }


def curve(task: Mapping[str, Any]) -> list[float]:
    """Mean returns of sbx's evaluations of one seed.

    Raises:
        RunFailed: if sbx is not there, or fails.
    """
    peer = PEERS[SBX]
    if not peer.python.exists():
        raise RunFailed("sbx is not installed; `make bench-peers` does it")
    command = [str(peer.python), str(ROOT / WORKERS / "sbx_returns.py"), json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    if done.returncode:
        raise RunFailed(f"sbx ended early: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return json.loads(done.stdout)


def jobs(scale: Scale) -> Sequence[Job]:
    """Each agent in both systems."""
    return [job for agent in AGENTS for job in (ours(agent, scale), theirs(agent, scale))]


def curves(folders: Mapping[str, Path], agent: str) -> dict[str, np.ndarray]:
    """Returns of each system's evaluations, ``[seeds, E]``."""
    return {
        RLX: returns(folders[job_name(agent, RLX)])[1],
        SBX: outputs(folders[job_name(agent, SBX)])["returns"],
    }


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns over all of training, and at its end."""
    found = []
    for agent in AGENTS:
        for system, values in curves(folders, agent).items():
            setting = {"agent": agent, "system": system}
            found.append(Cell(setting, AVERAGE, values[:, 1:].mean(axis=1)))
            found.append(Cell(setting, FINAL, values[:, -5:].mean(axis=1)))
    return found


def solves(agent: str) -> Claim:
    """At least four of five seeds end where they should."""

    def check(cells: Cells) -> Outcome:
        scores = cells.one(agent=agent, system=RLX, metric=FINAL).scores
        good = scores >= SOLVED
        return Outcome(bool(good.mean() >= 0.8), f"{good.sum()} of {len(scores)}, least {scores.min():.0f}")

    return Claim(f"{agent} solves Pendulum", f"{FINAL} at least {SOLVED:g}, four of five seeds", check)


def no_worse(cells: Cells) -> Outcome:
    """No agent's whole interval of the difference to sbx is below zero, over all of training or at its end."""
    said, worse = [], []
    for agent in AGENTS:
        for metric in (AVERAGE, FINAL):
            pair = [cells.one(agent=agent, system=system, metric=metric).scores for system in (RLX, SBX)]
            gap = lambda scores: mean(scores[..., :1]) - mean(scores[..., 1:])  # noqa: E731
            scores = np.stack(pair, axis=1)
            low, high = stratified_bootstrap_interval(scores, gap)
            worse.append(high < 0)
            said.append(f"{agent}, {metric}: {float(gap(scores)):+.0f} ({low:+.0f} to {high:+.0f})")
    return Outcome(not any(worse), "; ".join(said))


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, a panel for each agent."""
    figure, axes = new_figure(1, len(AGENTS), width=4.6 * len(AGENTS))
    steps = np.linspace(0, STEPS, EVALUATIONS + 1)
    for panel, agent in zip(axes[0], AGENTS, strict=True):
        for (system, values), colour in zip(curves(folders, agent).items(), COLOURS, strict=False):
            draw_band(panel, steps, values.T, system, colour, statistic=cells.statistic)
        tidy(panel, f"{agent} in {TASK}", "environment steps", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="Pendulum: SAC, TD3 and DDPG beside those of Stable-Baselines Jax",
    paper="Baselines of rlx, in no paper",
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(8, f"{STEPS:,} steps", "35 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        *map(solves, AGENTS),
        Claim(
            "No agent is worse than its namesake in sbx",
            "mean return over training, and of the last five evaluations: the whole 95 % interval of the difference is "
            "not below 0",
            no_worse,
        ),
    ),
    figures=figures,
    statistic="mean",
)
