"""Runs under JAX's debugging switches and with 64-bit types, each in a new interpreter, where the switches are set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rlx

HERE = Path(__file__).parent
TRAINS = """
import sys, tempfile
import jax, jax.numpy as jnp
from flax import struct
from stub import Stub, StubState
import rlx
from rlx.types import Metrics

@struct.dataclass
class Mine(Stub):
    def update(self, state, rollout, key, clock):
        if not isinstance(state.params, jax.core.Tracer):
            print("seen in", int(clock.iterations), "by", state.params.shape)
        gradient = jax.grad(self.loss)(state.params, clock.iterations)
        return StubState(state.params - 0.1 * gradient, state.memory), Metrics({"loss": gradient.sum()})

    def loss(self, params, iterations):
        def step(total, x):
            scale = jnp.where(iterations < BREAKS_AT, 1.0, 0.0) * params
            return total + x * (scale / scale).sum(), None  # the fault
        return jax.lax.scan(step, 0.0, jnp.arange(3.0))[0]

env = rlx.make_env("rlx/probe-delayed")
settings = {"num_evaluations": 2, "num_checkpoints": 1, "eval_episodes": 2, "quiet": True, "tensorboard": False}
with tempfile.TemporaryDirectory() as folder:
    trained = rlx.train(Mine(env.spec), env, total_steps=STEPS, seeds=[4, 9, 2], run_dir=folder + "/run", **settings)
    print("trained to", trained.step, rlx.evaluate(trained).returns.tolist())
"""


def run(code, tmp_path, **switches):
    """What an interpreter prints and complains of; the code is a file, so that tracebacks show its lines."""
    script = tmp_path / "script.py"
    script.write_text(code)
    paths = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": paths, "JAX_NUM_CPU_DEVICES": "2", **switches}
    return subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=600)


def trains(breaks_at, steps):
    return TRAINS.replace("BREAKS_AT", str(breaks_at)).replace("STEPS", str(steps))


@pytest.mark.parametrize("uncompiled", ["0", "1"])
def test_a_nan_in_a_loss_is_found_at_its_line(tmp_path, uncompiled):
    """A line within a scan, within a gradient, of one of many iterations of three members on two devices."""
    breaks_at, steps = (3, 60) if uncompiled == "1" else (40, 600)
    done = run(trains(breaks_at, steps), tmp_path, JAX_DEBUG_NANS="1", JAX_DISABLE_JIT=uncompiled)
    frames = [line.strip() for line in done.stderr.splitlines()]
    last = max(i for i, line in enumerate(frames) if "script.py" in line)
    assert frames[last + 1].endswith("# the fault"), done.stderr
    assert "FloatingPointError: invalid value (nan) encountered in div" in frames
    assert any(line.startswith("seed 4;") for line in frames) == (uncompiled == "0")
    assert "trained to" not in done.stdout


def test_a_healthy_run_is_watched_and_goes_on(tmp_path):
    done = run(trains(10**6, 600), tmp_path, JAX_DEBUG_NANS="1")
    assert "trained to 600 [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]" in done.stdout, done.stderr


def test_uncompiled_an_agent_sees_values_of_one_member(tmp_path):
    done = run(trains(10**6, 12), tmp_path, JAX_DISABLE_JIT="1")
    assert [done.stdout.count(f"seen in {event} by (3,)") for event in (1, 2)] == [3, 3], done.stderr  # seeds
    assert "trained to 12" in done.stdout


FAMILIES = ("gymnax/FrozenLake-misc", "rlx/microrts-4x4", "jumanji/Game2048-v1", "brax/reacher", "playground/PointMass")
SHAPES = """
import jax
import rlx
from rlx.runner.population import Population, members_of
from rlx.types import Clock

assert jax.config.jax_enable_x64
for name in NAMES:
    env = rlx.make_env(name)
    agent = rlx.make_agent("ppo", env, num_envs=2, rollout_length=2, num_minibatches=1, hidden_sizes=(4,))
    population = Population(members_of([agent], [0]), env)
    state = population.shapes(Clock.start(100, 4))
    rollout = jax.eval_shape(population.programs.rollout, population.agents[0], state, population.arrays)
    print(name, *sorted({str(leaf.dtype) for leaf in jax.tree.leaves((state, rollout))}))
"""


def test_tasks_of_every_family_keep_their_32_bits(tmp_path):
    names = [name for name in FAMILIES if name in rlx.environments()]
    done = run(SHAPES.replace("NAMES", repr(names)), tmp_path, JAX_ENABLE_X64="1")
    found = {name: types for name, *types in (line.split() for line in done.stdout.splitlines())}
    assert list(found) == names, done.stderr
    assert all("float32" in types for types in found.values())
    assert not [types for types in found.values() if any(type_.endswith("64") for type_ in types)]
