"""The tables of many-actions policy gradients on Pendulum: numbers made up by hand, and gradients worked out again."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from papers.mbma import _measure, bias_variance, pendulum
from papers.mbma._pendulum import STEPS_PER_UPDATE

from rlx.reproduce import chunks
from rlx.reproduce.table import Cells, Scale
from rlx.types import Transition


def write_run(folder, gains):
    """A run whose seeds have returns of -800, -700, ... -100 at its evaluations, plus their gain."""
    folder.mkdir()
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    rows = [
        {"step": 10_240 * index, "member": seed, "evaluation/return_mean": -100.0 * (9 - index) + gain}
        for index in range(9)
        for seed, gain in enumerate(gains)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def runs(tmp_path):
    scale = pendulum.TABLE.scales["small"]
    found = {job.name: tmp_path / job.name for job in pendulum.jobs(scale)}
    gains = {"PPO": [0] * 5, "MBMA": [50, 60, 70, 80, -40], "MBPO": [0] * 5, "QMA": [44] * 5}
    for name, folder in found.items():
        write_run(folder, gains.get(name, [-300] * 5))
    return scale, found


def test_returns_of_pendulum(runs):
    cells = Cells(tuple(pendulum.cells(*runs)), "mean")
    assert len(cells) == 6 * 4
    ppo = {cell.metric: cell.scores.tolist() for cell in cells.where(**{"method": "PPO", "value clip": "off"})}
    assert ppo == {
        "mean return": [-450] * 5,
        "return at 30,720 steps": [-600] * 5,
        "return of the last three": [-200] * 5,
        "return at the end": [-100] * 5,
    }
    clipped = cells.one(**{"method": "PPO", "value clip": "on", "metric": "return at the end"})
    assert clipped.scores.tolist() == [-400] * 5


def test_claims_about_pendulum(runs):
    scale, folders = runs
    helps, no_better = (claim.check for claim in pendulum.TABLE.claims)
    cells = Cells(tuple(pendulum.cells(scale, folders)), "mean")
    assert helps(cells).holds
    assert helps(cells).measured == "+44 on average; +50, +60, +70, +80, -40"
    assert no_better(cells).holds
    # QMA gains 44 for every seed: with it in MBMA's place the first still holds; with MBPO in its place neither does.
    swapped = folders | {"MBMA": folders["MBPO"]}
    cells = Cells(tuple(pendulum.cells(scale, swapped)), "mean")
    assert not helps(cells).holds
    assert not no_better(cells).holds


def test_claims_about_bias_and_variance(tmp_path):
    scale = Scale(2, "", "", {"estimates": 4, "reference": 4})
    # Two estimates of each sign: the means are exact, and the noise can be seen in the second parameter alone.
    noise = np.array([1.0, 1.0, -1.0, -1.0])
    estimates = lambda first, spread: np.stack([np.full(4, first), 1e-3 + spread * noise], -1)  # noqa: E731
    measured = {
        "AC": estimates(1.0, 0.4),
        "MBMA": estimates(1.25, 0.1),
        "MBPO": estimates(1.5, 0.1),
        "QMA": estimates(2.0, 0.1),
        "MBMA, true model": estimates(1.1, 0.1),
        "reference": estimates(1.0, 0.4),
        "return": np.array(-250.0),
    }
    folders = {job.name: tmp_path / job.name for job in bias_variance.jobs(scale)}
    for folder in folders.values():
        folder.mkdir()
        chunks.write_outputs(folder, 0, {name: np.stack([x, x]) for name, x in measured.items()})
        chunks.write_state(folder, np.zeros(()), chunks.Position(1, 1, 0.0))
    cells = Cells(tuple(bias_variance.cells(scale, folders)), "mean")
    assert cells.one(updates=8, metric="return").scores.tolist() == [-250, -250]
    at_30 = lambda method, metric: cells.one(updates=30, method=method, metric=metric).scores  # noqa: E731
    # 0.25^2 less the noise: 4/3 (0.1^2 + 0.4^2) / 4.
    np.testing.assert_allclose(at_30("MBMA", "relative bias"), [(0.0625 - 0.17 / 3) ** 0.5] * 2, rtol=1e-4)
    np.testing.assert_allclose(at_30("MBMA", "relative variance"), [0.04 / 3] * 2, rtol=1e-4)
    np.testing.assert_allclose(at_30("MBMA", "printed bias"), [0.1] * 2, rtol=1e-3)  # 0.2 and 0
    np.testing.assert_allclose(at_30("AC, split in halves", "cosine"), [(1 - 0.16) / (1 + 0.16)] * 2, rtol=1e-2)
    outcomes = [claim.check(cells) for claim in bias_variance.TABLE.claims]
    assert [outcome.holds for outcome in outcomes] == [True] * 4
    assert outcomes[1].measured == "MBMA 0.08, 0.08; MBPO 0.44, 0.44"


@pytest.fixture(scope="module")
def rollout():
    """Made-up transitions [8, 2], which no episode ends in."""
    keys = jax.random.split(jax.random.key(0), 4)
    obs, next_obs = jax.random.normal(keys[0], (2, 8, 2, 3))
    nowhere = jnp.zeros((8, 2), bool)
    return Transition(
        obs=obs,
        action=jax.random.normal(keys[1], (8, 2, 1)),
        reward=jax.random.normal(keys[2], (8, 2)),
        terminated=nowhere,
        truncated=nowhere,
        next_obs=next_obs,
        action_mask=None,
        next_action_mask=None,
        extras={},
    )


def with_log_probs(agent, state, rollout):
    log_prob = agent.distribution(state, rollout.obs, None).log_prob(rollout.action)
    return dataclasses.replace(rollout, extras={"log_prob": log_prob})


def score_gradient(agent, state, obs, action, weight):
    """Gradient of ``-sum(weight ln pi(action | obs))``, with the density written out."""

    def loss(params):
        mean, log_std = agent.actor.apply(params, obs)
        density = -0.5 * jnp.square((action - mean) / jnp.exp(log_std)) - log_std - 0.5 * jnp.log(2 * jnp.pi)
        return -(weight * density[..., 0]).sum()

    return ravel_pytree(jax.grad(loss)(state.params["actor"]))[0]


@pytest.mark.parametrize("source", ["none", "model", "states", "critic"])
def test_gradients_are_those_of_the_actor_critic(rollout, source):
    agent = _measure.make(source, num_envs=2, rollout_length=8, num_minibatches=1)

    @jax.jit
    def found_and_expected(init_key, key):
        state = agent.init(init_key)
        logged = with_log_probs(agent, state, rollout)
        batch = agent.make_batch(state, logged)
        expected = score_gradient(agent, state, batch.obs, batch.action, batch.advantage) / 16
        if source != "none":
            extras = _measure.all_extras(agent, state, logged, batch, key)
            obs = batch.obs[:, None].repeat(8, 1) if extras.obs is None else extras.obs
            simulated = score_gradient(agent, state, obs, extras.action, extras.advantage) / 16
            expected = (expected + simulated) / 9
        return _measure.gradient(agent, state, logged, key), expected

    found, expected = found_and_expected(*jax.random.split(jax.random.key(1)))
    assert found.shape == (1218,)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_as_many_fitting_steps_as_the_protocol_says(rollout):
    rollouts = jax.tree.map(lambda x: jnp.tile(x, (3, 32, 4) + (1,) * (x.ndim - 2)), rollout)
    trained = _measure.make("none").init(jax.random.key(1))
    rollouts = with_log_probs(_measure.make("none"), trained, rollouts)
    state = _measure.with_model(trained, rollouts, jax.random.key(3))
    model, replay = state.source
    assert steps_taken(model) == {3 * 320}
    assert (np.asarray(replay.ring.data.reward[: 3 * 256]) != 0).all()
    state = _measure.with_q_functions(trained, rollouts, jax.random.key(4))
    assert steps_taken(state.source) == {52 * 3 * STEPS_PER_UPDATE // 64}
    jax.tree.map(np.testing.assert_array_equal, state.params, trained.params)


def steps_taken(learner):
    return {int(x) for x in jax.tree.leaves(learner.opt_state) if jnp.issubdtype(x.dtype, jnp.integer)}
