"""SAC: its losses in the numbers of closed forms, its gradients against differences, and whole updates in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sac_by_hand
from by_hand import assert_trees_close, doubles, gradient
from flax import struct

import rlx
from rlx.agents.sac import SAC, Learner
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.n_step import NStepBatch
from rlx.types import Box, Clock, EnvSpec, Timestep

KEY = jax.random.key(0)
SPEC = EnvSpec("toy", (2,), "float32", Box(2), None)
SMALL = {
    "num_envs": 4, "batch_size": 3, "replay_size": 16, "learning_starts": 0, "random_steps": 0, "discount": 0.9,
    "learning_rate": 0.01, "temperature_learning_rate": 0.02, "target_rate": 0.1, "hidden_sizes": (3,),
}  # fmt: skip


class Standard:
    """A policy whose Gaussian is standard normal."""

    @staticmethod
    def apply(params, obs):
        return jnp.zeros((len(obs), 2)), jnp.zeros((len(obs), 2))


class Level:
    """A critic that values everything at its parameter."""

    @staticmethod
    def apply(params, obs, action):
        return jnp.full((len(obs), 1), params)


@struct.dataclass
class Toy(SAC):
    actor = Standard
    critic = Level


def one_transition(terminated=False):
    one = lambda x, dtype=jnp.float32: jnp.array([x], dtype)  # noqa: E731
    obs, action = jnp.zeros((1, 2)), jnp.zeros((1, 2))
    return NStepBatch(obs, action, one(1.0), one(0.99), one(terminated, bool), obs, None, None, {})


@pytest.fixture
def noise(monkeypatch):
    """Every normal draw is (1, 0)."""
    monkeypatch.setattr(
        jax.random, "normal", lambda key, shape, dtype=None: jnp.broadcast_to(jnp.array([1.0, 0]), shape)
    )


@pytest.mark.parametrize(
    ("weights", "log_prob", "terminated", "target"),
    [
        ([1.2, 0.8], -1.3968067306, False, 3.6714193316),
        ([1.2, 0.8], -1.3968067306, True, 1.0),
        (None, -1.4703187865, False, 1.0 + 0.99 * (2.0 + 0.5 * 1.4703187865)),
    ],
)
def test_the_target_takes_the_lesser_critic_and_the_entropy(noise, weights, log_prob, terminated, target):
    """A standard normal policy, noise (1, 0), target critics 2 and 3, reward 1, discount 0.99, alpha 0.5."""
    agent = Toy(SPEC)
    weights = None if weights is None else jnp.array(weights)
    action, found = agent.sample(None, jnp.zeros((1, 2)), KEY, weights)
    np.testing.assert_allclose(action[0], [np.tanh(1.0), 0.0], rtol=1e-6)
    # The specification adds 1e-6 to the slope of the tangent, which is exact here.
    np.testing.assert_allclose(found, [log_prob], rtol=3e-6)
    learner = Learner({"actor": None}, jnp.array([2.0, 3.0]), None)
    y = agent.value_target(learner, one_transition(terminated), KEY, jnp.float32(0.5), weights)
    np.testing.assert_allclose(y, [target], rtol=1e-6)


def test_the_critics_errors_are_added_and_not_halved():
    """Critics 2 and 3 and a target of 2.5."""
    loss, grads = jax.value_and_grad(lambda p: Toy(SPEC).critic_loss(p, one_transition(), jnp.array([2.5]))[0])(
        jnp.array([2.0, 3.0])
    )
    assert loss == 0.5
    assert grads.tolist() == [-1.0, 1.0]


def test_the_temperature_falls_where_entropy_is_above_its_target(noise):
    """Entropy 1.3968 of two dimensions, aim -2."""
    agent = Toy(SPEC)
    _, log_prob = agent.sample(None, jnp.zeros((1, 2)), KEY, jnp.array([1.2, 0.8]))
    np.testing.assert_allclose(jax.grad(agent.temperature_loss)(jnp.float32(0.3), log_prob), 3.3968067306, rtol=3e-6)


def timestep(obs):
    blank = jnp.zeros(len(obs))
    flag = jnp.zeros(len(obs), bool)
    return Timestep(jnp.asarray(obs), blank, flag, flag, jnp.asarray(obs), None, None, blank.astype(jnp.int32), {})


def test_actions_are_uniform_first_and_then_the_policys():
    agent = SAC(SPEC, **{**SMALL, "random_steps": 8})
    state = agent.init(KEY)
    seen = timestep(np.ones((20_000, 2), np.float32))
    act = jax.jit(lambda clock: agent.act(state, seen, KEY, clock)[0])
    at = lambda iterations: dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(iterations))  # noqa: E731
    for iterations in (0, 1):
        quartiles = np.quantile(act(at(iterations)), [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
        np.testing.assert_allclose(quartiles, np.tile([[-1.0], [-0.5], [0], [0.5], [1.0]], 2), atol=0.03)
    mean, log_std = agent.actor.apply(state.params["actor"], seen.obs[:1])
    raw = np.arctanh(np.float64(act(at(2))))
    np.testing.assert_allclose(raw.mean(0), mean[0], atol=0.05)
    np.testing.assert_allclose(raw.std(0), np.exp(log_std[0]), rtol=0.05)
    greedy = agent.policy(state, seen, KEY, "greedy")
    np.testing.assert_allclose(greedy[0], np.tanh(mean[0]), rtol=1e-5)
    assert np.unique(agent.policy(state, seen, KEY, "sample")[:, 0]).size > 10_000


def minibatch(rng):
    flat = jax.tree.map(lambda leaf: leaf[0], sac_by_hand.rollout_of(rng))
    return NStepBatch(
        flat.obs, flat.action, flat.reward, jnp.full(4, 0.9), flat.terminated, flat.next_obs, None, None, {}
    )


def test_gradients_against_finite_differences():
    agent = SAC(SPEC, **SMALL)
    params = agent.init(jax.random.key(3)).params
    batch = minibatch(np.random.default_rng(2))
    weights, noise = jnp.array([1.5, 0.5]), jax.random.normal(KEY, (4, 2))
    grads = jax.grad(lambda p: agent.actor_loss(p, params["critics"], batch.obs, KEY, jnp.float32(0.7), weights)[0])
    by_hand, plain = doubles(params), jax.tree.map(np.asarray, batch)
    loss = lambda p: sac_by_hand.actor_loss(p, by_hand["critics"], plain.obs, np.float64(noise), 0.7, [1.5, 0.5])  # noqa: E731
    assert_trees_close(grads(params["actor"]), gradient(loss, params["actor"]), rtol=1e-3, atol=1e-5)
    y = np.linspace(-1.0, 1.0, 4)
    grads = jax.grad(lambda p: agent.critic_loss(p, batch, jnp.float32(y))[0])(params["critics"])
    loss = lambda p: sac_by_hand.critic_loss(p, plain, y)  # noqa: E731
    assert_trees_close(grads, gradient(loss, params["critics"]), rtol=1e-3, atol=1e-5)


def keys_of(event_key):
    """Of the sample, the critics' noise and the actor's in the one update of a learning event."""
    sample_key, update_key = jax.random.split(jax.random.split(event_key, 1)[0])
    return sample_key, *jax.random.split(update_key)


@pytest.mark.parametrize("actor_period", [1, 2])
def test_three_updates_equal_a_transcription_in_float64(actor_period):
    agent = SAC(SPEC, **SMALL, actor_period=actor_period)
    rng = np.random.default_rng(1)
    state = agent.init(jax.random.key(3))
    by_hand = sac_by_hand.ByHand(agent, state)
    update = jax.jit(agent.update)
    for event in range(1, 4):
        key = jax.random.key(event)
        clock = dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(event))
        state, metrics = update(state, sac_by_hand.rollout_of(rng), key, clock)
        sample_key, *noise_keys = keys_of(key)
        drawn = replays.sample(state.replay, event, sample_key, 3, rules.Uniform(), 0.9)
        noises = [jax.random.normal(noise_key, (3, 2)) for noise_key in noise_keys]
        improves = (event - 1) % actor_period == 0
        loss = by_hand.update(jax.tree.map(np.asarray, drawn.batch), noises, improves=improves)
        np.testing.assert_allclose(metrics.means["critic_loss"], loss, rtol=1e-4)
        assert (metrics.means["temperature"] > 0) == improves
    assert_trees_close(state.params, by_hand.params, rtol=2e-3, atol=2e-4)
    assert_trees_close(state.target_params, by_hand.target, rtol=2e-3, atol=2e-4)


def test_updates_are_counted_across_events():
    """Of three updates an event those with an even number improve the actor: two in the first, one in the second."""
    agent = SAC(SPEC, **SMALL, num_updates=3, actor_period=2)
    state = agent.init(KEY)
    rng = np.random.default_rng(1)
    update = jax.jit(agent.update)
    for event, steps in ((1, 2), (2, 3)):
        clock = dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(event))
        state, _ = update(state, sac_by_hand.rollout_of(rng), jax.random.key(event), clock)
        counts = {
            name: [x for x in jax.tree.leaves(part) if x.dtype == jnp.int32] for name, part in state.opt_state.items()
        }
        assert [int(x) for x in counts["actor"]] == [steps]
        assert [int(x) for x in counts["critics"]] == [3 * event]


def test_other_actions_are_refused():
    with pytest.raises(
        rlx.ConfigurationError, match="sac needs a continuous action space, gymnax/CartPole-v1 has a dis"
    ):
        rlx.make_agent("sac", rlx.make_env("gymnax/CartPole-v1"))


def test_bounds_of_actions_are_scaled():
    """Pendulum takes torques in [-2, 2]; the agent acts in [-1, 1]."""
    env = rlx.make_env("gymnax/Pendulum-v1")
    agent = rlx.make_agent("sac", env, hidden_sizes=[4], replay_size=8)
    assert env.spec.action_space == Box(1)
    state = agent.init(KEY)
    seen = timestep(np.tile([[1.0, 0.0, 0.0]], (1_000, 1)))
    action, _ = agent.act(state, seen, KEY, Clock.start(100, 1))
    assert (np.abs(action) <= 1).all()
    assert np.abs(action).max() > 0.99
