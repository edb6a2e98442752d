"""What the tests of the command line share: where the scripts are, a tiny run, what a folder holds."""

from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = (
    "agent.num_envs=4",
    "agent.rollout_length=8",
    "agent.num_minibatches=2",
    "agent.hidden_sizes=[8]",
    "total_steps=96",
    "num_evaluations=3",
    "num_checkpoints=3",
    "eval_episodes=2",
    "tensorboard=false",
)


def contents(folder):
    """Every file below ``folder`` with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
