"""What Stable-Baselines Jax reaches: evaluations of one seed, written to standard output as a list of mean returns."""

import json
import os
import sys
from typing import Any

import flax.linen as nn
import gymnasium
import numpy as np
import sbx
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise


def curve(task: dict[str, Any]) -> list[float]:
    """Mean returns of the most likely action before training and after each part of it."""
    env, evaluation_env = gymnasium.make(task["env"]), gymnasium.make(task["env"])
    evaluation_env.reset(seed=1_000_000 + task["seed"])
    settings = task["settings"] | {
        "policy_kwargs": {"net_arch": task["hidden_sizes"], "activation_fn": getattr(nn, task["activation"])}
    }
    if "noise" in task:
        size = np.shape(env.action_space.sample())
        settings["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, task["noise"]))
    model = getattr(sbx, task["algorithm"])("MlpPolicy", env, seed=task["seed"], **settings)
    found = []
    for part in range(task["evaluations"] + 1):
        if part:
            model.learn(task["steps"] // task["evaluations"], reset_num_timesteps=False)
        found.append(float(evaluate_policy(model, evaluation_env, task["episodes"], warn=False)[0]))
    return found


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    json.dump(curve(json.loads(sys.argv[1])), replies)
