"""What `benchmark.py symphony` measures: ratios, the very products of an update, and a peer that does the same."""

import json
import re
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import symphony
from benchmarks.report import Settings
from benchmarks.systems import PEERS, ROOT, WORKERS
from test_factored import products_in

from rlx.replay.n_step import NStepBatch

SMALL = {"hidden_size": 8, "num_nodes": 2, "batch_size": 4, "exploration_steps": 5, "copies": 3}
TOY = symphony.Size("toy", 5, 2, SMALL, 2)
KEY = jax.random.key(0)


def test_ratios_are_those_of_the_same_round(monkeypatch):
    speeds = {
        "update": [16.0, 32.0, 8.0],
        symphony.PEER: [8.0, 8.0, 2.0],
        "products": [32.0, 64.0, 32.0],
        "replay": [1_600.0, 1_600.0, 800.0],
    }
    monkeypatch.setattr(symphony, "speeds_of", lambda size, settings: speeds)
    report = symphony.measure(Settings(repetitions=3, quick=True))
    (row,) = report.rows
    assert row == {
        "size": "tiny",
        "updates/s": 16.0,
        "ms": 62.5,
        "PyTorch, updates/s": 8.0,
        "rlx is x times as fast": 4.0,
        "least": 2.0,
        "most": 4.0,
        "products alone, ms": 31.25,
        "GFLOP/s": pytest.approx(32e-9 * symphony.matrix_operations(symphony.SIZES[0])),
        "share of their speed": 0.5,
        "replay alone, ms": 0.625,
        "replay, % of an update": 1.0,
    }
    assert "a full replay of 20,000" in report.description
    assert "PyTorch does the same" in report.description


def test_operations_at_the_papers_size():
    """Weights of 376, 512, 512, 51 and thrice 393, 512, 512, 128; `matrix_operations` says what is done with them."""
    actor, critics = 512 * (376 + 512 + 51), 3 * 512 * (393 + 512 + 128)
    inner, outer, first = 512 * (512 + 51), 3 * 512 * (512 + 128), 3 * 512 * 17
    online, target = 2 * critics + outer, critics + outer + first
    assert symphony.matrix_operations(symphony.SIZES[1]) == 2 * 384 * (2 * actor + inner + online + target)


def batch_of(agent, rng):
    """A minibatch of random transitions."""
    size, (observation,), (action,) = agent.batch_size, agent.spec.obs_shape, agent.spec.action_shape
    real = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return NStepBatch(
        obs=real(size, observation),
        action=jnp.tanh(real(size, action)),
        reward=real(size),
        discount=jnp.full(size, 0.9),
        terminated=jnp.zeros(size, bool),
        next_obs=real(size, observation),
        action_mask=None,
        next_action_mask=None,
        extras={},
    )


def test_products_are_those_of_an_update():
    agent = symphony.agent_of(TOY)
    params = agent.init(KEY).params
    batch = batch_of(agent, np.random.default_rng(0))
    gradient = lambda params, target: jax.grad(agent.loss, has_aux=True)(params, target, 0.0, batch, KEY)  # noqa: E731
    shapes = symphony.kernels_of(params)
    kernels = {name: [jnp.ones(shape) for shape in layers] for name, layers in shapes.items()}
    kernels["targets"] = kernels["critics"]
    alone = products_in(lambda k, s: symphony.all_products(k, s, 2), kernels, jnp.ones((2, 4, 7)))
    found = products_in(gradient, params, params["critics"])
    # By vmap the minibatch's gradient of the target's first layer has an axis of critics, which is then summed away.
    assert found.pop((96, 168, 84)) == alone.pop((96, 168, 28)) == 1
    assert alone == found
    # Forward; of actor and online critics weights of three layers and inputs of two; of the targets inputs of three.
    assert alone.total() + 1 == 3 * 3 + (3 + 2) * 2 + 3


def test_everything_runs():
    timed = symphony.timed_programs(TOY) | {"replay": symphony.drawing(symphony.agent_of(TOY))}
    assert list(timed) == ["update", "products", "replay"]
    for program in timed.values():
        program(2)


def test_the_peer_is_told_what_it_asks_for():
    task = symphony.peers_task(symphony.SIZES[1], 12)
    worker = (ROOT / WORKERS / PEERS[symphony.PEER].worker).read_text()
    assert set(re.findall(r'task\["(\w+)"\]', worker)) <= set(task)
    assert (task["observation"], task["action"], task["replay_size"], task["num_nodes"]) == (376, 17, 384_000, 128)
    json.dumps(task)


LEARNED = """
import json, sys, torch
import torch_symphony as peer
task, *told = json.load(sys.stdin)
actor, critics, target, batch = ({name: torch.tensor(x) for name, x in each.items()} for each in told)
learned = [*actor.values(), *critics.values()]
for weights in learned:
    weights.requires_grad_()
total, mean_value = peer.loss(actor, critics, target, batch, torch.tensor(0.3), peer.node_weights(task), task)
gradients = torch.autograd.grad(total, learned)
moments = [(torch.zeros_like(weights), torch.zeros_like(weights)) for weights in learned]
with torch.no_grad():
    peer.descend(learned, gradients, moments, task)
networks = [{name: x.tolist() for name, x in each.items()} for each in (critics, actor)]
print(json.dumps([float(total), float(mean_value), *networks]))
"""


def as_the_peers(params, members):
    """Parameters in the peer's names and shapes."""
    p = params["params"] if members else jax.tree.map(lambda x: x[None], params["params"])
    named = {"scale": p["LayerNorm_0"]["scale"], "offset": p["LayerNorm_0"]["bias"], "s": p["ReSine_0"]["s"]}
    for number in range(3):
        named |= {f"kernel_{number}": p[f"Dense_{number}"]["kernel"], f"bias_{number}": p[f"Dense_{number}"]["bias"]}
    return {n: np.asarray(x if n.startswith("kernel") else x[:, None]).tolist() for n, x in named.items()}


@pytest.mark.skipif(not PEERS[symphony.PEER].python.exists(), reason="`make bench-peers` installs PyTorch")
def test_the_peer_makes_the_same_update():
    """Without noise, whose draws differ."""
    agent = symphony.agent_of(TOY).replace(noise_std=0.0, learning_rate=0.01)
    params, target = (agent.init(jax.random.key(seed)).params for seed in (1, 2))
    target, batch = target["critics"], batch_of(agent, np.random.default_rng(3))
    theirs = {
        name: np.asarray(getattr(batch, name)).tolist() for name in ("obs", "action", "reward", "discount", "next_obs")
    }
    task = symphony.peers_task(TOY, 1) | {"noise_std": 0.0, "learning_rate": 0.01}
    networks = as_the_peers(params["actor"], 0), as_the_peers(params["critics"], 3), as_the_peers(target, 3)
    done = subprocess.run(
        [PEERS[symphony.PEER].python, "-c", LEARNED],
        input=json.dumps([task, *networks, theirs]),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / WORKERS,
    )
    total, mean_value, critics, actor = json.loads(done.stdout)
    (loss, (ours, _)), grads = jax.value_and_grad(agent.loss, has_aux=True)(
        params, target, jnp.float32(0.3), batch, KEY
    )
    np.testing.assert_allclose([total, mean_value], [loss, ours], rtol=1e-4)
    params, _ = agent.optimiser.step(grads, agent.optimiser.init(params), params, 0.01)
    for found, expected in ((critics, as_the_peers(params["critics"], 3)), (actor, as_the_peers(params["actor"], 0))):
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)
