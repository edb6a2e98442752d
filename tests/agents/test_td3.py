"""TD3 and DDPG: targets in the numbers of closed forms, gradients against differences, whole updates in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import td3_by_hand
from by_hand import assert_trees_close, doubles, gradient
from flax import struct
from sac_by_hand import rollout_of

import rlx
from rlx import cli
from rlx.agents.td3 import TD3
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.n_step import NStepBatch
from rlx.types import Box, Clock, EnvSpec, Timestep

KEY = jax.random.key(0)
SPEC = EnvSpec("toy", (2,), "float32", Box(2), None)
SMALL = {
    "num_envs": 4, "batch_size": 3, "replay_size": 16, "learning_starts": 0, "random_steps": 0, "discount": 0.9,
    "learning_rate": 0.01, "target_rate": 0.1, "hidden_sizes": (3,),
}  # fmt: skip
DDPG = {"num_critics": 1, "target_noise": 0.0, "actor_period": 1}


class Half:
    """A policy whose action is 0.5 and 0.9."""

    @staticmethod
    def apply(params, obs):
        return jnp.broadcast_to(jnp.array([0.5, 0.9]), (len(obs), 2))


class Sum:
    """A critic that adds its parameter and the action."""

    @staticmethod
    def apply(params, obs, action):
        return (params + action.sum(-1))[:, None]


@struct.dataclass
class Toy(TD3):
    actor = Half
    critic = Sum


def batch_of(reward, terminated):
    one = jnp.ones(len(reward))
    obs = jnp.zeros((len(reward), 2))
    return NStepBatch(obs, obs, jnp.array(reward), 0.9 * one, jnp.array(terminated), obs, None, None, {})


@pytest.mark.parametrize(
    ("normals", "action"),
    [((0.0, 0.0), 1.4), ((1.0, 0.25), 0.7 + 0.95), ((9.0, 9.0), 1.0 + 1.0), ((-9.0, 0.0), 0.0 + 0.9)],
)
def test_the_target_takes_the_lesser_critic_of_a_disturbed_action(normals, action, monkeypatch):
    """Noise of deviation 0.2 is clipped at 0.5, and the action at 1; critics add 1 and 3 to it."""
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.broadcast_to(jnp.array(normals), shape))
    targets = {"actor": None, "critics": jnp.array([3.0, 1.0])}
    y = Toy(SPEC).value_target(targets, batch_of([2.0, 2.0], [False, True]), KEY)
    np.testing.assert_allclose(y, [2.0 + 0.9 * (1.0 + action), 2.0], rtol=1e-6)


def test_the_actor_climbs_the_first_critic_alone():
    """Of critics that add 3 and 1 to 1.4."""
    assert Toy(SPEC).actor_loss(None, jnp.array([3.0, 1.0]), jnp.zeros((5, 2))) == np.float32(-4.4)


def minibatch(rng):
    flat = jax.tree.map(lambda leaf: leaf[0], rollout_of(rng))
    return NStepBatch(
        flat.obs, flat.action, flat.reward, jnp.full(4, 0.9), flat.terminated, flat.next_obs, None, None, {}
    )


def test_gradients_against_finite_differences():
    agent = TD3(SPEC, **SMALL)
    params = agent.init(jax.random.key(1)).params
    batch, y = minibatch(np.random.default_rng(2)), np.linspace(-1.0, 1.0, 4)
    plain = jax.tree.map(np.asarray, batch)
    grads = jax.grad(lambda p: agent.actor_loss(p, params["critics"], batch.obs))(params["actor"])
    critics = doubles(params["critics"])
    loss = lambda p: td3_by_hand.actor_loss(p, critics, plain.obs)  # noqa: E731
    assert np.abs(grads["params"]["head"]["kernel"]).max() > 1e-3
    assert_trees_close(grads, gradient(loss, params["actor"]), rtol=1e-3, atol=1e-5)
    grads = jax.grad(lambda p: agent.critic_loss(p, batch, jnp.float32(y))[0])(params["critics"])
    loss = lambda p: td3_by_hand.critic_loss(agent, p, plain, y)  # noqa: E731
    assert_trees_close(grads, gradient(loss, params["critics"]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fields", [{"actor_period": 2}, DDPG], ids=["td3", "ddpg"])
def test_three_updates_equal_a_transcription_in_float64(fields):
    agent = TD3(SPEC, **SMALL, **fields)
    rng = np.random.default_rng(1)
    state = agent.init(jax.random.key(3))
    by_hand = td3_by_hand.ByHand(agent, state)
    update = jax.jit(agent.update)
    for event in range(1, 4):
        key = jax.random.key(event)
        clock = dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(event))
        state, metrics = update(state, rollout_of(rng), key, clock)
        sample_key, noise_key = jax.random.split(jax.random.split(key, 1)[0])
        drawn = replays.sample(state.replay, event, sample_key, 3, rules.Uniform(), 0.9)
        improves = (event - 1) % agent.actor_period == 0
        noise = jax.random.normal(noise_key, (3, 2))
        loss = by_hand.update(jax.tree.map(np.asarray, drawn.batch), noise, improves)
        np.testing.assert_allclose(metrics.means["critic_loss"], loss, rtol=1e-4)
        assert (metrics.means["actor_loss"] != 0) == improves
    assert_trees_close(state.params, by_hand.params, rtol=2e-3, atol=2e-4)
    assert_trees_close(state.target_params, by_hand.target, rtol=2e-3, atol=2e-4)


def timestep(obs):
    blank, flag = jnp.zeros(len(obs)), jnp.zeros(len(obs), bool)
    return Timestep(jnp.asarray(obs), blank, flag, flag, jnp.asarray(obs), None, None, blank.astype(jnp.int32), {})


def test_actions_are_uniform_first_and_then_the_policys_with_noise():
    agent = TD3(SPEC, **{**SMALL, "random_steps": 8}, exploration_noise=0.05)
    state = agent.init(KEY)
    seen = timestep(np.full((20_000, 2), 0.3, np.float32))
    act = jax.jit(lambda clock: agent.act(state, seen, KEY, clock)[0])
    at = lambda iterations: dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(iterations))  # noqa: E731
    quartiles = np.quantile(act(at(1)), [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
    np.testing.assert_allclose(quartiles, np.tile([[-1.0], [-0.5], [0], [0.5], [1.0]], 2), atol=0.03)
    greedy = agent.policy(state, seen, KEY, "greedy")[0]
    assert np.abs(greedy).max() < 0.7
    for noisy in (act(at(2)), agent.policy(state, seen, KEY, "sample")):
        np.testing.assert_allclose(np.mean(noisy, 0), greedy, atol=0.002)
        np.testing.assert_allclose(np.std(noisy, 0), 0.05, rtol=0.03)


def test_ddpg_is_a_setting():
    fields = cli.compose_config(["agent=ddpg"]).agent
    assert {name: fields[name] for name in DDPG} == DDPG
    agent = rlx.make_agent(spec=SPEC, **fields)
    assert isinstance(agent, TD3)
    assert jax.eval_shape(agent.init, KEY).params["critics"]["params"]["head"]["bias"].shape == (1, 1)
