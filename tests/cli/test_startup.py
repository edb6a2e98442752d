"""What commands leave out, asked of new interpreters: they load what they use, and are there at once for it."""

import subprocess
import sys

import pytest
from command_lines import EXPERIMENTS, TINY

HEAVY = (
    "jax", "flax", "optax", "orbax", "gymnax", "brax", "mujoco", "warp", "jumanji", "mujoco_playground", "matplotlib",
    "seaborn", "scipy", "pandas", "tensorboardX", "wandb", "rich.live",
)  # fmt: skip
AGENTS = ("dqn", "logq", "masked_ppo", "mbma", "ppo")
EVERY = {f"rlx.agents.{name}" for name in AGENTS}
# What an agent's class needs, an environment, and what goes on with a run; in one, JAX takes its LAPACK from scipy.
AGENT = {"jax", "flax", "optax"}
GYMNAX = {"jax", "flax", "gymnax"}
RUNNING = GYMNAX | {"orbax", "rich.live"}

# Words of the command line, its exit status, and which of these modules it may load.
COMMANDS = {
    "help": ("train --help", 0, AGENT | EVERY),
    "agent unknown": ("train agent=pop", 2, set()),
    "key unknown": ("train total_step=100", 2, AGENT | EVERY),
    "key of no agent": ("train agent=dqn agent.learning_rat=1", 2, AGENT | EVERY),
    "value out of range": ("train agent=dqn agent.learning_rate=-1", 2, AGENT | {"rlx.agents.dqn"}),
    "value of the run out of range": ("train agent=ppo num_seeds=0", 2, AGENT | {"rlx.agents.ppo"}),
    "environment unknown": ("train env=CartPole", 2, AGENT | GYMNAX | {"rlx.agents.ppo"}),
    "task unknown": ("train env=gymnax/CartPole", 2, AGENT | GYMNAX | {"rlx.agents.ppo"}),
    "task of Brax unknown": ("train env=brax/ants", 2, AGENT | GYMNAX | {"rlx.agents.ppo"}),
    "task of Jumanji unknown": ("train env=jumanji/Snake", 2, AGENT | GYMNAX | {"rlx.agents.ppo"}),
    "task of Playground unknown": ("train env=playground/Cheetah", 2, AGENT | GYMNAX | {"rlx.agents.ppo"}),
    "no run": ("train resume=nowhere", 2, RUNNING),
    "a run": (" ".join(["train", "agent=ppo", "run_dir=run", *TINY]), 0, AGENT | RUNNING | {"rlx.agents.ppo", "scipy"}),
    "help of evaluating": ("evaluate --help", 0, RUNNING),
    "help of plotting": ("plot --help", 0, set()),
    "help of reproducing": ("reproduce --help", 0, RUNNING),
    "tables": ("reproduce --list", 0, AGENT | RUNNING | {"rlx.agents.mbma"}),
    "help of a benchmark": ("benchmark members --help", 0, AGENT | RUNNING),
    "benchmark unknown": ("benchmark member", 2, {"jax", "rich.live"}),
}  # fmt: skip

PROGRAM = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, {folder!r})
status = 0
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code
print("\\n", status, *(name for name in {asked} if name in sys.modules))
"""


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_loads_only_what_it_uses(case, folder):
    words, status, allowed = COMMANDS[case]
    script, *words = words.split()
    program = PROGRAM.format(folder=str(EXPERIMENTS), asked=[*HEAVY, *sorted(EVERY)])
    command = [sys.executable, "-c", program, str(EXPERIMENTS / f"{script}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    ended, *loaded = done.stdout.splitlines()[-1].split()
    assert (int(ended), done.stderr.count("error: ")) == (status, status // 2), done.stderr
    assert set(loaded) <= allowed
