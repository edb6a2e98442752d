import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import rlx
from rlx.agents.logq import LogDQN, best_action
from rlx.replay.n_step import NStepBatch
from rlx.types import Clock, Discrete, EnvSpec, Transition

SPEC = EnvSpec("test", (3,), "float32", Discrete(2), None)
AGENT = LogDQN(SPEC, hidden_sizes=(4,))


def zeros_like_params(agent):
    return jax.tree.map(jnp.zeros_like, agent.network.init(jax.random.key(0), jnp.zeros(3)))


def batch_of(agent, reward, terminated, discount=0.96):
    """One minibatch of these rewards at observation zero and action 0, as the replay would give it."""
    reward = jnp.asarray(reward, jnp.float32)
    ends = jnp.asarray(terminated, bool)
    obs = jnp.zeros((len(reward), 3))
    actions = jnp.zeros(len(reward), jnp.int32)
    item = agent.stored(Transition(obs, actions, reward, ends, ends, obs, None, None, {}))
    return NStepBatch(
        obs, actions, item.reward, jnp.full(len(reward), discount), item.terminated, obs, None, None, extras={}
    )


@pytest.mark.parametrize(
    ("reward", "terminated", "targets", "loss"),
    [
        (0.0, True, (-0.0517439, 0.0), 0.00133872),
        (1.0, True, (0.0, 0.0), 0.0),
        (-1.0, True, (-0.0517439, 0.960484), 0.462604),
        (0.0, False, (-0.00200401, 0.0), 0.00200401**2 / 2),
    ],
)
def test_targets_and_loss_with_all_outputs_zero(reward, terminated, targets, loss):
    params = zeros_like_params(AGENT)
    batch = batch_of(AGENT, [reward], [terminated])
    log_target = AGENT.log_targets(params, batch)
    value, _ = AGENT.td_loss(params, batch, log_target, jnp.float32(0.1))
    np.testing.assert_allclose(value, loss, rtol=1e-4, atol=1e-12)
    # With outputs of zero the gradient of the loss with respect to them is minus the targets.
    grads, _ = jax.grad(AGENT.td_loss, has_aux=True)(params, batch, log_target, jnp.float32(0.1))
    biases = [grads["params"][head]["bias"] for head in ("positive", "negative")]
    np.testing.assert_allclose([-bias[0] for bias in biases], targets, rtol=2e-5, atol=1e-7)
    np.testing.assert_array_equal([bias[1] for bias in biases], 0.0)


def test_gradient_is_the_clipped_error_over_the_batch():
    agent = dataclasses.replace(AGENT, c=2.0)
    params = zeros_like_params(agent)
    params["params"]["positive"]["bias"] = jnp.array([5.0, 0.0])
    batch = batch_of(agent, [0.0, 0.5, 1.0, 1.0], [True] * 4)
    log_target = agent.log_targets(params, batch)
    grads, _ = jax.grad(agent.td_loss, has_aux=True)(params, batch, log_target, jnp.float32(1.0))
    # y+ = 5 for all. Targets 2 ln U+ : the floor's, 2 ln 0.5, 0, 0, all more than 1 below.
    np.testing.assert_allclose(grads["params"]["positive"]["bias"], [1.0, 0.0])


def test_gradient_against_finite_differences():
    agent = dataclasses.replace(AGENT, zero_negative=False)
    params = agent.network.init(jax.random.key(1), jnp.zeros(3))
    batch = batch_of(agent, [0.3, -0.2], [False, True])
    batch = dataclasses.replace(batch, obs=jax.random.normal(jax.random.key(2), (2, 3)), action=jnp.array([0, 1]))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    log_target = agent.log_targets(params, batch)
    # The target moves with the online values (Uh = q + beta_reg (U - q)) but lets no gradient through.
    values = jnp.take_along_axis(agent.log_values(params, batch.obs), batch.action[:, None, None], axis=1)[:, 0]
    uh = 0.9 * np.exp(values) + 0.1 * np.exp(log_target)
    target = agent.log_mapping.forward(jnp.log(uh))

    def loss(flat):
        y = jnp.take_along_axis(agent.network.apply(unravel(flat), batch.obs), batch.action[:, None, None], axis=1)
        error = np.abs(np.asarray(target, np.float64) - np.asarray(y[:, 0], np.float64))
        return np.where(error < 1, error**2 / 2, error - 0.5).sum(axis=1).mean()

    grads, _ = jax.grad(agent.td_loss, has_aux=True)(params, batch, log_target, jnp.float32(0.1))
    grads = np.asarray(jax.flatten_util.ravel_pytree(grads)[0])
    step = 1e-2
    for index in np.argsort(-np.abs(grads))[:5]:
        bump = np.zeros(flat.size, np.float32)
        bump[index] = step
        numeric = (loss(flat + bump) - loss(flat - bump)) / (2 * step)
        np.testing.assert_allclose(grads[index], numeric, rtol=2e-2)


def test_bootstraps_both_channels_at_the_action_best_for_both_together():
    # q+ = [1, 0.5], q- = [0.75, floor]: the second action has the larger q+ - q-, though not the larger q+.
    log_values = jnp.log(jnp.array([[[1.0, 0.75], [0.5, 1e-6]]]))
    assert best_action(log_values, None).tolist() == [1]
    assert best_action(log_values, jnp.array([[True, False]])).tolist() == [0]


def test_bootstrapped_value_is_capped():
    params = zeros_like_params(AGENT)
    params["params"]["positive"]["bias"] = jnp.full(2, 10.0)  # q+ = e^20
    log_target = AGENT.log_targets(params, batch_of(AGENT, [1.0], [False]))
    np.testing.assert_allclose(np.exp(log_target[0, 0]), 1 + 0.96 * 25, rtol=1e-5)


@pytest.mark.parametrize("used", [1, 2, 3])
@pytest.mark.parametrize(("released", "floor"), [(False, 0.96**100), (True, 0.96**300)])
def test_floor_with_three_steps(released, floor, used):
    """Also where an episode ends after fewer."""
    agent = dataclasses.replace(AGENT, n_step=3, released_n_step=released)
    log_target = agent.log_targets(zeros_like_params(agent), batch_of(agent, [0.0], [True], discount=0.96**used))
    np.testing.assert_allclose(np.exp(log_target), floor, rtol=1e-4)


@pytest.mark.parametrize("used", [2, 3])
@pytest.mark.parametrize(("released", "cap"), [(False, 25.0), (True, 1 / (1 - 0.96**3))])
def test_cap_with_three_steps(released, cap, used):
    agent = dataclasses.replace(AGENT, n_step=3, released_n_step=released)
    params = zeros_like_params(agent)
    params["params"]["positive"]["bias"] = jnp.full(2, 10.0)  # q+ = e^20
    log_target = agent.log_targets(params, batch_of(agent, [0.0], [False], discount=0.96**used))
    np.testing.assert_allclose(np.exp(log_target[0, 0]), 0.96**used * cap, rtol=1e-4)


def test_rewards_are_split_one_by_one_unless_as_released():
    agent = dataclasses.replace(AGENT, n_step=2)
    # The sum of +1 and then -1, discounted: 0.04 in all, but 1 in the one channel and 0.96 in the other.
    batch = dataclasses.replace(batch_of(agent, [0.0], [True], 0.96**2), reward=jnp.array([[1.0, 0.96]]))
    np.testing.assert_allclose(np.exp(agent.log_targets(zeros_like_params(agent), batch)), [[1.0, 0.96]], rtol=1e-5)
    released = dataclasses.replace(agent, released_n_step=True)
    np.testing.assert_allclose(
        np.exp(released.log_targets(zeros_like_params(agent), batch)), [[0.04, 0.96**200]], rtol=1e-4
    )


def test_what_the_replay_keeps():
    flag = jnp.array([False, True])
    transition = Transition(jnp.zeros((2, 3)), jnp.zeros(2), jnp.array([5.0, -0.5]), ~flag, flag, None, None, None, {})
    kept = AGENT.stored(transition)
    np.testing.assert_array_equal(kept.reward, [[1.0, 0.0], [0.0, 0.5]])
    np.testing.assert_array_equal(kept.terminated, [True, False])
    as_released = dataclasses.replace(AGENT, truncation_is_terminal=True).stored(transition)
    np.testing.assert_array_equal(as_released.terminated, [True, True])


def test_negative_head_starts_at_zero():
    params = AGENT.network.init(jax.random.key(0), jnp.zeros(3))["params"]
    assert not params["negative"]["kernel"].any()
    assert params["positive"]["kernel"].all()
    outputs = AGENT.network.apply({"params": params}, jnp.ones((5, 3)))
    assert outputs.shape == (5, 2, 2)
    np.testing.assert_array_equal(outputs[..., 1], 0.0)


def test_values_out_of_range_are_refused():
    env = rlx.make_env("gymnax/CartPole-v1")
    for wrong in ({"discount": 1.0}, {"beta_reg": 0.0}, {"k": 0}, {"mapping": "none"}, {"replay_size": 1}):
        with pytest.raises(rlx.ConfigurationError, match=next(iter(wrong))):
            rlx.make_agent("logq", env, **wrong).init(jax.random.key(0))


class Outputs:
    """A network whose parameters are its outputs."""

    @staticmethod
    def apply(params, obs):
        return params


@struct.dataclass
class Plain(LogDQN):
    """Without a network."""

    @property
    def network(self):
        return Outputs


def test_gaps_are_reported_whatever_the_values():
    """Values of e^-20 to e^-220 and e^-5 of them: equal gaps in the log domain, 29.7 powers of ten apart in value."""
    agent = Plain(SPEC, discount=0.1, k=200.0)
    log_values = np.linspace(-20.0, -220.0, 6)
    log_values = np.stack([log_values, log_values - 5.0], axis=-1)
    outputs = agent.log_mapping.forward(jnp.stack([log_values, np.full((6, 2), -440.0)], axis=-1))
    batch = batch_of(agent, [0.0] * 6, [True] * 6)

    def deviation(batch):
        return agent.td_loss(outputs, batch, jnp.zeros((6, 2)), jnp.float32(0.1))[1]["log_gap_deviation"]

    np.testing.assert_allclose(deviation(batch), 29.66902, rtol=1e-4)  # 40 sqrt(35 / 12) / ln 10
    # Without a choice in the two outermost states: 40 sqrt(15 / 12) / ln 10.
    mask = jnp.ones((6, 2), bool).at[0, 0].set(False).at[5].set(False)
    np.testing.assert_allclose(deviation(dataclasses.replace(batch, action_mask=mask)), 19.42264, rtol=1e-4)


@struct.dataclass
class Noting(LogDQN):
    """Which reports the step size in value space."""

    def td_loss(self, params, batch, log_target, beta_reg):
        loss, metrics = LogDQN.td_loss(self, params, batch, log_target, beta_reg)
        return loss, metrics | {"beta_reg": beta_reg}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1, 0.1]),
        ({"beta_reg": 1.0}, [1.0, 1.0]),
        ({"beta_reg": 0.3}, [0.3, 0.3]),
        ({"beta_reg": 1.0, "beta_reg_final": 0.2}, [1.0, 0.4]),
    ],
)
def test_the_step_size_in_value_space_changes_only_if_asked_to(settings, expected):
    sizes = {"num_envs": 1, "batch_size": 2, "replay_size": 16, "learning_starts": 0, "hidden_sizes": (2,)}
    agent = Noting(SPEC, **(sizes | settings))
    state, row, no = agent.init(jax.random.key(0)), jnp.zeros((1, 1)), jnp.zeros((1, 1), bool)
    rollout = Transition(jnp.zeros((1, 1, 3)), row.astype(int), row, no, no, jnp.zeros((1, 1, 3)), None, None, {})
    update = jax.jit(lambda clock: agent.update(state, rollout, jax.random.key(0), clock)[1].means["beta_reg"])
    clock, found = Clock.start(8, 1), []
    for step in range(1, 8):
        clock = clock.advance()
        if step in (1, 7):  # with none and three quarters of the steps before it
            found.append(float(update(clock)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if settings == {"beta_reg": 1.0}:
        assert found == [1.0, 1.0]  # to the last bit: what is less leaves some of the old value in
