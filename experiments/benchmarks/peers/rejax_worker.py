"""rejax as ``benchmark.py speed`` measures it: ``jax.jit(jax.vmap(algorithm.train))``, without evaluation."""

from typing import Any

import jax
from protocol import Compile, Repeat, serve
from rejax import DQN, PPO, SAC


def build(task: dict[str, Any]) -> Compile:
    """Make the algorithm; a repetition is a training from keys of its own to the final states."""
    hyperparameters = {"ppo": ppo, "dqn": dqn, "sac": sac}[task["algorithm"]](task["hyperparameters"])
    steps = task["iterations"] * task["steps_per_iteration"]
    algorithm = {"ppo": PPO, "dqn": DQN, "sac": SAC}[task["algorithm"]].create(
        env=task["env"].partition("/")[2],
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        **hyperparameters,
    )
    algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: ())
    single = task["members"] == 1
    train = jax.jit(algorithm.train if single else jax.vmap(algorithm.train))

    def keys_for(repetition: int) -> jax.Array:
        key = jax.random.PRNGKey(repetition)
        return key if single else jax.random.split(key, task["members"])

    def compile_training() -> Repeat:
        repetition = 0
        compiled = train.lower(keys_for(repetition)).compile()

        def repeat() -> None:
            nonlocal repetition
            repetition += 1
            jax.block_until_ready(compiled(keys_for(repetition)))

        return repeat

    return compile_training


def ppo(ours: dict[str, Any]) -> dict[str, Any]:
    """PPO with rlx's hyperparameters, in rejax's words: it always clips the value loss, and gradients by element."""
    return {
        "agent_kwargs": {"hidden_layer_sizes": ours["hidden_sizes"], "activation": ours["activation"]},
        "num_envs": ours["num_envs"],
        "num_steps": ours["rollout_length"],
        "num_epochs": ours["num_epochs"],
        "num_minibatches": ours["num_minibatches"],
        "learning_rate": ours["learning_rate"],
        "max_grad_norm": ours["max_grad_norm"],
    }


def dqn(ours: dict[str, Any]) -> dict[str, Any]:
    """DQN with rlx's hyperparameters, in rejax's words: its network is 64-64, and ``polyak=0`` copies to the target."""
    assert ours["hidden_sizes"] == [64, 64]
    return {
        "agent_kwargs": {"activation": ours["activation"]},
        "num_envs": ours["num_envs"],
        "num_epochs": ours["num_updates"],
        "batch_size": ours["batch_size"],
        "buffer_size": ours["replay_size"],
        "fill_buffer": ours["learning_starts"],
        "target_update_freq": ours["target_period"] * ours["num_envs"],
        "polyak": 0.0,
        "ddqn": ours["double"],
        "learning_rate": ours["learning_rate"],
        "max_grad_norm": ours["max_grad_norm"],
    }


def sac(ours: dict[str, Any]) -> dict[str, Any]:
    """SAC with rlx's hyperparameters, in rejax's words: it always clips gradients by element, here at nothing."""
    return {
        "agent_kwargs": {"activation": ours["activation"]},
        "hidden_layer_sizes": ours["hidden_sizes"],
        "num_envs": ours["num_envs"],
        "num_epochs": ours["num_updates"],
        "batch_size": ours["batch_size"],
        "buffer_size": ours["replay_size"],
        "fill_buffer": ours["learning_starts"],
        "target_update_freq": ours["num_envs"],
        "polyak": 1.0 - ours["target_rate"],
        "gamma": ours["discount"],
        "learning_rate": ours["learning_rate"],
        "max_grad_norm": 1e9,
    }


if __name__ == "__main__":
    serve(build, ("rejax", "jax", "gymnax"))
