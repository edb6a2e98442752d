"""A tiny sweep that every test of whole sweeps starts from."""

import pytest

TINY = {
    "agent": "ppo",
    "agent.num_envs": 4,
    "agent.rollout_length": 8,
    "agent.num_minibatches": 2,
    "agent.hidden_sizes": [8],
    "env": "gymnax/CartPole-v1",
    "env.max_episode_steps": 20,
    "total_steps": 288,
    "num_seeds": 2,
    "num_evaluations": 3,
    "num_checkpoints": 9,
    "eval_episodes": 2,
    "tensorboard": False,
}


@pytest.fixture(scope="session")
def tiny():
    """Values of a sweep but for its space."""
    return dict(TINY)
