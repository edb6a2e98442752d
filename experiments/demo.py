"""Train two agents on several seeds each in a few minutes, and plot how they learn: ``python experiments/demo.py``.

PPO balances a simulated pendulum (Brax, spring physics); DQN catches falling balls (Gymnax). Both runs, their
checkpoints and their learning curves with confidence bands land in folders of their own below runs/. It takes no
options.
"""

import dataclasses
from typing import Any

from plot import draw

import rlx
from rlx import cli
from rlx.report.runs import read_run

# Agent, environment, what differs from the agent's defaults, environment steps of each seed.
RUNS: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("ppo", "brax/inverted_pendulum", {"entropy_coefficient": 0.0}, 1_000_000),
    ("dqn", "gymnax/Catch-bsuite", {}, 20_000),
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The demo takes none; experiments/train.py takes all."""


def demo(words: list[str]) -> None:
    """Train, plot, and say where everything is."""
    cli.parse_settings(words, Settings)
    lines = []
    for agent, env_name, hyperparameters, total_steps in RUNS:
        env = rlx.make_env(env_name)
        trained = rlx.train(rlx.make_agent(agent, env, **hyperparameters), env, total_steps=total_steps, num_seeds=4)
        if not trained.finished:
            raise KeyboardInterrupt
        curve = trained.folder / "curve.png"
        draw([read_run(trained.folder)], curve)
        lines += [f"{agent} on {env_name}", f"  run folder:     {trained.folder}", f"  learning curve: {curve}"]
    print("\n".join(["", *lines, "", f"look at an episode: python experiments/evaluate.py run={trained.folder}"]))


if __name__ == "__main__":
    cli.main(demo, lambda: __doc__ or "")
