"""Measure the baselines against what they should reach: ``python experiments/baselines.py [only=NAME]``.

Runs what is not there yet below runs/baselines (an interrupted run goes on where it stopped), and writes a table and
learning curves to results/baselines.
"""

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import rlx
from rlx import cli, usage
from rlx.envs.api import Env
from rlx.report.curves import plot_learning_curves
from rlx.report.runs import learning_curves, read_run
from rlx.report.statistics import interquartile_mean, stratified_bootstrap_interval
from rlx.report.tables import write_table
from rlx.runner.evaluate import evaluate
from rlx.settings import hyper
from rlx.types import Discrete, Key, Mode, PyTree, Timestep

RUNS, RESULTS = Path("runs/baselines"), Path("results/baselines")


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A run and what it should reach.

    Attributes:
        command: the arguments of experiments/train.py that start it.
        criterion: what it should reach, in words.
        reached: whether it did, from returns ``[members, S]`` at evaluations and the return of random actions.
    """

    command: str
    criterion: str
    reached: Callable[[np.ndarray, float], bool]


BASELINES = {
    "ppo_cartpole": Baseline(
        "agent=ppo env=gymnax/CartPole-v1 num_seeds=16 total_steps=500000",
        "at least 95 % of 16 seeds end at 475 or more",
        lambda returns, random: bool((returns[:, -1] >= 475).mean() >= 0.95),
    ),
    "dqn_cartpole": Baseline(
        "agent=dqn env=gymnax/CartPole-v1 num_seeds=16 total_steps=200000",
        "at least 14 of 16 seeds reach 400 at an evaluation",
        lambda returns, random: int((returns.max(axis=1) >= 400).sum()) >= 14,
    ),
    "ppo_inverted_pendulum": Baseline(
        "agent=ppo env=brax/inverted_pendulum num_seeds=4 total_steps=1500000 agent.discount=0.995 "
        "agent.entropy_coefficient=0",
        "4 of 4 seeds end at 950 or more",
        lambda returns, random: bool((returns[:, -1] >= 950).all()),
    ),
    "ppo_halfcheetah": Baseline(
        "agent=ppo env=brax/halfcheetah num_seeds=4 total_steps=1000000 agent.entropy_coefficient=0",
        "every seed ends clearly above random actions",
        lambda returns, random: bool((returns[:, -1] > random + 500).all()),
    ),
    "dqn_breakout": Baseline(
        "agent=dqn env=gymnax/Breakout-MinAtar num_seeds=4 total_steps=500000 agent.learning_rate=2.5e-4 "
        "agent.target_period=250 agent.loss=huber",
        "the mean over 4 seeds ends at 5 times the return of random actions or more",
        lambda returns, random: returns[:, -1].mean() >= 5 * random,
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to run."""

    only: str | None = hyper(None, "one of the baselines; all if null", choices=tuple(BASELINES))


class RandomActions:
    """A policy that draws each action uniformly, whatever it sees."""

    def __init__(self, env: Env) -> None:
        self.spec = env.spec

    def policy(self, state: PyTree, timestep: Timestep, key: Key, mode: Mode) -> jax.Array:
        """Actions ``[N, ...]``."""
        shape = (timestep.obs.shape[0], *self.spec.action_shape)
        if isinstance(self.spec.action_space, Discrete):
            return jax.random.randint(key, shape, 0, self.spec.action_space.n)
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def baselines(words: list[str]) -> None:
    """Run and report the baselines."""
    only = cli.parse_settings(words, Settings).only
    for name in [only] if only else BASELINES:
        run(name)
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [summary(name) for name in BASELINES if (RUNS / name / "metrics.jsonl").exists()]
    write_table(rows, RESULTS / "table")
    print(f"table and learning curves: {RESULTS}")


def run(name: str) -> None:
    """Train what ``name`` asks for, unless it is there already."""
    folder = RUNS / name
    if (folder / "config.yaml").exists():
        rlx.resume(folder)
        return
    config = cli.compose_config(shlex.split(BASELINES[name].command))
    env = rlx.make_env(**config.env)
    rlx.train(rlx.make_agent(spec=env, **config.agent), env, **{**config.run, "run_dir": str(folder)})


def summary(name: str) -> dict[str, Any]:
    """A row of the table, and the learning curve beside it."""
    baseline, record = BASELINES[name], read_run(RUNS / name)
    steps, returns = learning_curves(record)
    random = random_return(rlx.make_env(**record.config["env"]))
    title = f"{record.config['agent']['name']} on {record.config['env']['name']}"
    plot_learning_curves(
        {title: (steps, returns)}, RESULTS / f"{name}.png", title=title, references={"random actions": random}
    )
    low, high = stratified_bootstrap_interval(returns[:, -1:], interquartile_mean)
    return {
        "baseline": title,
        "steps": int(steps[-1]),
        "seeds": len(returns),
        "final return (IQM)": float(interquartile_mean(returns[:, -1:])),
        "95 % interval": f"{low:.4g} to {high:.4g}",
        "worst seed": float(returns[:, -1].min()),
        "random actions": random,
        "criterion": baseline.criterion,
        "reached": "yes" if baseline.reached(returns, random) else "no",
        "seconds": round(max(row["wall_time"] for row in record.rows)),
        "command": f"python experiments/train.py {baseline.command}",
    }


def random_return(env: Env, num_episodes: int = 256) -> float:
    """Mean return of random actions."""
    play = jax.jit(lambda key: evaluate(RandomActions(env), env, None, key, num_episodes, "sample"))  # type: ignore[arg-type]
    return float(play(jax.random.key(0)).returns.mean())


if __name__ == "__main__":
    cli.main(baselines, lambda: f"{__doc__}\n{usage.describe(Settings)}\n\nBaselines: {', '.join(BASELINES)}")
