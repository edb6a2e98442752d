import functools
import math

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import rlx
from rlx.agents.mbma import MBMA
from rlx.errors import ConfigurationError
from rlx.runner.collect import collect, set_scene
from rlx.types import Clock

KEY = jax.random.key(3)
# Random actions keep the pole up for 20 steps on average: episodes end in both ways.
LIMIT, STEPS, ENVS, EXTRAS, LONGEST = 16, 48, 3, 4, 12
CLOCK = Clock.start(10_000, STEPS * ENVS)
ENV = rlx.make_env("gymnax/CartPole-v1", max_episode_steps=LIMIT)
TASK, PARAMS = gymnax.make("CartPole-v1")


@functools.cache
def agent_with(cls=MBMA, **hyperparameters):
    settings = {
        "source": "simulator",
        "num_extras": EXTRAS,
        "horizon": 1,
        "extras_start": 0,
        "extras_growth": 0.0,
        "num_envs": ENVS,
        "rollout_length": STEPS,
        "num_epochs": 1,
        "num_minibatches": 1,
        "anneal": False,
        "hidden_sizes": (8,),
        "critic_hidden_sizes": (8,),
        "discount": 0.9,
        "trace_decay": 0.7,
    }
    return cls(ENV.spec, ENV.simulate, **(settings | hyperparameters))


@functools.cache
def collected():
    """An agent's first state and rollout; neither depends on what extra samples are made of."""
    agent = agent_with()
    state = agent.init(KEY)
    scene = set_scene(agent, ENV, state, KEY)
    _, rollout = jax.jit(lambda: collect(agent, ENV, state, scene, KEY, CLOCK))()
    return state, rollout


def drawing(agent):
    """A compiled function from state, rollout and key to extra actions of one step."""
    source = agent.extra_source()
    return jax.jit(lambda state, rollout, key: source.draw(
        None, agent.actor_critic(state), rollout, None, key, jnp.int32(1)
    ))  # fmt: skip


def task_state(rollout, *index):
    return jax.tree.map(lambda x: x[index], rollout.task_state)


@jax.jit
def step(state, action):
    """One step of Gymnax' own task."""
    obs, state, reward, _, _ = TASK.step_env(KEY, state, action, PARAMS)
    return obs, state, reward, TASK.is_terminated(state, PARAMS)


@functools.cache
def valued():
    """The first state's critic of one observation, compiled."""
    agent, (state, _) = agent_with(), collected()
    return jax.jit(lambda obs: agent.critic.apply(state.params["critic"], obs))


def value(obs):
    return float(valued()(obs))


def test_rollouts_carry_the_states_that_the_agent_acted_in():
    _, rollout = collected()
    ended = np.asarray(rollout.terminated | rollout.truncated)
    assert rollout.terminated.any()
    assert rollout.truncated.any()
    for t in range(STEPS):
        for n in range(ENVS):
            before = task_state(rollout, t, n)
            np.testing.assert_array_equal(TASK.get_obs(before), rollout.obs[t, n])
            obs, _, reward, terminated = step(before, rollout.action[t, n])
            np.testing.assert_allclose(obs, rollout.next_obs[t, n], atol=1e-6)
            assert reward == rollout.reward[t, n]
            assert terminated == rollout.terminated[t, n]
            if t and ended[t - 1, n]:
                assert before.time == 0
                assert np.abs(np.subtract(rollout.obs[t, n], rollout.next_obs[t - 1, n])).max() > 0.01


def test_advantages_of_one_step_by_a_loop_over_the_task():
    agent, (state, rollout) = agent_with(), collected()
    extras = drawing(agent)(state, rollout, KEY)
    assert extras.obs is None
    assert extras.action.shape == extras.advantage.shape == extras.log_prob.shape == (STEPS * ENVS, EXTRAS)
    ends = 0
    for row in range(STEPS * ENVS):
        t, n = divmod(row, ENVS)
        for k in range(EXTRAS):
            obs, _, reward, terminated = step(task_state(rollout, t, n), extras.action[row, k])
            expected = float(reward) + 0.9 * (1 - bool(terminated)) * value(obs) - value(rollout.obs[t, n])
            assert math.isclose(extras.advantage[row, k], expected, abs_tol=1e-5)
            ends += bool(terminated)
    assert ends > 3
    logits = np.asarray(agent.actor.apply(state.params["actor"], rollout.obs)).reshape(-1, 1, 2)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    taken = np.take_along_axis(np.repeat(log_probs, EXTRAS, 1), np.asarray(extras.action)[..., None], -1)[..., 0]
    np.testing.assert_allclose(extras.log_prob, taken, atol=1e-6)


def test_extra_actions_are_drawn_anew_for_every_state_and_with_replacement():
    agent, (state, rollout) = agent_with(), collected()
    draw = drawing(agent)
    action = np.asarray(draw(state, rollout, KEY).action)
    # A first policy is nearly uniform: a state's 4 actions are all alike with probability 1/8, and so are two draws'.
    alike = (action == action[:, :1]).all(1).mean()
    assert 0.04 < alike < 0.25
    again = np.asarray(draw(state, rollout, jax.random.key(4)).action)
    assert 0.4 < (action == again).mean() < 0.6
    assert 0.4 < (action == np.asarray(rollout.action).reshape(-1, 1)).mean() < 0.6


@pytest.mark.parametrize("horizon", [LONGEST, 3])
def test_terminations_stop_the_sum_and_time_limits_do_not(horizon):
    agent, (state, rollout) = agent_with(horizon=LONGEST), collected()
    source = agent.extra_source()

    @jax.jit
    def imagined(state, rollout):
        start, around = source.start_of(rollout), agent.actor_critic(state)
        return source.imagination.path(around, source.dynamics, start, KEY, jnp.int32(horizon))

    path = imagined(state, rollout)
    fallen, beyond = 0, 0
    for row in range(STEPS * ENVS):
        t, n = divmod(row, ENVS)
        current, obs, expected = task_state(rollout, t, n), rollout.obs[t, n], 0.0
        for i in range(horizon):
            next_obs, current, reward, terminated = step(current, path.action[i, row])
            future = 0.0 if terminated else 0.9 * value(next_obs)
            expected += (0.9 * 0.7) ** i * (float(reward) + future - value(obs))
            if terminated:
                fallen += i < horizon - 1
                break
            beyond += i < horizon - 1 and int(current.time) == LIMIT
            obs = next_obs
        assert math.isclose(path.advantage[0, row], expected, abs_tol=1e-5)
    assert fallen > 3
    assert beyond > 3


@struct.dataclass
class Watched(MBMA):
    """Tells the advantages that its loss is given."""

    def loss(self, params, batch, extras, weights):
        loss, metrics = super().loss(params, batch, extras, weights)
        alike = extras.action == batch.action[:, None]
        gap = jnp.where(alike, extras.advantage - batch.advantage[:, None], 0.0)
        return loss, metrics | {
            "alike": alike.mean(),
            "gap": jnp.abs(gap).max(),
            "extra": extras.advantage.mean(),
            "real": batch.advantage.mean(),
            "weight": weights.sum(),
        }


def test_rewards_are_scaled_for_extra_actions_as_for_real_ones():
    """A deterministic task answers the same action with the same advantage, whoever takes it."""
    state, rollout = collected()
    unscaled, scaled = (
        jax.jit(agent_with(Watched, trace_decay=0.0, reward_scale=scale).update)(state, rollout, KEY, CLOCK.advance())[
            1
        ]
        for scale in (1.0, 0.1)
    )
    for metrics in (unscaled, scaled):
        assert 0.4 < metrics.means["alike"] < 0.6
        assert metrics.means["gap"] < 1e-6
        assert metrics.means["weight"] == metrics.last["extra_samples"] == EXTRAS
        assert metrics.last["horizon"] == 1
    # Every step of CartPole is rewarded with 1.
    for name in ("real", "extra"):
        assert math.isclose(unscaled.means[name] - scaled.means[name], 0.9, abs_tol=1e-5)


def test_a_spec_cannot_be_rewound():
    agent = rlx.make_agent("mbma", ENV.spec, source="simulator")
    with pytest.raises(ConfigurationError, match=r"rewinds the environment.*make_agent\('mbma', make_env") as refusal:
        agent.init(KEY)
    assert "\n" not in str(refusal.value)
    assert rlx.make_agent("mbma", ENV, source="simulator").simulator == ENV.simulate
