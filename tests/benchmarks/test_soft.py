"""What `benchmark.py soft` and `benchmark.py lingam` measure: ratios, the very products of an update, and samples."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import lingam, soft
from benchmarks.cases import SAC
from benchmarks.peers.problems import linear_model
from benchmarks.report import Settings

import rlx
from rlx.agents.sac import Learner
from rlx.replay.n_step import NStepBatch
from rlx.types import Box, EnvSpec

KEY = jax.random.key(0)


def test_ratios_are_those_of_the_same_round(monkeypatch):
    speeds = {
        "training": [400.0, 200.0, 100.0],
        "products": [800.0, 500.0, 200.0],
        "SAC": [100.0, 100.0, 200.0],
        "ACE between estimates": [80.0, 100.0, 100.0],
        "estimate": [2.0, 2.0, 2.0],
        "rejax": [200.0, 200.0, 25.0],
    }
    monkeypatch.setattr(soft, "speeds_of", lambda members, settings: speeds)
    (row,) = soft.measure(Settings(repetitions=3, quick=True)).rows
    assert row == {
        "members": 1,
        "updates/s": 200.0,
        "rejax, updates/s": 200.0,
        "rejax, rlx is x times as fast": 2.0,
        "rejax, least": 1.0,
        "products alone take, ms": 2.0,
        "training takes x times that": 2.0,
        "ACE's updates add, %": 25.0,
        "an estimate, ms": 500.0,
        # 10,000 updates take 100 s, an estimate half a second.
        "ACE adds in all, %": pytest.approx(25.5),
    }


def operations(function, *arguments):
    """Multiplications in the matrix products of a program."""
    text, found = jax.jit(function).lower(*arguments).as_text(), 0.0
    for types in re.findall(r"stablehlo\.dot_general .*: \((.*)\) -> (.*)", text):
        shapes = [tuple(map(int, sizes.split("x"))) for sizes in re.findall(r"tensor<([\dx]+)xf32>", " ".join(types))]
        # Those of both critics have an axis more, in both factors.
        batch = 2 if len(shapes[0]) == len(shapes[1]) == 3 else 1
        found += math.sqrt(math.prod(map(math.prod, shapes)) / batch)
    return found


def test_products_are_those_of_an_update():
    agent = rlx.make_agent("sac", EnvSpec("toy", (5,), "float32", Box(2), None), **SAC)
    state = agent.init(KEY)
    learner = Learner(state.params, state.target_params, state.opt_state)
    real = lambda *shape: jnp.ones((agent.batch_size, *shape))  # noqa: E731
    batch = NStepBatch(
        obs=real(5),
        action=real(2),
        reward=real(),
        discount=real(),
        terminated=real() > 2,
        next_obs=real(5),
        action_mask=None,
        next_action_mask=None,
        extras={},
    )
    whole = operations(lambda learner: agent.descend(learner, batch, KEY, jnp.int32(0)), learner)
    actor, critics = (soft.kernels_of(state.params[name]) for name in ("actor", "critics"))
    alone = operations(soft.all_products, actor, critics, batch.obs, batch.action)
    assert [kernel.shape for kernel in actor] == [(5, 256), (256, 256), (256, 4)]
    assert alone == pytest.approx(whole, rel=0.01)
    # Of middle layers: the policy's forwards twice and back to input and weights; those of both critics forwards three
    # times, back twice and to the weights once.
    assert alone == pytest.approx((4 + 2 * 6) * 256**3, rel=0.12)


def test_the_replay_is_full_and_no_episode_ends():
    state = soft.filled(rlx.make_agent("sac", soft.CHEETAH, replay_size=40).init(KEY))
    rows = state.replay.ring.data
    assert rows.obs.shape == (40, 1, 17)
    assert float(rows.reward.std()) > 0.1
    assert not rows.terminated.any()


def test_samples_are_the_same_everywhere_and_have_causes():
    x = linear_model(20_000, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(x, linear_model(20_000, 4, np.random.default_rng(0)))
    assert x.shape == (20_000, 4)
    np.testing.assert_allclose(x[:, 0].var(), 1 / 3, rtol=0.03)
    assert x.var(axis=0).max() > 0.36


def test_causal_discovery_is_told_in_milliseconds_and_ratios():
    speeds = {
        "order and matrix": [100.0, 100.0, 200.0],
        "row of the reward": [200.0] * 3,
        "row of a sink": [1_000.0] * 3,
        "lingam": [10.0, 5.0, 5.0],
    }
    assert lingam.row(5_000, 7, speeds) == {
        "samples": 5_000,
        "variables": 7,
        "order and matrix, ms": 10.0,
        "row of the reward, ms": 5.0,
        "row of a sink, ms": 1.0,
        "lingam, ms": 200.0,
        "order and matrix, x times as fast": 20.0,
        "order and matrix, least": 10.0,
        "row of the reward, x times as fast": 40.0,
        "row of the reward, least": 20.0,
        "row of a sink, x times as fast": 200.0,
        "row of a sink, least": 100.0,
    }
