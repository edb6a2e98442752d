"""Whether the baselines reach what they should, beside random actions."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rlx.envs.api import Env, make_env
from rlx.report.curves import learning_curves_figure
from rlx.reproduce.jobs import Chunked, Job, Training, outputs, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.runner.evaluate import evaluate
from rlx.types import Discrete, Key, Mode, Needs, PyTree, Timestep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS, EPISODES = 4, 256
FINAL, BEST = "final return", "best return"
RANDOM = "random actions"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A training.

    Attributes:
        agent: with which.
        task: where.
        agent_fields: hyperparameters that differ from the agent's defaults.
        total_steps: of each seed.
        times: as many seeds as the scale says.
        weight: expected cost.
    """

    agent: str
    task: str
    agent_fields: Mapping[str, Any]
    total_steps: int
    times: int = 1
    weight: float = 1.0


BASELINES = {
    "ppo_cartpole": Baseline("ppo", "gymnax/CartPole-v1", {}, 500_000, 4),
    "dqn_cartpole": Baseline("dqn", "gymnax/CartPole-v1", {}, 200_000, 4, 2.0),
    "ppo_inverted_pendulum": Baseline(
        "ppo",
        "brax/inverted_pendulum",
        {"discount": 0.995, "entropy_coefficient": 0},
        1_500_000,
    ),
    "ppo_halfcheetah": Baseline("ppo", "brax/halfcheetah", {"entropy_coefficient": 0}, 1_000_000, weight=25.0),
    "dqn_breakout": Baseline(
        "dqn",
        "gymnax/Breakout-MinAtar",
        {"learning_rate": 2.5e-4, "target_period": 250, "loss": "huber"},
        500_000,
        weight=50.0,
    ),
}
TASKS = tuple(dict.fromkeys(baseline.task for baseline in BASELINES.values()))


class RandomActions:
    """A policy that draws each action uniformly, whatever it sees."""

    def __init__(self, env: Env) -> None:
        self.spec, self.needs = env.spec, Needs(num_envs=1, rollout_length=1)

    def policy(self, state: PyTree, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """Actions ``[N, ...]``."""
        shape = (timestep.obs.shape[0], *self.spec.action_shape)
        if isinstance(self.spec.action_space, Discrete):
            return jax.random.randint(key, shape, 0, self.spec.action_space.n)
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def random_return(task: str) -> float:
    """Mean return of random actions."""
    env = make_env(task)
    play = jax.jit(lambda key: evaluate(RandomActions(env), env, None, key, EPISODES, "sample"))  # type: ignore[arg-type]
    return float(play(jax.random.key(0)).returns.mean())


def random_actions() -> Chunked:
    """Episodes of random actions in every task, one after the other."""
    settings = {"tasks": TASKS, "episodes": EPISODES}
    advance = lambda state, chunk: (state, {"return": np.array([random_return(TASKS[chunk])])})  # noqa: E731
    return Chunked("random_actions", settings, len(TASKS), lambda: np.zeros(()), advance, weight=0.5)


def training(name: str, scale: Scale) -> Training:
    """All seeds of a baseline."""
    baseline = BASELINES[name]
    run = {
        "total_steps": baseline.total_steps,
        "num_seeds": baseline.times * scale.seeds,
        "tensorboard": False,
    }
    return Training(name, baseline.agent, baseline.task, baseline.agent_fields, run_fields=run, weight=baseline.weight)


def jobs(scale: Scale) -> Sequence[Job]:
    """Random actions and a training for each baseline."""
    return [random_actions(), *(training(name, scale) for name in BASELINES)]


def random_returns(folders: Mapping[str, Path]) -> dict[str, float]:
    """Mean return of random actions by task."""
    return dict(zip(TASKS, outputs(folders["random_actions"])["return"].tolist(), strict=True))


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Returns at the last and at the best evaluation of each seed, and of random actions."""
    found = []
    for name, baseline in BASELINES.items():
        setting = {"agent": baseline.agent, "task": baseline.task}
        _, values = returns(folders[name])
        found += [Cell(setting, FINAL, values[:, -1]), Cell(setting, BEST, values.max(axis=1))]
    by_chance = random_returns(folders)
    return found + [Cell({"agent": RANDOM, "task": task}, FINAL, np.array([mean])) for task, mean in by_chance.items()]


def claim(
    name: str, statement: str, criterion: str, metric: str, reached: Callable[[np.ndarray, float], bool | np.bool]
) -> Claim:
    """A claim on a baseline's scores ``[seeds]`` and the mean return of random actions; undecided with fewer seeds."""
    baseline = BASELINES[name]

    def check(cells: Cells) -> Outcome:
        scores = cells.one(agent=baseline.agent, task=baseline.task, metric=metric).scores
        by_chance = cells.one(agent=RANDOM, task=baseline.task).scores[0]
        if len(scores) < SEEDS * baseline.times:
            return Outcome(None, f"{len(scores)} of {SEEDS * baseline.times} seeds")
        listed = ", ".join(f"{score:.4g}" for score in np.sort(scores))
        return Outcome(bool(reached(scores, by_chance)), f"{metric} {listed}; {RANDOM} {by_chance:.4g}")

    return Claim(statement, criterion, check)


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """A learning curve for each baseline, beside random actions."""
    by_chance, drawn = random_returns(folders), {}
    for name, baseline in BASELINES.items():
        title = f"{baseline.agent} on {baseline.task}"
        references = {RANDOM: by_chance[baseline.task]}
        drawn[name] = learning_curves_figure({title: returns(folders[name])}, title, references=references)
    return drawn


TABLE = Table(
    title="Returns of the baselines",
    paper="Baselines of rlx, in no paper",
    source=NOTHING_PUBLISHED,
    scales={"small": Scale(SEEDS, "200,000 to 1,500,000 steps", "20 to 30 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        claim(
            "ppo_cartpole",
            "PPO solves CartPole",
            "at least 95 % of 16 seeds end at 475 or more",
            FINAL,
            lambda scores, by_chance: (scores >= 475).mean() >= 0.95,
        ),
        claim(
            "dqn_cartpole",
            "DQN learns CartPole",
            "at least 14 of 16 seeds reach 400 at an evaluation",
            BEST,
            lambda scores, by_chance: (scores >= 400).mean() >= 14 / 16,
        ),
        claim(
            "ppo_inverted_pendulum",
            "PPO balances the inverted pendulum",
            "4 of 4 seeds end at 950 or more",
            FINAL,
            lambda scores, by_chance: (scores >= 950).all(),
        ),
        claim(
            "ppo_halfcheetah",
            "PPO learns to run",
            "every seed ends more than 500 above random actions",
            FINAL,
            lambda scores, by_chance: (scores > by_chance + 500).all(),
        ),
        claim(
            "dqn_breakout",
            "DQN learns Breakout",
            "the mean over 4 seeds ends at 5 times the return of random actions or more",
            FINAL,
            lambda scores, by_chance: scores.mean() >= 5 * by_chance,
        ),
    ),
    figures=figures,
)
