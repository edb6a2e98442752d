"""What `benchmark.py factored` measures: ratios, the very products of an update, and what the peer is told."""

import collections
import json
import re
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import factored
from benchmarks.report import Settings
from benchmarks.systems import PEERS, ROOT, WORKERS

from rlx.ops import polyak
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Sample

TOY = factored.Size("toy", 5, 2)
SMALL = {"num_critics": 3, "hidden_size": 8, "batch_size": 4}
KEY = jax.random.key(0)


def test_ratios_are_those_of_the_same_round(monkeypatch):
    speeds = {
        "update": [16.0, 32.0, 8.0],
        "PyTorch": [8.0, 8.0, 2.0],
        "products": [32.0, 64.0, 32.0],
        "one critic": [128.0, 256.0, 64.0],
        "priorities": [8.0, 16.0, 8.0],
    }
    monkeypatch.setattr(factored, "speeds_of", lambda size, settings: speeds)
    report = factored.measure(Settings(repetitions=3, quick=True))
    (row,) = report.rows
    assert row == {
        "task": "walker",
        "updates/s": 16.0,
        "ms": 62.5,
        "PyTorch, updates/s": 8.0,
        "rlx is x times as fast": 4.0,
        "least": 2.0,
        "most": 4.0,
        "products alone, ms": 31.25,
        "GFLOP/s": pytest.approx(32 * 13.909360640),
        "share of their speed": 0.5,
        "one critic, ms": 7.8125,
        "ten take x times": 8.0,
        "priorities add, %": 100.0,
    }
    assert "at the sizes of walker (24 numbers, 6 components, 13.9 GFLOP of matrix products). An" in report.description
    assert "PyTorch does the same" in report.description
    del speeds["PyTorch"]
    alone = factored.measure(Settings(repetitions=3, quick=True))
    assert "least" not in alone.rows[0]
    assert "PyTorch" not in alone.description


def test_operations_of_the_products_at_the_papers_sizes():
    """Ten critics of 24 x 512, 512 x 512 twice and 512 x 18 weights, five times but for the observations' gradient."""
    weights = 10 * (24 * 512 + 2 * 512 * 512 + 512 * 18)
    walker, humanoid = (factored.agent_of(size, 1_000) for size in factored.SIZES)
    assert factored.matrix_operations(walker) == 2 * 256 * (5 * weights - 10 * 24 * 512) == 13_909_360_640
    assert factored.matrix_operations(humanoid) == 14_950_072_320


def drawn(agent, rng):
    """A minibatch of random transitions."""
    size, (observation,), components = agent.batch_size, agent.spec.obs_shape, len(agent.spec.nvec)
    real = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    batch = NStepBatch(
        obs=real(size, observation),
        action=jnp.asarray(rng.integers(0, factored.BINS, (size, components)), jnp.int32),
        reward=real(size),
        discount=jnp.full(size, 0.9),
        steps=jnp.ones(size, jnp.int32),
        terminated=jnp.asarray(rng.random(size) < 0.5),
        next_obs=real(size, observation),
        action_mask=None,
        next_action_mask=None,
        extras={},
    )
    return Sample(batch, jnp.ones(size), jnp.zeros(size, jnp.int32))


def products_in(function, *arguments):
    """How often there are which matrix products in a program: by the sizes of both factors and of the product."""
    text = jax.jit(function).lower(*arguments).as_text()
    found = collections.Counter()
    for types in re.findall(r"stablehlo\.dot_general .*: \((.*)\) -> (.*)", text):
        shapes = re.findall(r"tensor<([\dx]+)xf32>", " ".join(types))
        left, right, product = (int(np.prod([int(n) for n in shape.split("x")])) for shape in shapes)
        found[min(left, right), max(left, right), product] += 1
    return found


def test_products_are_those_of_an_update():
    agent = factored.agent_of(TOY, 100, **SMALL)
    params = agent.init(KEY).params
    sample = drawn(agent, np.random.default_rng(0))
    gradient = lambda params, target: jax.grad(agent.loss, has_aux=True)(params, target, sample, KEY)  # noqa: E731
    kernels = factored.kernels_of(params)
    alone = products_in(factored.all_products, kernels, kernels, sample.batch.obs, sample.batch.next_obs)
    assert alone == products_in(gradient, params, params)
    assert alone.total() == 19


def test_everything_runs():
    timed = factored.timed_programs(TOY, 40, **SMALL)
    assert list(timed) == ["update", "products", "one critic", "priorities"]
    for program in timed.values():
        program(2)


def test_the_peer_is_told_what_it_asks_for():
    task = factored.peers_task(factored.agent_of(factored.SIZES[1], 1_000), 12)
    worker = (ROOT / WORKERS / PEERS["PyTorch"].worker).read_text()
    assert set(re.findall(r'task\["(\w+)"\]', worker)) <= set(task)
    assert (task["observation"], task["components"], task["iterations"], task["learning_rate"]) == (67, 21, 12, 1e-4)
    json.dumps(task)


UPDATED = """
import json, sys, torch
from torch_worker import update
task, params, target, batch = json.load(sys.stdin)
params, target, batch = ({name: torch.tensor(x) for name, x in each.items()} for each in (params, target, batch))
for weights in params.values():
    weights.requires_grad_()
update(params, target, torch.optim.Adam(params.values(), lr=task["learning_rate"]), batch, task)
print(json.dumps([{name: x.tolist() for name, x in each.items()} for each in (params, target)]))
"""


def as_the_peers(params):
    """Parameters in the peer's names and shapes."""
    params = params["params"]
    named = {name: params[name][0].tolist() for name in ("norm_scale", "norm_offset")}
    for name in ("input", "residual_1", "residual_2", "head"):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        named |= {f"{name}_kernel": kernel.tolist(), f"{name}_bias": bias[:, None].tolist()}
    return named


@pytest.mark.skipif(not PEERS["PyTorch"].python.exists(), reason="`make bench-peers` installs PyTorch")
def test_the_peer_makes_the_same_update():
    agent = factored.agent_of(TOY, 100, **SMALL, learning_rate=0.01, max_grad_norm=0.1, target_rate=0.5)
    params, target = (agent.init(jax.random.key(seed)).params for seed in (1, 2))
    batch = drawn(agent, np.random.default_rng(3)).batch
    columns = ("obs", "action", "reward", "discount", "terminated", "next_obs")
    theirs = {name: np.asarray(getattr(batch, name)).tolist() for name in columns}
    theirs["terminated"] = [float(ends) for ends in theirs["terminated"]]
    told = [factored.peers_task(agent, 1), as_the_peers(params), as_the_peers(target), theirs]
    command = [PEERS["PyTorch"].python, "-c", UPDATED]
    done = subprocess.run(
        command, input=json.dumps(told), capture_output=True, text=True, check=True, cwd=ROOT / WORKERS
    )
    grads = jax.grad(agent.loss, has_aux=True)(params, target, Sample(batch, jnp.ones(4), None), KEY)[0]
    params, _ = agent.optimiser.step(grads, agent.optimiser.init(params), params, 0.01)
    target = polyak.polyak(target, params, 0.5)
    for ours, found in zip((params, target), json.loads(done.stdout), strict=True):
        expected = as_the_peers(ours)
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
