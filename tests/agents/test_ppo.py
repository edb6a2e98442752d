import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import Adam, assert_trees_close, doubles, gradient, log_softmax, network
from flax import struct

from rlx.agents.ppo import PPO
from rlx.learning.on_policy import Batch
from rlx.networks import running_statistics
from rlx.ops.shuffle import shuffled_indices
from rlx.types import Box, Clock, Discrete, EnvSpec, MultiDiscrete, Timestep, Transition

KEY = jax.random.key(0)


class Rows:
    """A network whose parameters are its outputs, one row a sample."""

    @staticmethod
    def apply(params, obs):
        return params


class First:
    """A network that gives the observation's first number times its only parameter."""

    @staticmethod
    def apply(params, obs):
        return params * obs[..., 0]


@struct.dataclass
class Plain(PPO):
    """Without networks: the actor's parameters are its outputs, the critic's is a factor of the observation."""

    @property
    def actor(self):
        return Rows

    @property
    def critic(self):
        return First


def spec_of(space, features=1):
    return EnvSpec("toy", (features,), "float32", space, None)


def plain(space, **hyperparameters):
    settings = {"num_envs": 1, "rollout_length": 2, "num_minibatches": 1, "normalise_observations": False}
    return Plain(spec_of(space), **(settings | hyperparameters))


def batch_of(action, log_prob, advantage, value=None, old_value=None, target=None, mask=None):
    zeros = np.zeros(len(advantage), np.float32)
    given = [zeros if x is None else jnp.asarray(x, jnp.float32) for x in (value, old_value, target)]
    return Batch(
        obs=given[0][:, None],
        action=jnp.asarray(action),
        action_mask=mask,
        log_prob=jnp.asarray(log_prob, jnp.float32),
        value=given[1],
        advantage=jnp.asarray(advantage, jnp.float32),
        value_target=given[2],
    )


# Two equal logits: every action has a probability of 1/2 and the ratios are 1, 2, 2 and 1/2.
LOGITS = np.zeros((4, 2), np.float32)
OLD = np.log([0.5, 0.25, 0.25, 1.0])


def plain_loss(agent, batch, logits=LOGITS):
    params = {"actor": jnp.asarray(logits), "critic": jnp.float32(1.0)}
    (loss, metrics), grads = jax.value_and_grad(agent.loss, has_aux=True)(params, batch)
    return float(loss), metrics, grads


def test_the_surrogate_and_its_gradient():
    """Of advantages 1, 1, -1, -1 the second is clipped at 1.2 and the fourth at 0.8: no gradient."""
    agent = plain(Discrete(2), normalise_advantages=False, entropy_coefficient=0.0)
    batch = batch_of([0, 0, 1, 1], OLD, [1.0, 1.0, -1.0, -1.0])
    loss, metrics, grads = plain_loss(agent, batch)
    np.testing.assert_allclose(loss, (-1.0 - 1.2 + 2.0 + 0.8) / 4, rtol=1e-6)
    np.testing.assert_allclose(metrics["policy_loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["clip_fraction"], 0.75)
    np.testing.assert_allclose(metrics["approx_kl"], (2 * (1 - np.log(2)) + np.log(2) - 0.5) / 4, rtol=1e-5)
    # A logit moves the log-probability of its own action by 1 - 1/2; the loss by minus ratio times advantage.
    expected = np.array([[-0.5, 0.5], [0.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]) / 4
    np.testing.assert_allclose(grads["actor"], expected, rtol=1e-5, atol=1e-7)


def test_advantages_are_standardised_in_each_minibatch():
    """1, 1, 3, 3 become -1, -1, 1, 1: divided by the deviation of a population and not of a sample."""
    agent = plain(Discrete(2), normalise_advantages=True, entropy_coefficient=0.0)
    loss, _, _ = plain_loss(agent, batch_of([0, 0, 1, 1], OLD, [1.0, 1.0, 3.0, 3.0]))
    np.testing.assert_allclose(loss, (1.0 + 2.0 - 1.2 - 0.5) / 4, rtol=1e-5)


def test_value_loss_and_entropy_bonus():
    settings = {"normalise_advantages": False, "value_coefficient": 0.7, "entropy_coefficient": 0.3}
    batch = batch_of([0, 0, 1, 1], np.full(4, np.log(0.5)), np.zeros(4), [1.0, 2.0, 3.0, 4.0], [0.0] * 4, [0.0] * 4)
    loss, metrics, grads = plain_loss(plain(Discrete(2), **settings), batch)
    value_loss = (1 + 4 + 9 + 16) / 8
    np.testing.assert_allclose([metrics["value_loss"], metrics["entropy"]], [value_loss, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(loss, 0.7 * value_loss - 0.3 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(grads["critic"], 0.7 * (1 + 4 + 9 + 16) / 4, rtol=1e-6)
    # Clipped to 0.2 of an old value of 5 they would be 4.8, further off; those stand.
    clipping = plain(Discrete(2), clip_value_loss=True, **settings)
    batch = dataclasses.replace(batch, value=jnp.full(4, 5.0))
    loss, metrics, grads = plain_loss(clipping, batch)
    np.testing.assert_allclose(metrics["value_loss"], 0.5 * 4.8**2, rtol=1e-6)
    assert grads["critic"] == 0.0


def test_a_forbidden_action_does_not_count():
    """Of three logits of 0 one is forbidden: the others have a half each."""
    agent = plain(Discrete(3), normalise_advantages=False, entropy_coefficient=0.3)
    mask = jnp.array([[True, False, True]])
    loss, metrics, grads = plain_loss(agent, batch_of([0], [np.log(0.5)], [1.0], mask=mask), np.zeros((1, 3)))
    np.testing.assert_allclose([loss, metrics["entropy"]], [-1 - 0.3 * np.log(2), np.log(2)], rtol=1e-5)
    np.testing.assert_allclose(grads["actor"], [[-0.5, 0.0, 0.5]], atol=1e-6)


def test_factored_and_continuous_actions():
    """Log-probabilities and entropies add over components."""
    settings = {"normalise_advantages": False, "entropy_coefficient": 0.3, "clip_epsilon": 10.0}
    batch = batch_of([[1, 2]], [np.log(1 / 12)], [1.0])
    loss, _, _ = plain_loss(plain(MultiDiscrete((2, 3)), **settings), batch, np.zeros((1, 5)))
    np.testing.assert_allclose(loss, -2.0 - 0.3 * np.log(6), rtol=1e-6)
    mean, log_std = jnp.array([[0.0, 1.0]]), jnp.array([[0.0, np.log(2.0)]])
    batch = batch_of([[1.0, -1.0]], [-4.0], [1.0])
    params = {"actor": (mean, log_std), "critic": jnp.float32(1.0)}
    loss, metrics = plain(Box(2), **settings).loss(params, batch)
    log_prob = -0.5 - 0.5 - np.log(2) - np.log(2 * np.pi)
    entropy = np.log(2 * np.pi * np.e) + np.log(2)
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-5)
    np.testing.assert_allclose(loss, -np.exp(log_prob + 4) - 0.3 * entropy, rtol=1e-5)


def rollout(rng, length=4, num_envs=2):
    """Random transitions with ends of both kinds."""
    shape = (length, num_envs)
    flags = rng.random(shape)
    steps = Transition(
        obs=rng.normal(size=(*shape, 2)).astype(np.float32) + np.float32(1.0),
        action=rng.integers(0, 2, shape).astype(np.int32),
        reward=rng.normal(size=shape).astype(np.float32),
        terminated=flags < 0.2,
        truncated=flags > 0.8,
        next_obs=rng.normal(size=(*shape, 2)).astype(np.float32),
        action_mask=None,
        next_action_mask=None,
        extras={"log_prob": (-0.7 + 0.1 * rng.normal(size=shape)).astype(np.float32)},
    )
    assert steps.terminated.any()
    assert steps.truncated.any()
    return steps


def advantages(agent, steps, value, next_value):
    """Schulman et al. 2016, eq. 16, as a loop over steps and environments."""
    found = np.zeros(steps.reward.shape)
    for env in range(found.shape[1]):
        following = 0.0
        for t in reversed(range(found.shape[0])):
            ahead = 0.0 if steps.terminated[t, env] else next_value[t, env]
            error = steps.reward[t, env] + agent.discount * ahead - value[t, env]
            ended = steps.terminated[t, env] or steps.truncated[t, env]
            following = error + (0.0 if ended else agent.discount * agent.trace_decay * following)
            found[t, env] = following
    return found.ravel()


def surrogate(agent, params, obs, action, log_prob, advantage, target):
    """Schulman et al. 2017, eq. 9, of standardised advantages."""
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    log_probs = log_softmax(network(params["actor"], obs))
    ratio = np.exp(log_probs[np.arange(len(action)), action] - log_prob)
    eps = agent.clip_epsilon
    policy = -np.minimum(ratio * advantage, np.clip(ratio, 1 - eps, 1 + eps) * advantage).mean()
    value = 0.5 * np.mean((network(params["critic"], obs)[:, 0] - target) ** 2)
    entropy = -(np.exp(log_probs) * log_probs).sum(-1).mean()
    return policy + agent.value_coefficient * value - agent.entropy_coefficient * entropy


def small(**hyperparameters):
    settings = {"num_envs": 2, "rollout_length": 4, "num_epochs": 2, "num_minibatches": 2, "hidden_sizes": (2,)}
    return PPO(spec_of(Discrete(2), features=2), **(settings | hyperparameters))


def spread(params):
    """Parameters with a policy that is far from uniform, and biases that are not zero."""
    keys = iter(jax.random.split(jax.random.key(9), len(jax.tree.leaves(params))))
    return jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape), params)


def test_a_whole_update_in_double_precision():
    """Observations seen through earlier statistics; two epochs of two minibatches; halfway through the budget."""
    agent = small(learning_rate=0.04, entropy_coefficient=0.1, value_coefficient=0.6, max_grad_norm=0.2)
    rng = np.random.default_rng(4)
    steps, earlier = rollout(rng), rng.normal(size=(30, 2)) * [2.0, 0.5] + [1.0, -1.0]
    earlier = earlier.astype(np.float32)
    state = agent.init(KEY)
    statistics = running_statistics.update(state.statistics, jnp.asarray(earlier))
    state = dataclasses.replace(state, params=spread(state.params), statistics=statistics)
    clock = dataclasses.replace(Clock.start(160, 8), iterations=jnp.int32(11))
    after, metrics = jax.jit(agent.update)(state, jax.tree.map(jnp.asarray, steps), KEY, clock)

    params, moments = doubles(state.params), doubles((earlier.mean(0), earlier.std(0)))
    seen = lambda obs: ((obs - moments[0]) / moments[1]).reshape(-1, 2)  # noqa: E731
    obs, next_obs = seen(steps.obs), seen(steps.next_obs)
    value, next_value = (network(params["critic"], x)[:, 0].reshape(4, 2) for x in (obs, next_obs))
    advantage = advantages(agent, steps, value, next_value)
    target = advantage + value.ravel()
    columns = (obs, steps.action.ravel(), doubles(steps.extras["log_prob"]).ravel(), advantage, target)
    optimiser, losses = Adam(params, 0.2, 1e-5), []
    for key in jax.random.split(KEY, 2):
        order = np.asarray(shuffled_indices(key, 8, 0, 8))
        for rows in (order[:4], order[4:]):
            loss = lambda params, rows=rows: surrogate(agent, params, *(x[rows] for x in columns))  # noqa: E731
            losses.append(loss(params))
            params = optimiser.step(params, gradient(loss, params), 0.04 * (1 - 80 / 160))
    assert_trees_close(after.params, params, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(metrics.means["loss"], np.mean(losses), rtol=1e-4)
    assert metrics.updates == 4
    # Then the rollout's observations are taken in: 30 earlier ones and 8 of now.
    every = np.concatenate([earlier, steps.obs.reshape(-1, 2)]).astype(np.float64)
    assert after.statistics.count.value == 38
    np.testing.assert_allclose(after.statistics.mean.value, every.mean(0), rtol=1e-5)
    np.testing.assert_allclose(running_statistics.variance(after.statistics), every.var(0), rtol=1e-4)


@pytest.mark.parametrize("clip_value_loss", [False, True])
def test_the_gradient_against_finite_differences(clip_value_loss):
    agent = small(clip_value_loss=clip_value_loss, entropy_coefficient=0.2)
    rng = np.random.default_rng(1)
    params = spread(agent.init(KEY).params)
    obs = rng.normal(size=(6, 2)).astype(np.float32)
    action, log_prob = rng.integers(0, 2, 6), (-0.7 + 0.3 * rng.normal(size=6)).astype(np.float32)
    advantage, old, target = rng.normal(size=(3, 6)).astype(np.float32)

    def loss(params):
        found = surrogate(agent, params, obs, action, log_prob, advantage, target)
        if clip_value_loss:
            value = network(params["critic"], obs)[:, 0]
            near = old + np.clip(value - old, -0.2, 0.2)
            errors = np.maximum((value - target) ** 2, (near - target) ** 2) - (value - target) ** 2
            found += agent.value_coefficient * 0.5 * errors.mean()
        return found

    batch = Batch(*map(jnp.asarray, (obs, action)), None, *map(jnp.asarray, (log_prob, old, advantage, target)))
    (found, _), grads = jax.value_and_grad(agent.loss, has_aux=True)(params, batch)
    np.testing.assert_allclose(found, loss(doubles(params)), rtol=1e-5)
    assert_trees_close(grads, gradient(loss, params), rtol=1e-3, atol=1e-5)


def timestep(obs):
    ends, obs = jnp.zeros(len(obs), bool), jnp.asarray(obs, jnp.float32)
    return Timestep(obs, jnp.zeros(len(obs)), ends, ends, obs, None, None, jnp.zeros(len(obs), jnp.int32), {})


def test_acting_sees_what_the_statistics_make_of_an_observation():
    agent = small()
    state = agent.init(KEY)
    earlier = jnp.array([[1.0, 2.0], [3.0, 6.0]])
    statistics = running_statistics.update(state.statistics, earlier)
    state = dataclasses.replace(state, params=spread(state.params), statistics=statistics)
    obs = np.tile([[3.0, 2.0]], (4000, 1))  # one deviation above and below
    log_probs = log_softmax(network(doubles(state.params["actor"]), np.array([1.0, -1.0])))
    action, extras = agent.act(state, timestep(obs), KEY, Clock.start(100, 8))
    np.testing.assert_allclose(extras["log_prob"], log_probs[np.asarray(action)], rtol=1e-3, atol=1e-5)
    chances = np.exp(log_probs)
    assert 0.05 < chances[1] < 0.95
    np.testing.assert_allclose(np.mean(action), chances[1], atol=0.03)
    sampled = agent.policy(state, timestep(obs), jax.random.key(1), "sample")
    np.testing.assert_allclose(np.mean(sampled), chances[1], atol=0.03)
    assert set(np.asarray(agent.policy(state, timestep(obs), KEY, "greedy")).tolist()) == {int(chances.argmax())}


def test_the_first_ratio_of_an_event_is_one():
    """Though the rollout changes the statistics: they are updated after the epochs."""
    agent = small(num_epochs=1, num_minibatches=1)
    state, clock = agent.init(KEY), Clock.start(100, 8).advance()
    for seed in (0, 1):
        steps = jax.tree.map(jnp.asarray, rollout(np.random.default_rng(seed + 4)))
        policy = agent.distribution(state, timestep(steps.obs.reshape(-1, 2)))
        log_prob = policy.log_prob(steps.action.ravel()).reshape(4, 2)
        state, metrics = agent.update(state, dataclasses.replace(steps, extras={"log_prob": log_prob}), KEY, clock)
        np.testing.assert_allclose(metrics.means["approx_kl"], 0.0, atol=1e-6)
        assert metrics.means["clip_fraction"] == 0.0
