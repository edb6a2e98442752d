"""Short runs that any change which breaks learning would spoil; how good an agent can get is no matter here."""

import pytest

import rlx
from rlx.loggers.jsonl import read_rows

# The returns of uniformly random actions are means of 10,000 episodes.
CARTPOLE = "gymnax/CartPole-v1"  # random 22, perfect 500
PENDULUM = "gymnax/Pendulum-v1"  # random -1221, perfect about -150

PENDULUM_PPO = {
    "num_envs": 16,
    "rollout_length": 128,
    "num_epochs": 10,
    "discount": 0.9,
    "entropy_coefficient": 0.0,
}

PENDULUM_MBMA = {
    "num_envs": 8,
    "rollout_length": 256,
    "num_epochs": 10,
    "num_minibatches": 32,
    "discount": 0.95,
    "reward_scale": 0.1,
    "extras_start": 4_096,
}

CONTINUOUS_CARTPOLE = "rlx/continuous-cartpole"  # untrained about 30, perfect 500

CARTPOLE_SYMPHONY = {
    "hidden_size": 64,
    "num_nodes": 16,
    "batch_size": 48,
    "learning_rate": 3e-4,
    "exploration_steps": 1_000,
    "copies": 20,
}

PENDULUM_TD3 = {
    "num_envs": 4,
    "num_updates": 4,
    "hidden_sizes": [64, 64],
    "batch_size": 64,
    "learning_rate": 1e-3,
    "learning_starts": 400,
    "random_steps": 400,
    "replay_size": 20_000,
}

PENDULUM_SAC = {
    "num_envs": 4,
    "num_updates": 4,
    "hidden_sizes": [64, 64],
    "batch_size": 64,
    "learning_rate": 1e-3,
    "temperature_learning_rate": 1e-3,
    "learning_starts": 400,
    "random_steps": 400,
    "replay_size": 20_000,
}


@pytest.mark.parametrize(
    ("agent", "env", "options", "hyperparameters", "total_steps", "threshold"),
    [
        pytest.param("ppo", CARTPOLE, {}, {}, 80_000, 300, id="ppo-discrete"),
        pytest.param("dqn", CARTPOLE, {}, {}, 12_000, 100, id="dqn"),
        pytest.param("ppo", PENDULUM, {}, PENDULUM_PPO, 160_000, -600, id="ppo-continuous"),
        pytest.param("mbma", PENDULUM, {}, PENDULUM_MBMA, 40_960, -600, id="mbma"),
        pytest.param("sac", PENDULUM, {}, PENDULUM_SAC, 6_000, -600, id="sac"),
        pytest.param("td3", PENDULUM, {}, PENDULUM_TD3, 6_000, -600, id="td3"),
        pytest.param("symphony", CONTINUOUS_CARTPOLE, {}, CARTPOLE_SYMPHONY, 2_500, 100, id="symphony"),
        pytest.param("ppo", PENDULUM, {"discretise": 5}, PENDULUM_PPO, 160_000, -600, id="ppo-discretised"),
    ],
)
def test_it_beats_random_actions_by_far(agent, env, options, hyperparameters, total_steps, threshold, tmp_path):
    task = rlx.make_env(env, **options)
    settings = {"num_seeds": 2, "num_evaluations": 1, "num_checkpoints": 1, "eval_episodes": 32}
    rlx.train(
        rlx.make_agent(agent, task, **hyperparameters),
        task,
        total_steps=total_steps,
        run_dir=str(tmp_path / "run"),
        quiet=True,
        **settings,
    )
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")[-2:]
    assert all(row["step"] >= total_steps for row in rows)
    assert min(row["evaluation/return_mean"] for row in rows) > threshold
