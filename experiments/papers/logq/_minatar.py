"""What the MinAtar tables share: the games, the methods and how they are trained."""

from papers.logq._deep import DQN, LOG_DQN, k_for

METHODS = {"DQN": DQN, "LogDQN": LOG_DQN}
# The longest delay of a reward that a floor of discount**k must resolve: a shot or a ball crosses the 10 x 10 board.
DELAY = 20
SHARED = (
    "env.sticky_actions=0.25",
    "agent.num_envs=4",
    "agent.batch_size=32",
    "agent.replay_size=100000",
    "agent.learning_starts=5000",
    "agent.target_period=250",
    "agent.epsilon_final=0.01",
    "agent.hidden_sizes=[]",
    "num_evaluations=10",
    "num_checkpoints=4",
    "tensorboard=false",
)


def words(
    method: str, game: str, discount: float, learning_rate: float, steps: int, seeds: int, seed: int = 0
) -> tuple[str, ...]:
    """The words of ``experiments/train.py`` that train a method on a game."""
    return (
        *METHODS[method],
        f"env=gymnax/{game}-MinAtar",
        *SHARED,
        f"agent.discount={discount}",
        *([k_for(discount, DELAY)] if method == "LogDQN" else []),
        f"agent.learning_rate={learning_rate}",
        f"total_steps={steps}",
        f"num_seeds={seeds}",
        f"seed={seed}",
    )
