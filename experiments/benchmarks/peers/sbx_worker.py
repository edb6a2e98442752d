"""Stable-Baselines Jax as ``benchmark.py speed`` measures it: ``model.learn`` on a task of Gymnasium, one seed."""

from typing import Any

import flax.linen as nn
from protocol import Compile, Repeat, serve
from sbx import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env


def build(task: dict[str, Any]) -> Compile:
    """Make the environments; the compilation counts the first iteration, a repetition goes on from there."""
    ours = task["hyperparameters"]
    env = make_vec_env(task["env"].partition("/")[2], n_envs=ours["num_envs"])
    settings: dict[str, Any] = {
        "policy_kwargs": {"net_arch": ours["hidden_sizes"], "activation_fn": getattr(nn, ours["activation"])},
        "learning_rate": ours["learning_rate"],
        **{"ppo": ppo, "dqn": dqn, "sac": sac}[task["algorithm"]](ours),
    }

    def compile_and_start() -> Repeat:
        model = {"ppo": PPO, "dqn": DQN, "sac": SAC}[task["algorithm"]]("MlpPolicy", env, **settings)
        model.learn(task["steps_per_iteration"])
        steps = task["iterations"] * task["steps_per_iteration"]

        def repeat() -> None:
            model.learn(steps, reset_num_timesteps=False)

        return repeat

    return compile_and_start


def ppo(ours: dict[str, Any]) -> dict[str, Any]:
    """PPO with rlx's hyperparameters, in the words of Stable-Baselines."""
    return {
        "n_steps": ours["rollout_length"],
        "n_epochs": ours["num_epochs"],
        "batch_size": ours["num_envs"] * ours["rollout_length"] // ours["num_minibatches"],
        "max_grad_norm": ours["max_grad_norm"],
    }


def dqn(ours: dict[str, Any]) -> dict[str, Any]:
    """DQN with rlx's hyperparameters, in the words of Stable-Baselines."""
    return {
        "buffer_size": ours["replay_size"],
        "learning_starts": ours["learning_starts"],
        "batch_size": ours["batch_size"],
        "train_freq": 1,
        "gradient_steps": ours["num_updates"],
        "target_update_interval": ours["target_period"] * ours["num_envs"],
    }


def sac(ours: dict[str, Any]) -> dict[str, Any]:
    """SAC with rlx's hyperparameters, in the words of Stable-Baselines."""
    return {
        "buffer_size": ours["replay_size"],
        "learning_starts": ours["learning_starts"],
        "batch_size": ours["batch_size"],
        "tau": ours["target_rate"],
        "gamma": ours["discount"],
        "train_freq": 1,
        "gradient_steps": ours["num_updates"],
    }


if __name__ == "__main__":
    serve(build, ("sbx-rl", "stable-baselines3", "jax", "gymnasium"))
