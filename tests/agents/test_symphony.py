"""Symphony: the numbers of its definition, gradients against differences, and whole updates in float64."""

import dataclasses
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import symphony_by_hand
from by_hand import assert_trees_close
from flax import struct
from sac_by_hand import rollout_of

import rlx
from rlx import cli
from rlx.agents.symphony import Symphony, swaddle
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.n_step import NStepBatch
from rlx.types import Box, Clock, EnvSpec, Timestep, Transition

KEY = jax.random.key(0)
SPEC = EnvSpec("toy", (2,), "float32", Box(2), 1000)
SMALL = {
    "hidden_size": 4, "num_nodes": 2, "batch_size": 3, "exploration_steps": 4, "copies": 2, "updates_per_step": 1,
    "learning_rate": 0.01, "target_rate": 0.1, "discount": 0.9,
}  # fmt: skip


def clock_at(iterations, steps=1):
    return dataclasses.replace(Clock.start(1_000, steps), iterations=jnp.int32(iterations))


# The loss -------------------------------------------------------------------------------------------------------------


@struct.dataclass
class Given(Symphony):
    """Networks whose parameters are their outputs; sigma and beta are 0.5."""

    def heads(self, actor_params, obs, key=None):
        return jnp.zeros((len(obs), 2)), *(jnp.full((len(obs), 2), 0.5) for _ in range(2))

    def values(self, critic_params, obs, action, key=None):
        return critic_params


def parts_of(values, mean_value, nodes=0.0, reward=0.5, terminated=False):
    """The new running mean, the loss's parts, and the gradient of the gain to the values of next observations."""
    size = len(values)
    one, obs = jnp.ones(size), jnp.zeros((size, 2))
    batch = NStepBatch(obs, obs, reward * one, 0.99 * one, jnp.full(size, terminated), obs, None, None, {})
    targets = jnp.tile(jnp.array(values)[:, None], (1, 6))
    params = {"actor": None, "critics": jnp.full((size, 6), nodes)}
    loss = lambda targets: Given(SPEC).loss(params, targets, jnp.float32(mean_value), batch, KEY)  # noqa: E731
    grads, (mean_value, parts) = jax.grad(loss, has_aux=True)(targets)
    return mean_value, parts, -grads.sum(-1)


@pytest.mark.parametrize(("value", "gain"), [(7.0, 1.082542), (-0.3, -1.082542)])
def test_the_first_gain_depends_on_the_sign_alone(value, gain):
    """Without a mean yet the advantage is the golden ratio."""
    np.testing.assert_allclose(parts_of([value] * 3, 0.0)[1]["gain"], gain, rtol=1e-6)


def test_the_gain_on_the_running_mean():
    mean_value, parts, grads = parts_of([8.0, 12.0, 10.0], 10.0)
    # -rehae is what the loss has: its value and its gradient.
    np.testing.assert_allclose(-parts["gain"], 0.000785250, rtol=1e-3)
    np.testing.assert_allclose(-grads, [-0.00481562, -0.00354834, 0.0], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(mean_value, 10.0, rtol=1e-6)


def test_without_any_value_nothing_is_divided_by_zero():
    _, parts, grads = parts_of([0.0, 0.0], 0.0)
    assert parts["gain"] == 0
    assert np.isfinite(grads).all()


@pytest.mark.parametrize(("terminated", "y"), [(False, 10.4), (True, 0.5)])
def test_the_target_of_every_node(terminated, y):
    """Reward 0.5, value 10: mid-episode or truncated, and terminated."""
    assert abs(parts_of([10.0], 0.0, y, terminated=terminated)[1]["critic_loss"]) < 1e-9
    off_by_one = parts_of([10.0], 0.0, y - 3.0, terminated=terminated)[1]["critic_loss"]
    np.testing.assert_allclose(off_by_one, 2.715445, rtol=1e-5)


def test_the_plain_value_in_place_of_the_advantage():
    agent = Given(SPEC, advantage="plain")
    obs, one = jnp.zeros((2, 2)), jnp.ones(2)
    batch = NStepBatch(obs, obs, one, one, jnp.zeros(2, bool), obs, None, None, {})
    loss = lambda q: agent.loss({"actor": None, "critics": jnp.zeros((2, 6))}, q, 0.0, batch, KEY)  # noqa: E731
    grads, (_, parts) = jax.grad(loss, has_aux=True)(jnp.full((2, 6), 4.0))
    np.testing.assert_allclose(parts["gain"], 4.0, rtol=1e-6)
    np.testing.assert_allclose(-grads.sum(-1), [0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("nodes", "value"), [("mean", 3.5), ("least", 1.5)])
def test_other_ways_to_aggregate(nodes, value):
    """Three critics of two nodes."""
    agent = Symphony(SPEC, num_nodes=2, nodes=nodes)
    assert agent.aggregated(jnp.array([[6.0, 5.0, 1.0, 2.0, 3.0, 4.0]])) == value


def test_nodes_are_weighed_by_their_order():
    agent = Symphony(SPEC, num_nodes=1)
    for order in ([1.0, 2.0, 4.0], [4.0, 1.0, 2.0], [2.0, 4.0, 1.0]):
        np.testing.assert_allclose(agent.aggregated(jnp.array([order])), [2.222054], rtol=1e-6)


@pytest.mark.parametrize(("sigma", "beta", "value"), [(0.5, 0.5, 0.848364), (1 / math.e, 0.1, -0.0166965)])
def test_the_regulariser(sigma, beta, value):
    np.testing.assert_allclose(swaddle(jnp.float32(sigma), jnp.float32(beta)), value, rtol=1e-5)


@pytest.mark.parametrize(("beta", "least"), [(0.15, 0.31998), (0.07, 0.36763), (0.05, 0.36788)])
def test_where_it_draws_sigma(beta, least):
    """Beta is a constant in the exponent alone."""
    sigmas = jnp.linspace(0.3, 0.4, 10_001)
    slopes = jax.vmap(jax.grad(swaddle), (0, None))(sigmas, jnp.float32(beta))
    np.testing.assert_allclose(sigmas[np.argmax(slopes > 0)], least, atol=2e-5)


def test_where_it_draws_both():
    descend = lambda _, x: x - 0.02 * jnp.stack(jax.grad(swaddle, (0, 1))(*x))  # noqa: E731
    found = jax.lax.fori_loop(0, 20_000, descend, jnp.array([0.6, 0.5]))
    np.testing.assert_allclose(found, [0.36388, 0.09196], atol=2e-5)


# Acting ---------------------------------------------------------------------------------------------------------------


@struct.dataclass
class Raw(Symphony):
    """Raw outputs of the actor that are known, noise of 0.2."""

    class actor:
        @staticmethod
        def apply(params, obs, key=None):
            return jnp.tile(jnp.array([1.0, 2.0, -1.0, 0.5, 0.0, 3.0]), (len(obs), 1))

    def noise(self, key, shape):
        return jnp.full(shape, 0.2)


def timestep(obs, episode_step=0):
    blank, flag = jnp.zeros(len(obs)), jnp.zeros(len(obs), bool)
    steps = jnp.full(len(obs), episode_step, jnp.int32)
    return Timestep(jnp.asarray(obs), blank, flag, flag, jnp.asarray(obs), None, None, steps, {})


def test_from_the_actors_outputs_to_actions():
    agent, obs = Raw(SPEC, exploration_steps=4), np.zeros((1, 2), np.float32)
    parts = agent.heads(None, jnp.asarray(obs))
    for part, expected in zip(parts, [(0.462117, 0.761594), (0.462117, 0.244919), (0.0, 0.905148)], strict=True):
        np.testing.assert_allclose(part[0], expected, rtol=1e-5, atol=1e-9)
    state = SimpleNamespace(params={"actor": None})
    act = lambda step: agent.act(state, timestep(obs, step), KEY, clock_at(9))[0][0]  # noqa: E731
    policy = lambda mode: agent.policy(state, timestep(obs, 980), KEY, mode)[0]  # noqa: E731
    np.testing.assert_allclose(policy("greedy"), [0.210364, 0.184395], rtol=1e-5)
    np.testing.assert_allclose(policy("sample"), [0.391485, 0.368364], rtol=1e-5)
    np.testing.assert_allclose(act(0), [0.391485, 0.368364], rtol=1e-5)
    np.testing.assert_allclose(act(980), [0.197375, 0.197375], rtol=1e-5)


def test_it_is_shut_off_near_the_limit_while_training():
    """Step 949 of 1,000 acts, 950 to 1,000 are noise; not while exploring, and not without a limit."""
    agent, steps = Symphony(SPEC, exploration_steps=4), jnp.arange(1, 1001)
    assert np.flatnonzero(~agent.acts(steps, clock_at(4))).tolist() == list(range(949, 1000))
    assert agent.acts(steps, clock_at(3)).all()
    assert Symphony(SPEC, exploration_steps=4, shut_off=0.0).acts(steps, clock_at(4)).all()
    endless = dataclasses.replace(SPEC, max_episode_steps=None)
    assert Symphony(endless, exploration_steps=4).acts(steps, clock_at(4)).all()


@pytest.mark.parametrize(("preset", "largest"), [("symphony", 1.0), ("symphony_se", 1.0)])
def test_noise_is_bounded(preset, largest):
    agent = preset_agent(preset)
    noise = np.asarray(agent.noise(KEY, (200_000,)))
    np.testing.assert_allclose(np.abs(noise).max(), largest, atol=0.02)
    assert np.abs(noise).max() <= largest + 1e-6
    np.testing.assert_allclose(noise.std(), {"symphony": 0.36567, "symphony_se": 0.3178}[preset], atol=0.002)


def preset_agent(preset, **fields):
    return rlx.make_agent(spec=SPEC, **{**cli.compose_config([f"agent={preset}"]).agent, **fields})


def test_the_variants_have_their_sizes():
    """Widths, nodes in all, minibatch, transitions of the replay, updates a step, learning rate, gradient dropout."""
    expected = {
        "symphony": (512, 384, 384, 512_000, 3, 1e-4, "none"),
        "symphony_se": (512, 384, 384, 512_000, 3, 1e-4, "none"),
        "symphony_s2": (512, 384, 384, 512_000, 3, 5e-5, "all"),
        "symphony_ed": (384, 288, 288, 384_000, 2, 1e-4, "none"),
    }
    for preset, sizes in expected.items():
        a = preset_agent(preset)
        nodes, transitions = a.num_critics * a.num_nodes, a.exploration_steps * a.copies
        found = a.hidden_size, nodes, a.batch_size, transitions, a.updates_per_step, a.learning_rate, a.gradient_dropout
        assert found == sizes


def test_parameters_at_the_papers_size():
    """2.08 million, with 376 numbers of an observation and 17 of an action."""
    agent = Symphony(EnvSpec("humanoid", (376,), "float32", Box(17), 1000))
    params = jax.eval_shape(agent.init, KEY).params
    assert round(sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6, 2) == 2.08


# The replay -----------------------------------------------------------------------------------------------------------


def lone(action, reward, terminated=False):
    """A rollout ``[1, 1]``."""
    row = lambda x, *shape: jnp.full((1, 1, *shape), x, jnp.float32)  # noqa: E731
    flag = jnp.full((1, 1), terminated)
    return Transition(row(0.0, 2), row(action, 2), row(reward), flag, flag & False, row(0.0, 2), None, None, {})


@pytest.fixture
def rewards_only(monkeypatch):
    """Updates that only tell the rewards they have drawn."""
    told = lambda self, learner, batch, key: (learner, {"rewards": batch.reward, "ids": batch.action[:, 0]})  # noqa: E731
    monkeypatch.setattr(Symphony, "descend", told)


def played(agent, rollouts):
    """The state after these rollouts, and the metrics of the last."""
    state, metrics, update = agent.init(KEY), None, jax.jit(agent.update)
    for event, rollout in enumerate(rollouts, start=1):
        state, metrics = update(state, rollout, jax.random.key(event), clock_at(event))
    return state, metrics


def test_rewards_come_in_units_of_their_mean_size_while_exploring(rewards_only):
    """Ids 1, 2, 3 with rewards 1, -3 (terminal), 2, tiled twice; then 4 with 7: a unit is 2 and stays so."""
    agent = Symphony(SPEC, **{**SMALL, "exploration_steps": 3, "batch_size": 400})
    rollouts = [lone(1, 1.0), lone(2, -3.0, True), lone(3, 2.0), lone(4, 7.0)]
    state, metrics = played(agent, rollouts)
    np.testing.assert_array_equal(state.replay.ring.data.action[:, 0, 0], [1, 2, 3, 1, 2, 4])
    assert state.reward_size == 2
    pairs = set(zip(metrics.means["ids"].tolist(), metrics.means["rewards"].tolist(), strict=True))
    assert pairs <= {(1.0, 0.5), (2.0, -1.5), (3.0, 1.0), (4.0, 3.5)}
    assert {(4.0, 3.5), (2.0, -1.5)} <= pairs
    assert played(agent, rollouts[:3])[1].updates == 0


def test_without_any_reward_the_unit_is_1(rewards_only):
    agent = Symphony(SPEC, **{**SMALL, "exploration_steps": 2, "batch_size": 50})
    _, metrics = played(agent, [lone(1, 0.0), lone(2, 0.0), lone(3, 5.0)])
    assert set(metrics.means["rewards"].tolist()) == {0.0, 5.0}


def test_updates_for_each_step_do_not_depend_on_the_environments(rewards_only):
    agent = Symphony(SPEC, **{**SMALL, "updates_per_step": 3, "exploration_steps": 17}, num_envs=4, rollout_length=2)
    assert agent.exploration_events == 2
    rollout = jax.tree.map(lambda x: jnp.concatenate([x, x]), rollout_of(np.random.default_rng(0)))
    state, update = agent.init(KEY), jax.jit(agent.update)
    number = [int(update(state, rollout, KEY, clock_at(event, 8))[1].updates) for event in (1, 2, 3, 4)]
    assert number == [0, 0, 24, 24]


def test_how_it_draws():
    found = Symphony(SPEC, draw="fading").rule(5).inverse_cdf(jnp.array([0.1, 0.5, 0.9, 0.999]))
    # Ages of the rows 4, 3, 2 and 1: 0.3098 of the draws each, but 0.295 and 0.085 of the oldest two.
    assert np.floor(5 * np.asarray(found)).tolist() == [0, 1, 2, 3]
    assert Symphony(SPEC, draw="uniform").rule(5) == rules.UNIFORM


# Updates --------------------------------------------------------------------------------------------------------------


def draws_of(agent, state, event):
    """The minibatch, the noise and the masks of gradients in the one update of a learning event."""
    sample_key, update_key = jax.random.split(jax.random.split(jax.random.key(event), 1)[0])
    drawn = replays.sample(state.replay, event, sample_key, 3, agent.rule(8), 0.9)
    noise_key, *keys = jax.random.split(update_key, 4)
    batch = dataclasses.replace(drawn.batch, reward=drawn.batch.reward / state.reward_size)
    masks = (None, None, None)
    if agent.gradient_dropout == "all":
        of_critics = [
            np.concatenate([jax.random.bernoulli(k, 0.5, (3, 2)) for k in jax.random.split(key, 3)], -1)
            for key in keys[1:]
        ]
        masks = (np.asarray(jax.random.bernoulli(keys[0], 0.5, (3, 6))), *of_critics)
    noise = np.float64(jnp.clip(jax.random.normal(noise_key, (3, 2)), -math.e, math.e)) / math.e
    return batch, noise, masks


@pytest.mark.parametrize("fields", [{}, {"gradient_dropout": "all"}], ids=["S3", "S2"])
def test_three_updates_equal_a_transcription_in_float64(fields):
    agent = Symphony(SPEC, **SMALL, **fields)
    rng, update = np.random.default_rng(1), jax.jit(agent.update)
    state = agent.init(jax.random.key(3))
    by_hand = symphony_by_hand.ByHand(agent, state)
    rewards = []
    for event in range(1, 8):
        rollout = rollout_of(rng, num_envs=1)
        rewards.append(abs(float(rollout.reward[0, 0])))
        before = state
        state, metrics = update(state, rollout, jax.random.key(event), clock_at(event))
        if event <= 4:
            assert metrics.updates == 0
            continue
        batch, noise, masks = draws_of(agent, state, event)
        args = before.params, before.target_params, before.mean_value, batch, update_key(event)
        plain = jax.tree.map(np.asarray, batch)
        slopes = by_hand.update(plain, noise, masks)
        if event == 5:
            assert_trees_close(jax.grad(agent.loss, has_aux=True)(*args)[0], slopes, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(state.mean_value, by_hand.ema, rtol=1e-3)
    np.testing.assert_allclose(state.reward_size, np.mean(rewards[:4]), rtol=1e-6)
    assert_trees_close(state.params, by_hand.params, rtol=2e-3, atol=2e-4)
    assert_trees_close(state.target_params, by_hand.target, rtol=2e-3, atol=2e-4)


def update_key(event):
    return jax.random.split(jax.random.split(jax.random.key(event), 1)[0])[1]


def test_with_bias_correction_a_first_step_is_as_long_as_the_learning_rate():
    plain, corrected = (Symphony(SPEC, bias_correction=on, weight_decay=0.0).optimiser for on in (False, True))
    params, grads = {"w": jnp.zeros(())}, {"w": jnp.ones(())}
    first = lambda optimiser: float(optimiser.step(grads, optimiser.init(params), params, 1e-4)[0]["w"])  # noqa: E731
    np.testing.assert_allclose(first(corrected), -1e-4, rtol=1e-5)
    np.testing.assert_allclose(first(plain), -5.401815e-4, rtol=1e-5)


def test_exploration_shorter_than_an_event_is_refused():
    with pytest.raises(rlx.ConfigurationError, match="exploration_steps=3 is less than a learning event of 4 steps"):
        Symphony(SPEC, **{**SMALL, "exploration_steps": 3}, num_envs=4).init(KEY)
