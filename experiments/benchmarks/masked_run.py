"""How long the released code's training in microRTS takes here and what of it, for ``benchmark.py masked_run``."""

from typing import Any

import jax
import jax.numpy as jnp

import rlx
from benchmarks import programs
from benchmarks.breakdown import partial_programs
from benchmarks.environments import GYM
from benchmarks.report import Report, Settings
from benchmarks.turns import median_seconds
from rlx import cli
from rlx.runner.evaluate import evaluate
from rlx.types import Key, PyTree

EVENTS = 245  # of 2048 steps: the budget of 500,000
AUTHORS_MINUTES = (56, 212)  # of their runs, the fastest and the slowest


def measure(settings: Settings) -> Report:
    """A row for each map, if it should be quick only for the smallest."""
    rows = [row(name, settings.repetitions) for name in list(GYM)[: 1 if settings.quick else None]]
    return Report("masked_run", "A training of masked PPO", description(rows), rows)


def row(name: str, repetitions: int) -> dict[str, Any]:
    """One member's training on a map: the parts of a learning event with its evaluation, taking turns on one device."""
    config = cli.compose_config(["agent=masked_ppo_paper", f"env=rlx/microrts-{name}", "agent.mask_evaluation=false"])
    env = rlx.make_env(**config.env)
    agent: Any = rlx.make_agent(spec=env, **config.agent)
    parts = partial_programs(agent, env)
    state = jax.jit(agent.init)(jax.random.key(0))

    def playing(_: PyTree, key: Key) -> PyTree:
        return evaluate(agent, env, state, key, num_episodes=10, mode="sample").returns

    timed = {
        "event": programs.whole(agent, env),
        "evaluation": programs.repeated(playing, jnp.zeros(10)),
        **{part: parts[part] for part in ("collect", "batch", "epochs")},
    }
    seconds = median_seconds(timed, 1, repetitions)
    total = seconds["event"] + seconds["evaluation"]
    shares = {part: 100 * seconds[part] / total for part in ("collect", "batch", "epochs", "evaluation")}
    return {
        "map": name,
        "event and evaluation, s": total,
        "collecting, %": shares["collect"],
        "values and advantages, %": shares["batch"],
        "minibatches, %": shares["epochs"],
        "evaluation, %": shares["evaluation"],
        "the rest, %": 100 - sum(shares.values()),
        "all 500k steps, min": EVENTS * total / 60,
    }


def description(rows: list[dict[str, Any]]) -> str:
    """What was measured, beside the authors' times."""
    minutes = ", ".join(f"{each['all 500k steps, min']:.1f}" for each in rows)
    return (
        "One seed of agent=masked_ppo_paper on one device: 2048 steps, 80 minibatches of 256, and then 10 episodes "
        f"with the mask removed. {EVENTS} of these, without compiling and logging, take {minutes} minutes; the "
        f"authors' runs took {AUTHORS_MINUTES[0]} to {AUTHORS_MINUTES[1]}."
    )
