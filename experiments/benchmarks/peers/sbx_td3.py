"""Stable-Baselines Jax's TD3 on Gymnasium's Pendulum-v1, one seed: prints its mean returns at the evaluations."""

import json
import sys

import numpy as np
from sbx import TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise


def main(task: dict) -> list[float]:
    """Train, and stop for an evaluation every so often."""
    env, judge = (make_vec_env("Pendulum-v1", seed=1_000 * task["seed"] + offset) for offset in (0, 500))
    model = TD3(
        "MlpPolicy",
        env,
        seed=task["seed"],
        learning_rate=task["learning_rate"],
        qf_learning_rate=task["learning_rate"],
        buffer_size=task["replay_size"],
        learning_starts=task["learning_starts"],
        batch_size=task["batch_size"],
        # Actions are in [-1, 1] where noise is added.
        action_noise=NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)),
        policy_kwargs={"net_arch": task["hidden_sizes"]},
    )
    returns = []
    for _ in range(task["steps"] // task["period"]):
        model.learn(task["period"], reset_num_timesteps=False)
        returns.append(float(evaluate_policy(model, judge, task["episodes"])[0]))
    return returns


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
