"""REValueD, DecQN and BDQ: their losses in the numbers of the specification's oracles, and whole updates in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import Adam, assert_trees_close, doubles, gradient
from flax import struct

import rlx
from rlx.agents.bdq import BDQ
from rlx.agents.decqn import DecQN
from rlx.agents.revalued import REValueD
from rlx.learning import factored
from rlx.replay import replay as replays
from rlx.replay import rules
from rlx.replay.n_step import NStepBatch
from rlx.replay.replay import Sample
from rlx.types import Clock, EnvSpec, MultiDiscrete, Timestep, Transition

KEY = jax.random.key(0)


class Table:
    """Critics whose parameters are the utilities ``[K, S, N, n]`` of each state; observations are unit vectors."""

    @staticmethod
    def apply(params, obs):
        return jnp.einsum("bs,ksij->kbij", obs, params)


@struct.dataclass
class TableREValueD(REValueD):
    critics = Table


@struct.dataclass
class TableDecQN(DecQN):
    critics = Table


@struct.dataclass
class TableBDQ(BDQ):
    critic = Table


def spec(nvec=(3, 3)):
    return EnvSpec("toy", (2,), "float32", MultiDiscrete(nvec), None)


def sample(action, reward=0.2, discount=0.9, terminated=False, weight=1.0, steps=1):
    """One transition from state 0 to state 1."""
    one = lambda x, dtype=jnp.float32: jnp.array([x], dtype)  # noqa: E731
    batch = NStepBatch(
        obs=jnp.array([[1.0, 0.0]]),
        action=jnp.array([action]),
        reward=one(reward),
        discount=one(discount),
        steps=one(steps, jnp.int32),
        terminated=one(terminated, bool),
        next_obs=jnp.array([[0.0, 1.0]]),
        action_mask=None,
        next_action_mask=None,
        extras={},
    )
    return Sample(batch, one(weight), jnp.zeros(1, jnp.int32))


def table(*members):
    """Utilities of state 0 and of state 1 for each member."""
    return jnp.array(members, jnp.float32)


ZEROS = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("bootstrap", "terminated", "target"),
    [("mean", False, 0.65), ("mean_of_max", False, 1.1), ("redq", False, 1.1), ("mean", True, 0.2)],
)
def test_the_target_of_two_critics(bootstrap, terminated, target):
    """One component of two choices; target utilities (1, 0) and (0, 1), reward 0.2, discount 0.9."""
    params = table([[[0.0, 0.0]], [[1.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 1.0]]])
    agent = TableREValueD(spec((2,)), num_critics=2, bootstrap=bootstrap)
    batch = sample([0], terminated=terminated).batch
    found = agent.value_target(jnp.zeros_like(params), agent.critics.apply(params, batch.next_obs), batch, KEY)
    np.testing.assert_allclose(found, [target], rtol=1e-6)


def test_the_loss_is_a_mean_over_critics_and_its_gradient_shared_by_components():
    """Errors 0.5 and -3 of two critics."""
    params = table([[[0.5, 0, 0], [0.5, 0, 0]], ZEROS], [[[-3.0, 0, 0], [-3.0, 0, 0]], ZEROS])
    agent = TableREValueD(spec(), num_critics=2, regularise=False)
    drawn = sample([0, 0], reward=0.0, terminated=True)
    (loss, (errors, _)), grads = jax.value_and_grad(agent.loss, has_aux=True)(params, params, drawn, KEY)
    np.testing.assert_allclose(errors[:, 0], [0.5, -3.0])
    np.testing.assert_allclose(loss, 1.3125)
    expected = np.zeros(params.shape)
    expected[0, 0, :, 0], expected[1, 0, :, 0] = 0.125, -0.25
    np.testing.assert_allclose(grads, expected, atol=1e-7)
    assert agent.loss(params, params, sample([0, 0], reward=0.0, terminated=True, weight=0.5), KEY)[0] == 1.3125 / 2


def test_the_regulariser_weighs_half():
    params = table([[[2.0, 0, 0], [0.0, 0, 0]], ZEROS])
    target = table([[[1.0, 0, 0], [1.0, 0, 0]], ZEROS])
    agent = TableREValueD(spec(), num_critics=1)
    drawn = sample([0, 0], reward=1.0, terminated=True)
    (loss, (_, metrics)), grads = jax.value_and_grad(agent.loss, has_aux=True)(params, target, drawn, KEY)
    np.testing.assert_allclose(loss, 0.3160603, rtol=1e-6)
    np.testing.assert_allclose([metrics["td_loss"], metrics["regulariser_loss"]], [0.0, 0.6321206], rtol=1e-6)
    np.testing.assert_allclose(grads[0, 0, :, 0], [0.3160603, -0.3160603], rtol=1e-6)
    assert dataclasses.replace(agent, regularise=False).loss(params, target, drawn, KEY)[0] == 0


@pytest.mark.parametrize(("weight", "online", "target"), [(0.5, 5.6958, 4.7437), (0.0, 100.0, None)])
def test_the_regulariser_limits_how_fast_values_grow(weight, online, target):
    """One utility, descent by 0.1, a target that follows by 0.005, a thousand updates towards 1000."""
    agent = TableREValueD(spec((1,)), num_critics=1, regulariser=weight)
    drawn = sample([0], reward=1_000.0, terminated=True)

    def update(_, pair):
        params, target_params = pair
        grads = jax.grad(agent.loss, has_aux=True)(params, target_params, drawn, KEY)[0]
        params = params - 0.1 * grads
        return params, 0.995 * target_params + 0.005 * params

    start = jnp.zeros((1, 2, 1, 1))
    params, target_params = jax.lax.fori_loop(0, 1_000, update, (start, start))
    np.testing.assert_allclose(params[0, 0, 0, 0], online, rtol=1e-4)
    if target is not None:
        np.testing.assert_allclose(target_params[0, 0, 0, 0], target, rtol=1e-4)


def test_bdq_regresses_every_branch_and_decqn_their_mean():
    """Branches worth 2 and 4 and a target of 3."""
    params = table([[[2.0, 0, 0], [4.0, 0, 0]], ZEROS])
    drawn = sample([0, 0], reward=3.0, terminated=True)
    loss, (errors, _) = TableBDQ(spec()).branch_loss(params, params, drawn)
    assert loss == 1.0
    assert errors[:, 0].tolist() == [-1.0, 1.0]
    assert TableDecQN(spec()).loss(params, params, drawn)[0] == 0.0


def test_twins_choose_for_themselves_and_are_valued_by_both():
    """The first twin prefers choice 0 and the second choice 1; the targets' means of these are 2 and 5."""
    online = table([ZEROS, [[1.0, 0, 0]] * 2], [ZEROS, [[0.0, 1, 0]] * 2])
    target = table([ZEROS, [[1.0, 4, 0]] * 2], [ZEROS, [[3.0, 6, 0]] * 2])
    agent = TableDecQN(spec(), version="2022")
    loss, (errors, _) = agent.loss(online, target, sample([0, 0], reward=0.0, discount=0.1))
    np.testing.assert_allclose(errors[:, 0], [-0.2, -0.5], rtol=1e-6)
    np.testing.assert_allclose(loss, 0.5 * (0.04 + 0.25), rtol=1e-6)  # a sum over twins
    state = factored.FactoredState(online, target, None, None, jnp.int32(0))
    assert agent.utilities(state, timestep(np.array([[0.0, 1.0]])))[0, 0].tolist() == [1.0, 1.0, 0.0]


def timestep(obs):
    number = len(obs)
    blank = jnp.zeros(number)
    flag = jnp.zeros(number, bool)
    return Timestep(jnp.asarray(obs), blank, flag, flag, jnp.asarray(obs), None, None, jnp.zeros(number, jnp.int32), {})


@pytest.mark.parametrize(("components", "probability"), [(6, 0.9878788), (38, 0.9980564)])
def test_the_first_release_explores_far_less_than_its_epsilon(components, probability):
    agent = TableDecQN(spec((3,) * components), version="2022", epsilon_final=0.1)
    params = jnp.zeros((2, 2, components, 3)).at[..., 1].set(1.0)
    state = factored.FactoredState(params, params, None, None, jnp.int32(0))
    seen = timestep(np.tile([[1.0, 0.0]], (20_000, 1)))
    action, _ = agent.act(state, seen, KEY, Clock.start(100, 1))
    np.testing.assert_allclose(np.mean(action == 1), probability, atol=1e-3)


def test_one_critic_acts_in_all_components_and_each_gets_its_turn():
    """Critic ``k`` prefers choice ``k`` in both components; their mean prefers choice 2."""
    params = jnp.zeros((3, 2, 2, 3)).at[jnp.arange(3), :, :, jnp.arange(3)].set(1.0).at[2, :, :, 2].add(0.5)
    agent = TableREValueD(spec(), num_critics=3, learning_starts=0, epsilon_final=0.0, epsilon_initial=0.0)
    state = factored.FactoredState(params, params, None, None, jnp.int32(0))
    seen = timestep(np.tile([[1.0, 0.0]], (9_000, 1)))
    action, extras = agent.act(state, seen, KEY, Clock.start(100, 1))
    assert (action[:, 0] == action[:, 1]).all()
    np.testing.assert_allclose(np.bincount(action[:, 0]) / 9_000, [1 / 3] * 3, atol=0.02)
    assert not extras["explored"].any()
    assert set(np.unique(agent.policy(state, seen, KEY, "sample"))) == {2}


def test_actions_before_learning_starts_are_random_and_do_not_lower_epsilon():
    env = rlx.make_env("rlx/factor-regulator", num_components=2)
    agent = rlx.make_agent("revalued", env, num_critics=1, hidden_size=2, learning_starts=8, num_envs=4, replay_size=64)
    state = agent.init(KEY)
    seen = timestep(np.zeros((4, 4), np.float32))
    for iterations, explored in ((0, 0), (1, 0), (2, 4)):
        clock = dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(iterations))
        assert agent.act(state, seen, KEY, clock)[1]["explored"].sum() == explored


@pytest.mark.parametrize(("truncated", "weights"), [(True, [1.5, 0.0, 1.5]), (False, [1.0, 1.0, 1.0])])
def test_windows_that_a_time_limit_cut_count_nothing(truncated, weights):
    """Three windows of three steps: a whole one, one that ends after two steps, one that terminates after one."""
    agent = REValueD(spec(), drop_cut_windows=True)
    batch = dataclasses.replace(
        sample([0, 0]).batch, steps=jnp.array([3, 2, 1]), terminated=jnp.array([False, not truncated, True])
    )
    np.testing.assert_allclose(factored.weights(agent, Sample(batch, jnp.ones(3), None)), weights)
    plain = dataclasses.replace(agent, drop_cut_windows=False)
    np.testing.assert_allclose(factored.weights(plain, Sample(batch, jnp.ones(3), None)), 1.0)


def test_priorities_are_the_critics_mean_error_to_a_power():
    agent = REValueD(spec(), prioritise=True, priority_exponent=0.6, importance_exponent=0.2)
    errors = jnp.array([[-1.5, 0.1, 3.0], [0.5, -0.3, -3.0]])
    found = factored.priorities(agent, errors)
    np.testing.assert_allclose(found / found.sum(), [0.3017581, 0.1148886, 0.5833534], rtol=1e-5)
    assert factored.priorities(REValueD(spec()), errors) is None


def test_more_critics_than_there_are_is_refused():
    env = rlx.make_env("rlx/factor-regulator", num_components=2)
    with pytest.raises(rlx.ConfigurationError, match="bootstrap=redq needs 2 critics; raise num_critics = 1"):
        rlx.make_agent("revalued", env, num_critics=1, bootstrap="redq").init(KEY)


# Whole updates -------------------------------------------------------------------------------------------------------

NVEC = (3, 2)
SMALL = {
    "num_envs": 4, "batch_size": 3, "replay_size": 16, "learning_starts": 0, "n_step": 1, "discount": 0.9,
    "learning_rate": 0.05, "hidden_size": 3, "epsilon_decay": 0.5,
}  # fmt: skip


def utilities(params, obs):
    """Critics in float64, ``[K, B, N, n]`` with minus infinity beyond a component's choices."""
    p = params["params"]
    layer = lambda x, name: np.einsum("kbf,kfo->kbo", x, p[name]["kernel"]) + p[name]["bias"][:, None]  # noqa: E731
    hidden = layer(np.broadcast_to(obs, (len(p["input"]["bias"]), *obs.shape)), "input")
    hidden = hidden + np.maximum(layer(np.maximum(layer(hidden, "residual_1"), 0), "residual_2"), 0)
    hidden = (hidden - hidden.mean(-1, keepdims=True)) / np.sqrt(hidden.var(-1, keepdims=True) + 1e-5)
    hidden = hidden * p["norm_scale"][:, None] + p["norm_offset"][:, None]
    if "head" in p:
        flat = layer(hidden, "head")
    else:
        value = layer(np.maximum(layer(hidden, "value_hidden"), 0), "value")
        advantages = [layer(np.maximum(layer(hidden, f"branch_{i}_hidden"), 0), f"branch_{i}") for i in range(2)]
        flat = np.concatenate([value + a - a.mean(-1, keepdims=True) for a in advantages], -1)
    first, second = flat[..., :3], flat[..., 3:]
    return np.stack([first, np.pad(second, [(0, 0)] * 2 + [(0, 1)], constant_values=-np.inf)], axis=-2)


def picked(u, action):
    """Utilities of the choices taken, ``[K, B, N]``."""
    return np.take_along_axis(u, np.broadcast_to(action, (len(u), *action.shape))[..., None], -1)[..., 0]


def huber(x):
    return np.where(np.abs(x) <= 1, 0.5 * x**2, np.abs(x) - 0.5)


def revalued_loss(params, target, batch):
    y = batch.reward + batch.discount * ~batch.terminated * utilities(target, batch.next_obs).mean(0).max(-1).mean(-1)
    taken, anchor = (picked(utilities(p, batch.obs), batch.action) for p in (params, target))
    weight = 1 - np.exp(-np.abs(y[:, None] - taken))
    return y, taken, weight, anchor


def loss_of(name, params, target, batch, frozen):
    """The loss as a function of online parameters alone; ``frozen`` are those at which nothing else moves."""
    y, _, weight, anchor = revalued_loss(frozen, target, batch)
    if name != "revalued":
        choice = utilities(frozen, batch.next_obs)[0].argmax(-1)
        value = picked(utilities(target, batch.next_obs), choice)[0].mean(-1)
        y = batch.reward + batch.discount * ~batch.terminated * value
    taken = picked(utilities(params, batch.obs), batch.action)
    if name == "bdq":
        return np.mean((taken[0] - y[:, None]) ** 2)
    loss = np.mean(huber(taken.mean(-1) - y))
    return loss + (0.5 * np.mean(weight * (anchor - taken) ** 2) if name == "revalued" else 0.0)


def rollout_of(rng):
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    action = jnp.stack([jnp.asarray(rng.integers(0, n, size=(1, 4))) for n in NVEC], -1).astype(jnp.int32)
    flag = jnp.asarray(rng.random((1, 4)) < 0.3)
    explored = {"explored": jnp.array([[True, False, True, True]])}
    return Transition(draw(1, 4, 2), action, draw(1, 4), flag, ~flag & False, draw(1, 4, 2), None, None, explored)


@pytest.mark.parametrize("name", ["revalued", "decqn"])
def test_three_updates_equal_a_transcription_in_float64(name):
    own = {"num_critics": 2} if name == "revalued" else {}
    agent = {"revalued": REValueD, "decqn": DecQN}[name](spec(NVEC), **SMALL, **own)
    rng = np.random.default_rng(1)
    state = agent.init(jax.random.key(3))
    params, target = doubles(state.params), doubles(state.target_params)
    adam = Adam(params, 40.0, 1e-8)
    update = jax.jit(agent.update)
    for event in range(1, 4):
        key, rollout = jax.random.key(event), rollout_of(rng)
        clock = dataclasses.replace(Clock.start(100, 4), iterations=jnp.int32(event))
        state, metrics = update(state, rollout, key, clock)
        drawn = replays.sample(
            state.replay, event, jax.random.split(jax.random.split(key, 1)[0])[0], 3, rules.Uniform(), 0.9
        )
        batch = jax.tree.map(np.asarray, drawn.batch)
        loss = lambda p, frozen=params, target=target, batch=batch: loss_of(name, p, target, batch, frozen)  # noqa: E731
        np.testing.assert_allclose(metrics.means["loss"], loss(params), rtol=1e-4)
        params = adam.step(params, gradient(loss, params), 0.05)
        target = jax.tree.map(lambda t, p: 0.995 * t + 0.005 * p, target, params)
    assert_trees_close(state.params, params, rtol=2e-3, atol=2e-4)
    assert_trees_close(state.target_params, target, rtol=2e-3, atol=2e-4)
    assert int(state.num_explored) == 9


def test_bdqs_gradient_against_finite_differences():
    """Of its heads; the torso gets a third of it."""
    agent = BDQ(spec(NVEC), **SMALL, branch_size=3)
    params, target = (agent.critic.init(jax.random.key(seed), jnp.zeros(2)) for seed in (1, 2))
    rng = np.random.default_rng(2)
    flat = jax.tree.map(lambda leaf: leaf[0], rollout_of(rng))
    batch = NStepBatch(
        flat.obs, flat.action, flat.reward, jnp.full(4, 0.9), flat.terminated, flat.next_obs, None, None, {},
        jnp.ones(4, jnp.int32),
    )  # fmt: skip
    grads = jax.grad(agent.branch_loss, has_aux=True)(params, target, Sample(batch, jnp.ones(4), None))[0]
    batch = jax.tree.map(np.asarray, batch)
    frozen = doubles(params)
    expected = gradient(lambda p: loss_of("bdq", p, doubles(target), batch, frozen), params)["params"]
    heads = {name for name in expected if name.startswith(("value", "branch"))}
    scaled = {name: leaf if name in heads else jax.tree.map(lambda x: x / 3, leaf) for name, leaf in expected.items()}
    assert_trees_close(grads["params"], scaled, rtol=1e-3, atol=1e-5)
