"""A sweep of step sizes in rejax, run by run or vmapped by hand, as ``benchmark.py sweep_time`` times it."""

import itertools
import json
import sys
import time

import jax
import jax.numpy as jnp
from rejax import DQN, PPO
from rejax_worker import dqn, ppo


def main(task: dict) -> float:
    """Seconds that the whole sweep takes, compilation included, imports not."""
    hyperparameters = {"ppo": ppo, "dqn": dqn}[task["algorithm"]](task["hyperparameters"])
    steps = task["steps"]
    algorithm = {"ppo": PPO, "dqn": DQN}[task["algorithm"]].create(
        env="CartPole-v1", total_timesteps=steps, eval_freq=steps, skip_initial_evaluation=True, **hyperparameters
    )
    algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: ())
    train = lambda rate, key: algorithm.replace(learning_rate=rate).train(key)  # noqa: E731
    rates, keys = jnp.asarray(task["rates"]), jax.vmap(jax.random.PRNGKey)(jnp.arange(task["seeds"]))
    began = time.perf_counter()
    if task["way"] == "vmapped":
        jax.block_until_ready(jax.jit(jax.vmap(jax.vmap(train, (None, 0)), (0, None)))(rates, keys))
    else:
        compiled = jax.jit(train)
        for rate, key in itertools.product(rates, keys):
            jax.block_until_ready(compiled(rate, key))
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps({"seconds": main(json.loads(sys.argv[1]))}))
