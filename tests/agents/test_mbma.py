"""Many-actions policy gradient: worked numbers, equality with PPO, and exact advantages where they are known."""

import dataclasses
import functools
import math
import sys
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import rlx
from rlx import cli
from rlx.agents.mbma import MBMA
from rlx.agents.ppo import PPO
from rlx.envs.linear_quadratic import LinearQuadraticParams, Solution
from rlx.errors import ConfigurationError
from rlx.learning import extra_samples
from rlx.learning.extra_samples import Extras, output_gradients
from rlx.learning.on_policy import Batch
from rlx.ops.policy_loss import clipped_value_loss
from rlx.runner import loop
from rlx.runner.collect import collect, set_scene
from rlx.settings import settings_of
from rlx.types import Clock, Discrete, EnvSpec

KEY = jax.random.key(0)
CLOCK = Clock.start(10_000, 32)
SMALL = {
    "num_envs": 4,
    "rollout_length": 8,
    "num_epochs": 2,
    "num_minibatches": 4,
    "hidden_sizes": (16,),
}
EXTRA = {
    "critic_hidden_sizes": (16,),
    "model_hidden_sizes": (16,),
    "num_extras": 3,
    "horizon": 2,
    "extras_start": 0,
    "extras_growth": 0.0,
    "model_updates": 4,
    "model_batch_size": 8,
    "replay_size": 512,
}
SOURCES = ("model", "states", "critic", "simulator")


def draw(agent, state, rollout, batch, horizon, key=KEY):
    """Extra samples for a rollout, whatever they come from."""
    source = agent.extra_source()
    return source.draw(state.source, agent.actor_critic(state), rollout, batch, key, jnp.int32(horizon))


@functools.cache
def pendulum():
    return rlx.make_env("gymnax/Pendulum-v1", max_episode_steps=5)


@functools.cache
def prepared(source, **hyperparameters):
    """An agent, its state after one event, the rollout of the next, and the batch and extras made of it."""
    env = pendulum()
    agent = rlx.make_agent("mbma", env, source=source, **(SMALL | EXTRA | hyperparameters))

    @jax.jit
    def prepare():
        state = loop.iterate(agent, env, loop.init(agent, env, KEY, CLOCK))
        rollout = collect(agent, env, state.agent, state.scene, KEY, CLOCK)[1]
        batch = agent.make_batch(state.agent, rollout)
        return (
            state.agent,
            rollout,
            batch,
            draw(agent, state.agent, rollout, batch, 4 if source == "states" else agent.horizon),
        )

    return agent, *prepare()


# Worked numbers.


class Outputs:
    """A network whose parameters are its outputs."""

    @staticmethod
    def apply(params, obs):
        return params


@struct.dataclass
class Plain(MBMA):
    """Without networks: parameters are logits and values."""

    @property
    def actor(self):
        return Outputs

    @property
    def critic(self):
        return Outputs


def test_loss_of_one_state():
    """Ratios 1.5 and 0.5, advantages 2 and -1: (-2.4 + 0.8) / 2."""
    agent = Plain(EnvSpec("toy", (1,), "float32", Discrete(2), 10), num_envs=1, rollout_length=1)
    params = {"actor": jnp.log(jnp.array([[0.6, 0.4]])), "critic": jnp.zeros(1)}
    nothing = jnp.zeros(1)
    batch = Batch(
        nothing[None], jnp.array([0]), None, jnp.log(jnp.array([0.6 / 1.5])), nothing, jnp.array([2.0]), nothing
    )
    extras = Extras(None, None, jnp.array([[1]]), jnp.log(jnp.array([[0.4 / 0.5]])), jnp.array([[-1.0]]))
    loss = lambda weight: agent.loss(params, batch, extras, jnp.array([weight]))[1]["policy_loss"]  # noqa: E731
    assert loss(1.0) == pytest.approx(-0.8, abs=1e-6)
    assert loss(0.0) == pytest.approx(-2.4, abs=1e-6)


@pytest.mark.parametrize(("target", "expected", "slope"), [(2.0, 0.845, 0.0), (0.0, 0.5, 1.0)])
def test_clipped_value_term(target, expected, slope):
    loss, gradient = jax.value_and_grad(clipped_value_loss)(1.0, 0.5, target, 0.2)
    assert loss == pytest.approx(expected)
    assert gradient == pytest.approx(slope)


def test_schedule_of_the_released_code():
    """488 events of 2048 steps, counted from 1."""
    agent = Plain(
        EnvSpec("toy", (1,), "float32", Discrete(2), 10), num_envs=1, rollout_length=2048, extras_start=40_000
    )
    clock = Clock.start(488 * 2048, 2048)
    at = jax.jit(lambda event: agent.schedule(dataclasses.replace(clock, iterations=event)))
    counts, horizons = zip(*(map(int, at(event)) for event in range(1, 489)), strict=True)
    assert counts[18:20] == (0, 1)
    assert horizons[19] == 2
    assert [counts.index(n) + 1 for n in range(2, 9)] == [29, 38, 47, 56, 65, 74, 84]
    assert horizons.index(8) + 1 == 74
    assert max(counts) == max(horizons) == 8


SIZES = np.array([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 64])


@pytest.mark.parametrize("twentieths", range(1, 21))
def test_the_schedule_is_that_of_exact_arithmetic(twentieths):
    """Of every growth, size and number of events, in whole numbers: floor(size k / (growth U)) of growth a / b."""
    growth = Fraction(twentieths, 20)
    events = np.arange(1, 401)
    size, num_events, event = np.meshgrid(SIZES, events, events, indexing="ij", sparse=True)
    exact = size * event * growth.denominator // (growth.numerator * num_events)
    found = np.stack([counted(size, float(growth)) for size in SIZES])
    inside = event <= num_events
    np.testing.assert_array_equal(found[:, 0], np.where(inside, np.minimum(size, exact + 1), found[:, 0]))
    np.testing.assert_array_equal(found[:, 1], np.where(inside, np.minimum(size, exact + 2), found[:, 1]))


@jax.jit
def counted(size, growth):
    """Sizes grown from 1 and from 2 in events 1 to 400 of 1 to 400, ``[2, 400, 400]``."""
    events = jnp.arange(1, 401)
    grown = extra_samples.share_grown(events[None], growth * events[:, None])
    return jnp.stack([extra_samples.floor_of(size, grown, first) for first in (1, 2)])


def test_no_event_is_late():
    """Event 9 of 100 with a growth of 0.15: 8 * 9 / 15 = 4.8 and 10 * 9 / 15 = 6 exactly."""
    spec = EnvSpec("toy", (1,), "float32", Discrete(2), 10)
    agent = Plain(spec, num_extras=8, horizon=10, extras_start=0, extras_growth=0.15, num_envs=1, rollout_length=16)
    clock = dataclasses.replace(Clock.start(1600, 16), iterations=jnp.int32(9))
    assert [int(x) for x in jax.jit(agent.schedule)(clock)] == [5, 8]


def test_schedule_of_the_released_code_s_states():
    """``min(8, n + 2)`` steps for ``n`` states; of 8 steps the last starts from the seventh simulated one."""
    spec = EnvSpec("toy", (1,), "float32", Discrete(2), 10)
    settings = {"source": "states", "num_envs": 1, "rollout_length": 2048, "extras_start": 40_000}
    agent = Plain(spec, released_states=True, **settings)
    clock = Clock.start(488 * 2048, 2048)
    at = jax.jit(lambda event: jnp.stack(agent.schedule(dataclasses.replace(clock, iterations=event))))
    events = (1, 19, 20, 28, 29, 38, 47, 56, 65, 74, 84, 488)
    found = [tuple(at(event).tolist()) for event in events]
    expected = [(0, 0), (0, 0), (1, 3), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8), (7, 8), (7, 8), (7, 8)]
    assert found == expected
    # Where rollouts may be longer, n grows on for their sake.
    longer = dataclasses.replace(agent, num_extras=2, horizon=6, extras_start=0, extras_growth=1.0)
    clock = Clock.start(10 * 2048, 2048)
    found = [tuple(map(int, longer.schedule(dataclasses.replace(clock, iterations=jnp.int32(k))))) for k in (1, 5, 10)]
    assert found == [(1, 3), (2, 4), (2, 5)]
    assert longer.extra_source().imagination.length == 6
    assert dataclasses.replace(longer, released_states=False).extra_source().imagination.length == 3


def test_the_learning_rate_of_the_released_code():
    """1,000,000 steps are 488 whole updates of 2048 and a part: the rate is 3e-4 (1 - (u - 1) / 488) in update u."""
    config = cli.compose_config(["agent=mbma_code", "env=gymnax/Pendulum-v1"])
    agent = rlx.make_agent(spec=pendulum(), **config.agent)
    start = Clock.start(1_000_000, 2048)
    at = lambda u: dataclasses.replace(start, iterations=jnp.int32(u))  # noqa: E731
    found = [float(agent.annealed_rate(at(u))) for u in (1, 245, 488, 489)]
    np.testing.assert_allclose(found, [3e-4, 1.5e-4, 3e-4 / 488, 0.0], rtol=1e-4)
    by_steps = dataclasses.replace(agent, anneal_updates=False)
    np.testing.assert_allclose(by_steps.annealed_rate(at(245)), 3e-4 * (1 - 244 * 0.002048), rtol=1e-5)


def test_simulated_states_are_as_many_as_extra_samples():
    agent = Plain(EnvSpec("toy", (1,), "float32", Discrete(2), 10), source="states", num_envs=1, extras_start=0)
    clock = Clock.start(1_000 * agent.rollout_length, agent.rollout_length)
    for event in range(1, 1_001):
        count, horizon = agent.schedule(dataclasses.replace(clock, iterations=jnp.int32(event)))
        assert count + 1 == horizon <= 9
        if count == 8:
            break
    assert count == 8


@pytest.mark.parametrize(("preset", "critic", "horizon"), [("mbma_code", 512, 8), ("mbma_paper", 1024, 10)])
def test_presets(preset, critic, horizon):
    config = cli.compose_config([f"agent={preset}", "env=gymnax/Pendulum-v1"])
    agent = rlx.make_agent(spec=pendulum(), **config.agent)
    assert agent.critic_hidden_sizes == (critic, critic)
    assert agent.horizon == horizon
    # The learning rate of update 245 of 488: three ten-thousandths, half gone.
    halfway = dataclasses.replace(Clock.start(488 * 2048, 2048), iterations=jnp.int32(244))
    assert agent.learning_rate * (1 - halfway.progress) == pytest.approx(1.5e-4)


# Against PPO.


def iterated(agent, iterations=3):
    env = pendulum()
    step = jax.jit(lambda state: loop.iterate(agent, env, state))
    state = loop.init(agent, env, KEY, CLOCK)
    for _ in range(iterations):
        state = dataclasses.replace(step(state), clock=state.clock.advance())
    return state


@pytest.mark.parametrize("normalise", [False, True])
def test_without_extra_samples_it_is_ppo_bit_for_bit(normalise):
    shared = SMALL | {"learning_rate": 1e-2, "clip_value_loss": True, "entropy_coefficient": 0.01}
    shared["normalise_observations"] = normalise
    ppo = rlx.make_agent("ppo", pendulum(), normalise_advantages=False, **shared)
    mbma = rlx.make_agent("mbma", pendulum(), source="none", **(EXTRA | shared))
    expected, found = iterated(ppo), iterated(mbma)
    jax.tree.map(np.testing.assert_array_equal, expected.agent.params, found.agent.params)
    jax.tree.map(np.testing.assert_array_equal, expected.agent.opt_state, found.agent.opt_state)
    np.testing.assert_array_equal(expected.scene.timestep.obs, found.scene.timestep.obs)


def moved(params):
    """Parameters off the old policy, so that ratios are not all 1 and some are clipped."""
    return jax.tree.map(lambda x: x + 0.2 * jnp.cos(jnp.arange(x.size, dtype=float)).reshape(x.shape), params)


def ppo_with_the_hyperparameters_of(agent):
    names = {field.name for field in dataclasses.fields(PPO)} & {field.name for field in dataclasses.fields(MBMA)}
    return PPO(normalise_advantages=False, **{name: vars(agent)[name] for name in names})


def test_ppo_differs_in_the_defaults_that_the_docstring_names():
    ours, theirs = settings_of(MBMA), settings_of(PPO)
    differing = {name for name in ours.keys() & theirs.keys() if ours[name].default != theirs[name].default}
    assert theirs.keys() - ours.keys() == {"normalise_advantages"}
    assert differing == {"normalise_observations", "entropy_coefficient"}
    for name in (*differing, "normalise_advantages"):
        assert f"``{name}" in sys.modules[MBMA.__module__].__doc__


BROKEN = {
    "model": {"log_prob": -jnp.inf, "action": jnp.nan, "advantage": jnp.inf},
    "states": {"log_prob": -jnp.inf, "action": jnp.inf, "advantage": jnp.nan, "obs": jnp.nan},
}


@pytest.mark.parametrize(("source", "leaf"), [(source, leaf) for source in BROKEN for leaf in BROKEN[source]])
def test_what_does_not_count_may_hold_anything(source, leaf):
    """Loss and gradient are those of the samples that count."""
    agent, state, _, batch, extras = prepared(source)
    value = getattr(extras, leaf)
    broken = dataclasses.replace(extras, **{leaf: value.at[:, 1:].set(BROKEN[source][leaf])})
    loss = lambda params, extras: agent.loss(params, batch, extras, jnp.array([1.0, 0.0, 0.0]))[0]  # noqa: E731
    gradient = jax.jit(jax.value_and_grad(loss))
    params = moved(state.params)
    expected, found = gradient(params, extras), gradient(params, broken)
    assert np.isfinite(found[0])
    jax.tree.map(np.testing.assert_array_equal, expected, found)


def test_an_impossible_action_that_does_not_count():
    """Its log-probability is minus infinity under the policy as well: of logits 0 and minus infinity."""
    agent = Plain(EnvSpec("toy", (1,), "float32", Discrete(2), 10), num_envs=1, rollout_length=1, num_extras=2)
    nothing = jnp.zeros(1)
    batch = Batch(nothing[None], jnp.array([0]), None, nothing, nothing, jnp.array([2.0]), nothing)
    log_prob, advantage = jnp.array([[0.0, -jnp.inf]]), jnp.array([[-1.0, 5.0]])
    extras = Extras(None, None, jnp.array([[0, 1]]), log_prob, advantage)
    params = {"actor": jnp.array([[0.0, -jnp.inf]]), "critic": jnp.zeros(1)}
    gradient = jax.value_and_grad(lambda params: agent.loss(params, batch, extras, jnp.array([1.0, 0.0]))[0])
    loss, grads = gradient(params)
    assert loss == pytest.approx((-2.0 + 1.0) / 2)
    np.testing.assert_array_equal(grads["actor"], [[0.0, 0.0]])


@pytest.mark.parametrize("source", SOURCES)
def test_extras_of_no_weight_change_nothing(source):
    """But the last bit, where XLA may fuse two programs in different ways."""
    agent, state, _, batch, extras = prepared(source)
    gradient = jax.jit(lambda p: jax.value_and_grad(agent.loss, has_aux=True)(p, batch, extras, jnp.zeros(3)))
    other = ppo_with_the_hyperparameters_of(agent)
    expected = jax.jit(lambda p: jax.value_and_grad(other.loss, has_aux=True)(p, batch))
    params = moved(state.params)
    close = functools.partial(np.testing.assert_array_max_ulp, maxulp=2)
    jax.tree.map(close, gradient(params), expected(params))


def test_extras_like_the_real_sample_change_nothing():
    agent, state, _, batch, _ = prepared("model")
    same = jax.tree.map(lambda x: jnp.stack([x] * 3, axis=1), (batch.action, batch.log_prob, batch.advantage))
    params = moved(state.params)
    found, _ = agent.loss(params, batch, Extras(None, None, *same), jnp.ones(3))
    expected, _ = ppo_with_the_hyperparameters_of(agent).loss(params, batch)
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_extras_count_in_the_policy_loss_only(source):
    agent, state, _, batch, extras = prepared(source)
    params = moved(state.params)

    def loss(params, advantage, weight):
        return agent.loss(params, batch, dataclasses.replace(extras, advantage=advantage), weight * jnp.ones(3))

    gradients = [
        jax.grad(loss, has_aux=True)(params, factor * extras.advantage, weight)
        for factor, weight in ((1.0, 0.0), (1.0, 1.0), (5.0, 1.0))
    ]
    (without, _), (with_extras, few), (stronger, many) = gradients
    for other in (with_extras, stronger):
        jax.tree.map(np.testing.assert_array_equal, without["critic"], other["critic"])
    assert few["value_loss"] == many["value_loss"]
    assert not np.allclose(
        with_extras["actor"]["params"]["head"]["kernel"], stronger["actor"]["params"]["head"]["kernel"]
    )


def test_every_sample_has_the_same_weight():
    """Also of simulated states: the flat mean over B real and K B simulated samples."""
    for source in ("model", "states"):
        agent, state, _, batch, extras = prepared(source)
        metrics = agent.loss(state.params, batch, extras, jnp.ones(3))[1]
        # At the old parameters every ratio is 1.
        advantages = np.concatenate([batch.advantage, extras.advantage.ravel()])
        assert metrics["policy_loss"] == pytest.approx(-advantages.mean(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_log_probabilities_are_of_the_policy_that_collected(source):
    agent, state, _, batch, extras = prepared(source)
    if extras.obs is None:
        obs = jnp.broadcast_to(batch.obs[:, None], (*extras.log_prob.shape, *batch.obs.shape[1:]))
    else:
        obs = extras.obs
    log_prob = agent.distribution(state, obs, None).log_prob(extras.action)
    np.testing.assert_allclose(extras.log_prob, log_prob, atol=1e-5)


# What extra samples are.


def test_model_samples_are_rollouts_of_the_model():
    """The first extra action of some states, followed by hand."""
    agent, state, rollout, _, extras = prepared("model", horizon=1)
    obs = rollout.obs.reshape(-1, 3)
    outcome = agent.extra_source().model.predict(state.source[0].params, obs, extras.action[:, 0])
    expected = outcome.reward + agent.discount * agent.value(state, outcome.obs) - agent.value(state, obs)
    np.testing.assert_allclose(extras.advantage[:, 0], expected, atol=1e-5)


def imagined(agent, state, rollout, key):
    """A path of four steps through the model from each state of a rollout."""
    source = agent.extra_source()
    dynamics, start = source.dynamics(state.source[0]), source.start_of(rollout)
    return source.imagination.path(agent.actor_critic(state), dynamics, start, key, jnp.int32(4))


def test_simulated_states_come_one_from_each_step():
    """Column k holds all states after k + 1 steps, in an order of its own."""
    agent, state, rollout, _, extras = prepared("states")
    obs = rollout.obs.reshape(-1, 3)
    assert extras.obs.shape == (len(obs), 3, 3)
    path = jax.jit(lambda key: imagined(agent, state, rollout, key))(jax.random.split(KEY)[0])
    np.testing.assert_allclose(path.obs[0], obs, atol=1e-6)
    for step in range(3):
        column, expected = np.asarray(extras.obs[:, step, 0]), np.asarray(path.obs[step + 1, :, 0])
        np.testing.assert_allclose(np.sort(column), np.sort(expected), atol=1e-5)
        assert not np.allclose(column, expected, atol=1e-5)


def test_imagined_observations_are_real_numbers():
    """Also of a task that observes integers: a prediction must not be cut to them."""
    agent, state, rollout, _, _ = prepared("states")
    integers = dataclasses.replace(rollout, obs=rollout.obs.astype(jnp.int32))
    path = jax.jit(lambda: imagined(agent, state, integers, KEY))()
    assert jnp.abs(path.obs[1:] - jnp.round(path.obs[1:])).max() > 1e-3


def test_q_functions_are_the_smaller_of_two():
    agent, state, _, batch, extras = prepared("critic")
    both = agent.extra_source().q_values(state.source.params, batch.obs, extras.action[:, 1])
    assert both.shape == (2, len(batch.obs))
    assert not np.allclose(both[0], both[1])
    np.testing.assert_allclose(extras.advantage[:, 1], both.min(0) - batch.value, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "rate"), [({}, 6e-4), ({"anneal": False}, 1e-3), ({"anneal_updates": True}, 5e-4)]
)
def test_the_q_functions_learn_as_fast_as_the_critic(settings, rate):
    """Adam's first step on one gradient is the rate long; 32 of 80 steps are over, in one of two whole events."""
    agent, state, rollout, batch, _ = prepared("critic")
    agent = dataclasses.replace(agent, num_epochs=1, num_minibatches=1, **settings)
    clock, source = Clock.start(80, 32).advance().advance(), agent.extra_source()
    learner = dataclasses.replace(state.source, opt_state=agent.optimiser.init(state.source.params))
    learned, _ = jax.jit(lambda: source.fit(learner, rollout, batch, KEY, clock))()
    moves = jax.tree.map(lambda old, new: jnp.abs(new - old).max(), learner.params, learned.params)
    np.testing.assert_allclose(max(jax.tree.leaves(moves)), rate, rtol=0.02)


def test_losses_of_the_model_are_means_over_its_updates():
    """Of a model that stands still, one transition at a time: their mean over the replay, whatever the last one was."""
    agent, state, rollout, batch, _ = prepared("model")
    settings = {"model_learning_rate": 1e-30, "model_batch_size": 1, "model_updates": 4_000, "first_fit": 1}
    source = dataclasses.replace(agent, **settings).extra_source()
    clock = Clock.start(10_000, 32).advance().advance()
    (learner, replay), losses = jax.jit(lambda: source.fit(state.source, rollout, batch, KEY, clock))()
    seen = jax.tree.map(lambda x: np.asarray(x[:16]).reshape(64, *x.shape[2:]), replay.ring.data)
    outcome = source.model.predict(learner.params, seen.obs, seen.action)
    errors = np.square(outcome.obs - seen.next_obs).mean(-1), np.square(outcome.reward - seen.reward)
    for name, error in zip(("transition_loss", "reward_loss"), errors, strict=True):
        assert error.std() > 0.3 * error.mean()
        assert abs(losses[name] - error.mean()) < 4 * error.std() / math.sqrt(4_000)
    idle = jax.jit(lambda: source.fit(state.source, rollout, batch, KEY, Clock.start(10_000, 32)))()[1]
    assert {float(loss) for loss in idle.values()} == {0.0}


def test_nothing_is_computed_before_the_first_extra_sample():
    agent = rlx.make_agent("mbma", pendulum(), **(SMALL | EXTRA | {"extras_start": 64}))
    state = iterated(agent, iterations=2)
    initial = agent.init(jax.random.split(KEY, 3)[0])
    jax.tree.map(np.testing.assert_array_equal, state.agent.source[0].params, initial.source[0].params)
    assert state.updates.last["extra_samples"] == 0
    changed = iterated(agent, iterations=3)
    assert not np.array_equal(
        changed.agent.source[0].params["reward"]["params"]["head"]["kernel"],
        initial.source[0].params["reward"]["params"]["head"]["kernel"],
    )


def test_no_extra_action_is_invalid():
    env = rlx.make_env("rlx/probe-masked")
    for source in ("model", "critic", "simulator"):
        agent = rlx.make_agent("mbma", env, source=source, **(SMALL | EXTRA))
        state = loop.init(agent, env, KEY, CLOCK)
        rollout = collect(agent, env, state.agent, state.scene, KEY, CLOCK)[1]
        batch = agent.make_batch(state.agent, rollout)
        extras = draw(agent, state.agent, rollout, batch, 2)
        assert not rollout.action_mask.all()
        assert np.take_along_axis(np.asarray(batch.action_mask), np.asarray(extras.action), axis=1).all()


def test_time_limits_as_ends():
    """The released code does not bootstrap there."""
    agent, state, rollout, batch, _ = prepared("critic")
    assert rollout.truncated.any()
    cut = dataclasses.replace(agent, truncation_is_terminal=True).make_batch(state, rollout)
    at_end = np.asarray(rollout.truncated).ravel()
    expected = np.asarray(rollout.reward).ravel() - np.asarray(batch.value)
    np.testing.assert_allclose(cut.advantage[at_end], expected[at_end], atol=1e-5)
    assert not np.allclose(batch.advantage[at_end], expected[at_end], atol=1e-2)


# The diagnosis.


def test_gradients_by_the_outputs():
    """Of a Gaussian: A (a - mean) / deviation^2, and A (((a - mean) / deviation)^2 - 1)."""
    agent, state, _, batch, extras = prepared("model")
    mean, log_std = map(np.asarray, agent.actor.apply(state.params["actor"], batch.obs))
    outputs = agent.actor.apply(state.params["actor"], batch.obs)
    found = output_gradients(agent.spec, outputs, batch, extras)
    assert found.shape == (32, 4, 2)
    for which, action, advantage in (
        (0, batch.action, batch.advantage),
        (2, extras.action[:, 1], extras.advantage[:, 1]),
    ):
        noise = (np.asarray(action) - mean) / np.exp(log_std)
        expected = np.asarray(advantage)[:, None] * np.concatenate([noise / np.exp(log_std), noise**2 - 1], axis=1)
        np.testing.assert_allclose(found[:, which], expected, rtol=1e-4, atol=1e-4)


def test_the_diagnosis_is_logged_once_there_are_extra_samples():
    start = {"extras_start": 32, "diagnosis_lags": 3}
    agent = rlx.make_agent("mbma", pendulum(), **(SMALL | EXTRA | start))
    idle, active = (iterated(agent, iterations).updates.last for iterations in (1, 2))
    for name in ("gain_of_an_action", "gain_of_steps"):
        assert idle[name] == 0
        assert active[name] != 0


@pytest.mark.parametrize(("count", "share"), [(0, 0.0), (1, 1 / 3), (3, 1 / 5)])
def test_the_diagnosis_is_of_the_samples_that_count(count, share):
    """Independent gradients of mean 0: over ``n`` actions a variance of 1 / n, of which one more takes 1 / (n + 1)."""
    gradients = jnp.asarray(np.random.default_rng(0).standard_normal((8_000, 4, 2)), jnp.float32)
    found = extra_samples.diagnosis(gradients, 8, jnp.int32(count), 0.1, 1)
    np.testing.assert_allclose(found["gain_of_an_action"], share, atol=0.02)
    # Of 1,000 steps longer by a tenth: 1 - 1 / 1.1.
    np.testing.assert_allclose(found["gain_of_steps"], 1 / 11 if count else 0.0, atol=0.005)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"source": "states"}, "source=states does not draw"), ({"rollout_length": 3}, "longer rollout_length")],
)
def test_a_diagnosis_that_cannot_be_made(settings, message):
    agent = rlx.make_agent("mbma", pendulum(), **(SMALL | {"diagnosis_lags": 3, "num_minibatches": 1} | settings))
    with pytest.raises(ConfigurationError, match=message):
        agent.init(KEY)


# Against closed forms.

GAIN, DEVIATION, DISCOUNT, MAX_ACTION = -0.5, 0.3, 0.9, 4.0
SOLUTION = Solution(GAIN, DEVIATION, DISCOUNT, LinearQuadraticParams(noise=0.0))


@struct.dataclass
class Exact(MBMA):
    """The policy and the exact value of the linear-quadratic task; there is nothing to learn."""

    @property
    def actor(self):
        class Policy:
            @staticmethod
            def init(key, obs):
                return {"unused": jnp.zeros(1)}

            @staticmethod
            def apply(params, obs):
                return GAIN * obs / MAX_ACTION, jnp.full_like(obs, math.log(DEVIATION / MAX_ACTION))

        return Policy

    @property
    def critic(self):
        class Value:
            @staticmethod
            def init(key, obs):
                return {"unused": jnp.zeros(1)}

            @staticmethod
            def apply(params, obs):
                return SOLUTION.value(obs[..., 0])

        return Value


@pytest.mark.parametrize("horizon", [1, 3])
def test_rewound_advantages_of_a_known_task(horizon):
    """With the task as model and exact values, extra actions have their exact advantages, whatever the horizon.

    The first step's error has mean 0 and so have all later ones: without noise and at horizon 1 there is none but
    that of the next action, which the value averages out.
    """
    env = rlx.make_env("rlx/linear-quadratic", noise=0.0)
    agent = Exact(
        env.spec,
        env.simulate,
        source="simulator",
        discount=DISCOUNT,
        horizon=horizon,
        num_extras=64,
        num_envs=4,
        rollout_length=8,
    )
    state = agent.init(KEY)
    scene = set_scene(agent, env, state, KEY)

    @jax.jit
    def drawn():
        rollout = collect(agent, env, state, scene, KEY, CLOCK)[1]
        batch = agent.make_batch(state, rollout)
        return batch, draw(agent, state, rollout, batch, horizon)

    batch, extras = drawn()
    position = np.asarray(batch.obs)
    action = MAX_ACTION * np.asarray(extras.action[..., 0])
    exact = SOLUTION.advantage(position, (action - GAIN * position) / DEVIATION)
    error = np.asarray(extras.advantage) - exact
    if horizon == 1:
        np.testing.assert_allclose(error, 0.0, atol=2e-4)
    else:
        assert np.abs(error).max() > 1e-2
        assert abs(error.mean()) < 4 * error.std() / math.sqrt(error.size)


def test_a_fitted_model_knows_a_linear_task():
    env = rlx.make_env("rlx/linear-quadratic", noise=0.0)
    agent = rlx.make_agent(
        "mbma",
        env,
        **(
            SMALL
            | EXTRA
            | {"rollout_length": 64, "model_updates": 2_000, "model_learning_rate": 3e-3, "replay_size": 2_048}
        ),
    )
    state = jax.jit(lambda state: loop.iterate(agent, env, state))(loop.init(agent, env, KEY, CLOCK))
    replayed = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:256], state.agent.source[1].ring.data)
    outcome = agent.extra_source().model.predict(state.agent.source[0].params, replayed.obs, replayed.action)
    spread = replayed.next_obs.std()
    assert jnp.abs(outcome.obs - replayed.next_obs).mean() < 0.05 * spread
