"""ACE: weights, dormancy and resets in closed forms, SAC's bits without them, whole updates in float64."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sac_by_hand
from by_hand import assert_trees_close

import rlx
from rlx import cli
from rlx.agents import ace as ace_file
from rlx.agents.ace import ACE, distance_from_uniform
from rlx.agents.sac import SAC, Learner
from rlx.networks.dormancy import dormancy, fresh
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.types import Box, Clock, EnvSpec, Transition

KEY = jax.random.key(0)
SPEC = EnvSpec("toy", (2,), "float32", Box(2), None)
SMALL = {
    "num_envs": 4, "batch_size": 3, "replay_size": 16, "learning_starts": 0, "random_steps": 0, "discount": 0.9,
    "learning_rate": 0.01, "temperature_learning_rate": 0.02, "target_rate": 0.1, "hidden_sizes": (3,),
}  # fmt: skip
LATE = {"actor_period": 2, "reset_period": 2, "released_start": True}


def clock_at(iterations):
    return dataclasses.replace(Clock.start(1_000, 4), iterations=jnp.int32(iterations))


def transitions(obs, action, reward):
    """``[n, ...]``, of which only these matter."""
    return Transition(*(jnp.asarray(x, jnp.float32) for x in (obs, action, reward)), None, None, None, None, None, {})


# Weights -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "weights", "distance"),
    [
        ([math.log(2), 0.0, 0.0], [1.5, 0.75, 0.75], 1 / 6),
        ([math.log(2) + 5, 5.0, 5.0], [1.5, 0.75, 0.75], 1 / 6),
        ([3.0], [1.0], 0.0),
        ([500.0, 0.0], [2.0, 0.0], 0.5),
    ],
)
def test_weights_are_a_softmax_of_the_effects(effect, weights, distance, monkeypatch):
    size = len(effect)
    monkeypatch.setattr(ace_file.lingam, "sink_row", lambda x, target, variant: jnp.array([9.0, *effect, 0.0]))
    agent = ACE(EnvSpec("toy", (1,), "float32", Box(size), None), weights="sink")
    found = agent.causal_weights(transitions(np.ones((5, 1)), np.ones((5, size)), np.ones(5)))
    np.testing.assert_allclose(found, weights, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(distance_from_uniform(found), distance, rtol=1e-6, atol=1e-12)


def grid():
    """All of ``s`` from -1 to 1, ``a0`` and ``a1`` from -2 to 2 and ``e = ±0.5``, and ``r = s + ln 2 a0 + e``."""
    s, a0, a1, e = np.array(list(itertools.product(range(-1, 2), range(-2, 3), range(-2, 3), (-0.5, 0.5)))).T
    return s[:, None], np.column_stack([a0, a1]), s + math.log(2) * a0 + e


@pytest.mark.parametrize("estimate", ["lingam", "sink"])
@pytest.mark.parametrize("padding", [0, 1])
def test_weights_of_a_grid(estimate, padding):
    """With and without an observation that is always 0."""
    obs, action, reward = grid()
    obs = np.pad(obs, [(0, 0), (0, padding)])
    agent = ACE(EnvSpec("toy", (1 + padding,), "float32", Box(2), None), weights=estimate, variant="lingam")
    np.testing.assert_allclose(agent.causal_weights(transitions(obs, action, reward)), [4 / 3, 2 / 3], atol=1e-5)


def test_standardised_weights_do_not_depend_on_the_scale_of_the_reward():
    """``a0`` has a deviation of the root of 2, the reward of that of 2 / 3 + 2 ln(2)^2 + 1 / 4."""
    obs, action, reward = grid()
    spec = EnvSpec("toy", (1,), "float32", Box(2), None)
    agent = ACE(spec, weights="sink", variant="lingam", standardise=True)
    effect = math.log(2) * math.sqrt(2 / (2 / 3 + 2 * math.log(2) ** 2 + 1 / 4))
    expected = 2 * np.exp([effect, 0]) / np.exp([effect, 0]).sum()
    for scale in (1.0, 100.0):
        found = agent.causal_weights(transitions(obs, action, scale * reward))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_staged_reach_is_identified():
    """S1: the two stages, from 4,000 transitions of random actions and of a policy that has arrived."""
    env = rlx.make_env("rlx/staged-reach")
    agent = rlx.make_agent("ace", env, weights="sink")
    rng = np.random.default_rng(0)

    @jax.jit
    def step(keys, state, action):
        return jax.vmap(env.task.step_env, (0, 0, 0, None))(keys, state, action, env.params)

    def play(policy):
        obs, state = jax.vmap(env.task.reset_env, (0, None))(jax.random.split(KEY, 80), env.params)
        rows = []
        for t in range(50):
            action = np.clip(policy(np.asarray(obs)), -1, 1).astype(np.float32)
            after, state, reward, *_ = step(jax.random.split(jax.random.key(t), 80), state, action)
            rows.append((obs, action, reward))
            obs = after
        return transitions(*(np.concatenate(part) for part in zip(*rows, strict=True)))

    def arrived(obs):
        action = 0.4 * rng.normal(size=(80, 8))
        action[:, :2] += 0.8
        action[:, 2] += 0.3 * obs[:, 2]
        return action

    estimate = jax.jit(agent.causal_weights)
    first = estimate(play(lambda obs: rng.uniform(-1, 1, size=(80, 8))))
    np.testing.assert_allclose(first, [1.9, 1.9, *[0.7] * 6], atol=0.15)
    second = estimate(play(arrived))
    np.testing.assert_allclose(second, [1.1, 1.09, 1.94, *[0.77] * 5], atol=0.15)


def test_estimates_come_at_every_interval_once_the_window_is_full(monkeypatch):
    """An interval of 8 steps and a window of 16: at steps 16, 24, 32, in events of 4; each sees the newest 16."""
    agent = ACE(SPEC, **SMALL, weights="sink", interval=8, window=16, reset=False)
    seen = lambda self, newest: jnp.stack([newest.reward[0], newest.reward[-1]])  # noqa: E731
    monkeypatch.setattr(ACE, "causal_weights", seen)
    state = agent.init(KEY)
    update = jax.jit(agent.update)
    found = []
    for event in range(1, 9):
        reward = jnp.arange(4.0)[None] + 4 * (event - 1)
        rollout = dataclasses.replace(sac_by_hand.rollout_of(np.random.default_rng(0)), reward=reward)
        state, metrics = update(state, rollout, jax.random.key(event), clock_at(event))
        found.append(tuple(metrics.last["causal_weights"].tolist()))
    assert found[:3] == [(1, 1)] * 3
    assert found[3:] == [(0, 15), (0, 15), (8, 23), (8, 23), (16, 31)]


def test_the_released_code_learns_once_it_has_more_than_a_minibatch():
    agent = preset("ace_released")
    assert agent.learning_starts == agent.batch_size + 1
    assert agent.interval == agent.window == agent.random_steps == 10_000
    assert (agent.sac.actor.hidden_sizes, agent.sac.critic.activation) == ((1024, 1024, 1024), "elu-relu")


def preset(name):
    config = cli.compose_config([f"agent={name}"]).agent
    return rlx.make_agent(spec=SPEC, **config)


# Resets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "keep"), [(0.0, 0.9), (0.3, 0.7), (0.93, 0.2)])
def test_a_reset_mixes_networks_and_empties_their_adams(share, keep, monkeypatch):
    """Weights of 2 with new ones of 1, biases of 1 with 0."""
    monkeypatch.setattr(ace_file, "fresh", lambda key, params: jax.tree.map(lambda x: 1.0 * (x == 2.0), params))
    agent = ACE(SPEC, **SMALL, weights="none")
    state = agent.init(KEY)
    twos = lambda tree: jax.tree.map_with_path(lambda path, x: jnp.full_like(x, 2.0 - (path[-1].key == "bias")), tree)  # noqa: E731
    params = {name: twos(state.params[name]) for name in ("actor", "critics")} | {"log_alpha": jnp.float32(0.7)}
    used = jax.tree.map(lambda x: x + 3, state.opt_state)
    learner = jax.jit(agent.mixed)(Learner(params, twos(state.target_params), used), jnp.float32(share), KEY)
    networks = (learner.params["actor"], learner.params["critics"], learner.target_params)
    for path, leaf in jax.tree.leaves_with_path(networks):
        np.testing.assert_allclose(leaf, keep if path[-1].key == "bias" else 2 * keep + (1 - keep), rtol=1e-6)
    for name in ("actor", "critics"):
        assert not any(leaf.any() for leaf in jax.tree.leaves(learner.opt_state[name]))
    assert learner.params["log_alpha"] == np.float32(0.7)
    assert all((leaf == 3).all() for leaf in jax.tree.leaves(learner.opt_state["log_alpha"]))


def test_networks_and_critics_get_draws_of_their_own():
    agent = ACE(SPEC, **SMALL, weights="none", least_reset=1.0, most_reset=1.0)
    state = agent.init(KEY)
    learner = jax.jit(agent.mixed)(Learner(state.params, state.target_params, state.opt_state), jnp.float32(0), KEY)
    kernels = [p["params"]["torso"]["Dense_0"]["kernel"] for p in (learner.params["critics"], learner.target_params)]
    drawn = np.asarray(jnp.concatenate(kernels))
    assert len(np.unique(drawn.reshape(4, -1), axis=0)) == 4
    for kernel in drawn:
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(3), atol=1e-5)


def test_a_reset_revives_dead_neurons():
    """S4: 64 of 208 neurons are dead, which the dormancy finds, and which one reset mends."""
    spec = EnvSpec("toy", (7,), "float32", Box(8), None)
    agent = ACE(spec, hidden_sizes=(64, 64, 64), replay_size=4, weights="none")
    state = agent.init(KEY)
    actor = state.params["actor"]
    for layer in ("Dense_1", "Dense_2"):
        dead = actor["params"]["torso"][layer]
        dead["kernel"], dead["bias"] = dead["kernel"].at[:, :32].set(0.0), dead["bias"].at[:32].set(-0.05)
    obs, direction = jax.random.normal(jax.random.key(1), (256, 7)), jax.random.normal(jax.random.key(2), (8,))

    def loss(params):
        action, log_prob = agent.sac.sample(params, obs, jax.random.key(3), None)
        return 0.1 * log_prob.mean() - (action @ direction).mean()

    measure = jax.jit(lambda params: dormancy(jax.grad(loss)(params), 0.05))
    before = measure(actor)
    learner = jax.jit(agent.mixed)(Learner(state.params, state.target_params, state.opt_state), before, KEY)
    assert 0.28 <= before <= 0.35
    assert measure(learner.params["actor"]) <= 0.10


# Beside SAC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [{"weights": "none"}, {"weights": "sink", "window": 16, "interval": 16}])
def test_with_all_weights_1_and_no_reset_it_is_sac_bit_for_bit(own):
    """With nothing estimated, and before the first estimate."""
    sac, ace = (
        SAC(SPEC, **SMALL, num_updates=2, actor_period=2),
        ACE(SPEC, **SMALL, num_updates=2, actor_period=2, reset=False, **own),
    )
    states = [agent.init(jax.random.key(3)) for agent in (sac, ace)]
    updates = [jax.jit(agent.update) for agent in (sac, ace)]
    rng = np.random.default_rng(1)
    for event in range(1, 4):
        rollout = sac_by_hand.rollout_of(rng)
        outcomes = [
            update(state, rollout, jax.random.key(event), clock_at(event))
            for update, state in zip(updates, states, strict=True)
        ]
        states, (plain, causal) = zip(*outcomes, strict=True)
        assert {name: float(causal.means[name]) for name in plain.means} == {
            n: float(x) for n, x in plain.means.items()
        }
    for field in dataclasses.fields(states[0]):
        ours, theirs = (jax.tree.leaves(vars(state)[field.name]) for state in states)
        for a, b in zip(ours, theirs, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), field.name
    assert states[1].weights.tolist() == [1.0, 1.0]


def test_weights_times_k_with_alpha_over_k_are_the_same_for_the_actor():
    agent = SAC(SPEC, **SMALL)
    params = agent.init(KEY).params
    obs, weights = jax.random.normal(KEY, (5, 2)), jnp.array([1.4, 0.6])
    grads = lambda k: jax.grad(agent.actor_loss, has_aux=True)(  # noqa: E731
        params["actor"], params["critics"], obs, KEY, jnp.float32(0.3) / k, k * weights
    )[0]
    assert_trees_close(grads(1.0), grads(4.0), rtol=1e-5)


def test_three_updates_equal_a_transcription_in_float64(monkeypatch):
    """With weights, an actor that follows every second time, a first temperature of 0.2, and a reset at the third."""
    agent = ACE(SPEC, **SMALL, **LATE, weights="sink", interval=4, window=8, dormancy_threshold=0.9)
    weights = np.array([1.2, 0.8])
    monkeypatch.setattr(ACE, "causal_weights", lambda self, newest: jnp.float32(weights))
    state = agent.init(jax.random.key(3))
    by_hand = sac_by_hand.ByHand(agent, state)
    rng, update = np.random.default_rng(1), jax.jit(agent.update)
    for number in range(3):
        event_key = jax.random.key(number)
        state, metrics = update(state, sac_by_hand.rollout_of(rng), event_key, clock_at(number + 1))
        sample_key, update_key = jax.random.split(jax.random.split(event_key, 1)[0])
        update_key, reset_key = jax.random.split(update_key)
        drawn = replays.sample(state.replay, number + 1, sample_key, 3, rules.Uniform(), 0.9)
        noises = [jax.random.normal(key, (3, 2)) for key in jax.random.split(update_key)]
        by_hand.update(
            jax.tree.map(np.asarray, drawn.batch),
            noises,
            np.ones(2) if number == 0 else weights,  # the window is full with the second event
            alpha=0.2 if number == 0 else None,
            improves=number % 2 == 0,
        )
    eta = np.clip(float(state.dormancy), 0.1, 0.8)
    assert 0.1 < eta < 0.8
    reset(by_hand, reset_key, eta)
    assert_trees_close(state.params, by_hand.params, rtol=2e-3, atol=2e-4)
    assert_trees_close(state.target_params, by_hand.target, rtol=2e-3, atol=2e-4)
    assert metrics.last["causal_weights"].tolist() == np.float32(weights).tolist()
    # A fresh Adam's first step is as long as the learning rate, whatever the gradient.
    after, _ = update(state, sac_by_hand.rollout_of(rng), jax.random.key(9), clock_at(4))
    moved = np.abs(
        after.params["critics"]["params"]["head"]["bias"] - state.params["critics"]["params"]["head"]["bias"]
    )
    np.testing.assert_allclose(moved, 0.01, rtol=1e-3)


def reset(by_hand, key, eta):
    """Mix the networks with new ones, which the same keys draw."""
    actor_key, critic_key, target_key = jax.random.split(key, 3)

    def mixed(params, drawn):
        return jax.tree.map(lambda old, new: (1 - eta) * old + eta * np.float64(new), params, drawn)

    def twins(key, like):
        one = [fresh(k, jax.tree.map(lambda x: jnp.float32(x[0]), like)) for k in jax.random.split(key, 2)]
        return jax.tree.map(lambda *x: np.stack(x), *one)

    actor = jax.tree.map(jnp.float32, by_hand.params["actor"])
    by_hand.params["actor"] = mixed(by_hand.params["actor"], fresh(actor_key, actor))
    by_hand.params["critics"] = mixed(by_hand.params["critics"], twins(critic_key, by_hand.params["critics"]))
    by_hand.target = mixed(by_hand.target, twins(target_key, by_hand.target))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 5}, "window=5 must exceed the 5 variables of toy, and its transitions fit into the replay's 16"),
        ({"window": 17}, "window=17 must exceed the 5 variables of toy"),
        ({"window": 8, "interval": 10}, "interval=10 is no whole number of learning events of 4 steps; take 8"),
    ],
)
def test_windows_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(rlx.ConfigurationError, match=message):
        ACE(SPEC, **SMALL, **fields).init(KEY)
    ACE(SPEC, **SMALL, **fields, weights="none").init(KEY)
