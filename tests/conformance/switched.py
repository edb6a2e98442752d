"""What agents do in a new interpreter where JAX's switches are set: ``switched.py numbers|train AGENT ...``."""

import hashlib
import sys
import tempfile
import traceback

import jax
from cases import Case, Population, host, small_agent

import rlx
from rlx import registry
from rlx.settings import settings_of
from rlx.types import Discrete

ITERATIONS = 6
# Uncompiled, each operation on each shape compiles by itself, and each step of each loop is run from Python.
TINY = {
    "num_envs": 2,
    "rollout_length": 2,
    "num_epochs": 1,
    "num_minibatches": 1,
    "batch_size": 4,
    "learning_starts": 4,
    "model_updates": 1,
    "first_fit": 1,
    "hidden_sizes": (4,),
    "critic_hidden_sizes": (4,),
    "model_hidden_sizes": (4,),
}


def numbers(one: Population) -> str:
    """A digest of the state after six iterations and of an evaluation, dtypes and bits."""
    state = one.advance(one.start(), ITERATIONS)
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(host((state, one.evaluate(state)))):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return digest.hexdigest()


def train(name: str) -> str:
    """Let the agent learn from three rollouts or more, in a task whose episodes end, and say at which step it ends."""
    cls = registry.agent_class(name)
    env = rlx.make_env("rlx/probe-terminated" if Discrete in cls.accepts else "rlx/probe-factored")
    agent = small_agent(name, env, **{field: size for field, size in TINY.items() if field in settings_of(cls)})
    total = max(12, 3 * agent.needs.num_envs * agent.needs.rollout_length)
    settings = {"num_evaluations": 1, "num_checkpoints": 1, "eval_episodes": 1, "tensorboard": False, "quiet": True}
    with tempfile.TemporaryDirectory() as folder:
        return f"trained to {rlx.train(agent, env, total_steps=total, run_dir=f'{folder}/run', **settings).step}"


if __name__ == "__main__":
    for agent_name in sys.argv[2:]:
        try:
            found = numbers(Case(agent_name).one) if sys.argv[1] == "numbers" else train(agent_name)
        except Exception:
            found = traceback.format_exc().replace("\n", " | ")
        print(f"{agent_name}: {found}", flush=True)
