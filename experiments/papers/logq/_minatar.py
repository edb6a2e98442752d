"""What the MinAtar tables share: the games, the methods and how they are trained."""

from typing import Any

from papers.logq._deep import DQN, k_for, named

from rlx.reproduce.jobs import Training

METHODS = ("DQN", "LogDQN")
# The longest delay of a reward that a floor of discount**k must resolve: a shot or a ball crosses the 10 x 10 board.
DELAY = 20
SHARED = {
    "num_envs": 4,
    "batch_size": 32,
    "replay_size": 100_000,
    "learning_starts": 5_000,
    "target_period": 250,
    "epsilon_final": 0.01,
    "hidden_sizes": [],
}


def training(
    game: str, method: str, told_by: float, *, discount: float, learning_rate: float, **run_fields: Any
) -> Training:
    """A method on a game; ``told_by`` is what its name tells it by from the method's others on that game."""
    own = k_for(discount, DELAY) if method == "LogDQN" else DQN
    return Training(
        named(game, method, told_by),
        agent="logq" if method == "LogDQN" else "dqn",
        env=f"gymnax/{game}-MinAtar",
        agent_fields={**SHARED, **own, "discount": discount, "learning_rate": learning_rate},
        env_fields={"sticky_actions": 0.25},
        run_fields={"num_evaluations": 10, "num_checkpoints": 4, "tensorboard": False, **run_fields},
    )
