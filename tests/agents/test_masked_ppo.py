import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import rlx
from rlx import cli
from rlx.agents.masked_ppo import MaskedPPO
from rlx.errors import ConfigurationError
from rlx.learning import on_policy
from rlx.learning.on_policy import Batch
from rlx.networks import running_statistics
from rlx.networks.conv import MAP_TRUNKS
from rlx.ops import invalid_actions
from rlx.runner import loop
from rlx.runner.collect import collect, set_scene
from rlx.types import Clock, Discrete, EnvSpec, MultiDiscrete, Timestep, Transition

KEY = jax.random.key(0)
CLOCK = Clock.start(1_000, 64)
NVEC = (2, 3, 2)
# The second row's first component has no valid choice, its last one only.
MASK = np.array([[1, 1, 1, 0, 1, 1, 1], [0, 0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0, 1]], bool)
ACTION = np.array([[1, 0, 0], [1, 1, 0], [0, 2, 1]])


class Logits:
    """A network whose parameters are its outputs."""

    @staticmethod
    def apply(params, obs):
        return jnp.broadcast_to(params, (*obs.shape[:-1], *params.shape[1:])) if params.shape[0] == 1 else params


class First:
    """A network that gives the observation's first number; it has no parameters."""

    @staticmethod
    def apply(params, obs):
        return obs[..., 0]


@struct.dataclass
class Plain(MaskedPPO):
    """Without networks: parameters are logits, observations are values."""

    @property
    def actor(self):
        return Logits

    @property
    def critic(self):
        return First


def plain(space, **hyperparameters):
    spec = EnvSpec("toy", (1,), "float32", space, 10, True)
    return Plain(spec, num_envs=2, rollout_length=2, normalise_observations=False, **hyperparameters)


def batch_of(action, mask, log_prob, advantage, value=None, old_value=None, target=None):
    zeros = jnp.zeros(len(action))
    return Batch(
        obs=(zeros if value is None else jnp.asarray(value))[:, None],
        action=jnp.asarray(action),
        action_mask=None if mask is None else jnp.asarray(mask),
        log_prob=jnp.asarray(log_prob, jnp.float32),
        value=zeros if old_value is None else jnp.asarray(old_value),
        advantage=jnp.asarray(advantage, jnp.float32),
        value_target=zeros if target is None else jnp.asarray(target),
    )


def timestep(mask, obs=1):
    ends = jnp.zeros(len(mask), bool)
    blank = jnp.zeros((len(mask), obs))
    return Timestep(blank, jnp.zeros(len(mask)), ends, ends, blank, mask, mask, jnp.zeros(len(mask), jnp.int32), {})


# The paper's example: four equal logits, the third choice forbidden, action 0 of advantage 1.
TOY_MASK = np.array([[True, True, False, True]])


@pytest.mark.parametrize(
    ("regime", "log_prob", "gradient"),
    [
        ("masking", np.log(1 / 3), [2 / 3, -1 / 3, 0.0, -1 / 3]),
        ("naive", np.log(1 / 4), [0.75, -0.25, -0.25, -0.25]),
        ("penalty", np.log(1 / 4), [0.75, -0.25, -0.25, -0.25]),
    ],
)
def test_toy_gradients(regime, log_prob, gradient):
    agent = plain(Discrete(4), regime=regime, advantages="batch", entropy_coefficient=0.0)
    mask = TOY_MASK if regime == "masking" else None
    batch = batch_of([[0]], mask, [[log_prob]], [1.0])
    found = jax.grad(lambda params: -agent.loss({"actor": params, "critic": None}, batch)[0])(jnp.ones((1, 4)))
    np.testing.assert_allclose(found[0], gradient, rtol=1e-6)
    if regime == "masking":
        assert found[0, 2] == 0.0


@pytest.mark.parametrize(
    ("regime", "frequencies", "log_prob"),
    [
        ("masking", [1 / 3, 1 / 3, 0, 1 / 3], -1.098612),
        ("naive", [1 / 3, 1 / 3, 0, 1 / 3], -1.386294),
        ("penalty", [1 / 4, 1 / 4, 1 / 4, 1 / 4], -1.386294),
    ],
)
def test_who_acts_and_what_is_remembered(regime, frequencies, log_prob):
    agent, draws = plain(Discrete(4), regime=regime), 20_000
    state = agent_state(agent, jnp.ones((1, 4)))
    action, extras = agent.act(state, timestep(jnp.repeat(TOY_MASK, draws, 0)), KEY, CLOCK)
    assert action.shape == (draws,)
    counts = np.bincount(action, minlength=4)
    assert (counts[np.array(frequencies) == 0] == 0).all()
    np.testing.assert_allclose(counts / draws, frequencies, atol=0.015)
    np.testing.assert_allclose(extras["log_prob"], np.full((draws, 1), log_prob), rtol=1e-5)


def agent_state(agent, logits):
    """A state whose actor gives ``logits``."""
    sizes = {"num_envs": 2, "rollout_length": 8, "num_minibatches": 2, "hidden_sizes": (2,)}
    small = MaskedPPO(agent.spec, normalise_observations=False, **sizes)
    return dataclasses.replace(small.init(KEY), params={"actor": logits, "critic": None})


def test_evaluation_with_the_mask_and_with_it_removed():
    logits, mask = jnp.array([[1.0, 5.0, 3.0, 0.0]]), jnp.array([[True, False, True, True]])
    for agent, best in (
        (plain(Discrete(4)), 2),
        (plain(Discrete(4), mask_evaluation=False), 1),
        (plain(Discrete(4), regime="naive"), 2),
        (plain(Discrete(4), regime="penalty"), 1),
    ):
        assert agent.policy(agent_state(agent, logits), timestep(mask), KEY, "greedy").tolist() == [best]
    sampled = plain(Discrete(4), mask_evaluation=False)
    actions = sampled.policy(agent_state(sampled, logits), timestep(jnp.repeat(mask, 1000, 0)), KEY, "sample")
    assert 800 < np.sum(actions == 1) < 900  # e^5 / (e + e^5 + e^3 + 1) = 0.86


def random_case():
    rng = np.random.default_rng(0)
    logits, old = rng.normal(size=(2, 3, sum(NVEC))).astype(np.float32)
    return logits, 0.3 * old - 0.7, rng.normal(size=3).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)


def log_softmax(x):
    return x - np.log(np.exp(x).sum())


def loss_by_hand(agent, logits, mask, old_log_prob, advantage, value, old_value, target):
    """Specification of the loss, component by component, in double precision."""
    cuts, eps = np.cumsum(NVEC)[:-1], 0.2
    policies, values, entropies = [], [], []
    for b in range(3):
        ratios, new_log_probs, exact = [], [], []
        for d, (part, valid) in enumerate(zip(np.split(logits[b], cuts), np.split(mask[b], cuts), strict=True)):
            new, entropy = 0.0, 0.0
            if valid.any():
                log_probs = log_softmax(part[valid].astype(np.float64))
                new = dict(zip(np.flatnonzero(valid), log_probs, strict=True))[ACTION[b, d]]
                entropy = -(np.exp(log_probs) * log_probs).sum()
            new_log_probs.append(new)
            exact.append(entropy)
            ratios.append(np.exp(new - old_log_prob[b, d]))
        ratios = [np.prod(ratios)] if agent.ratio == "joint" else ratios
        clipped = 1.2 * advantage[b] if advantage[b] > 0 else 0.8 * advantage[b]
        policies.append(np.mean([-min(ratio * advantage[b], clipped) for ratio in ratios]))
        taken = -np.exp(new_log_probs) * new_log_probs
        terms = exact if agent.entropy == "exact" else taken
        entropies.append(np.sum(terms) if agent.ratio == "joint" else np.mean(terms))
        near = old_value[b] + np.clip(value[b] - old_value[b], -eps, eps)
        values.append(0.5 * max((value[b] - target[b]) ** 2, (near - target[b]) ** 2))
    sign = -1 if agent.entropy == "exact" else 1
    return np.mean(policies) + 0.7 * np.mean(values) + sign * 0.3 * np.mean(entropies)


@pytest.mark.parametrize("entropy", ["exact", "taken"])
@pytest.mark.parametrize("ratio", ["joint", "component"])
def test_loss_against_a_loop_over_components(ratio, entropy):
    agent = plain(
        MultiDiscrete(NVEC), ratio=ratio, entropy=entropy, advantages="batch", clip_value_loss=True,
        value_coefficient=0.7, entropy_coefficient=0.3,
    )  # fmt: skip
    logits, old, advantage, (value, old_value, target) = random_case()
    log_prob = old[:, :3]
    batch = batch_of(ACTION, MASK, log_prob, advantage, value, old_value, target)
    loss, metrics = agent.loss({"actor": jnp.asarray(logits), "critic": None}, batch)
    expected = loss_by_hand(agent, logits, MASK, log_prob, advantage, value, old_value, target)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    new = [loss_free_log_prob(logits[b], MASK[b], ACTION[b]) for b in range(3)]
    np.testing.assert_allclose(metrics["log_prob_drop"], np.mean(log_prob - np.array(new)), rtol=1e-5)


def loss_free_log_prob(logits, mask, action):
    """Log-probabilities of the components of one action."""
    parts = zip(np.split(logits, np.cumsum(NVEC)[:-1]), np.split(mask, np.cumsum(NVEC)[:-1]), action, strict=True)
    return [np.log(np.exp(x[a]) / np.exp(x[m]).sum()) if m.any() else 0.0 for x, m, a in parts]


@pytest.mark.parametrize("ratio", ["joint", "component"])
@pytest.mark.parametrize("entropy", ["exact", "taken"])
def test_invalid_logits_play_no_role_under_masking(ratio, entropy):
    agent = plain(MultiDiscrete(NVEC), ratio=ratio, entropy=entropy)
    logits, old, advantage, _ = random_case()

    @jax.jit
    def loss_and_gradient(logits, mask):
        batch = batch_of(ACTION, mask, old[:, :3], advantage)
        return jax.value_and_grad(lambda x: agent.loss({"actor": x, "critic": None}, batch)[0])(logits)

    shifted = np.where(MASK, logits, logits + 3.7).astype(np.float32)
    (loss, gradient), (same_loss, same_gradient) = loss_and_gradient(logits, MASK), loss_and_gradient(shifted, MASK)
    assert loss == same_loss
    np.testing.assert_array_equal(gradient, same_gradient)
    np.testing.assert_array_equal(gradient[~MASK], 0.0)
    assert np.abs(gradient[MASK]).max() > 0.01
    # A component without a valid choice has no gradient at all.
    np.testing.assert_array_equal(gradient[1, :2], [0.0, 0.0])
    free, gradient = loss_and_gradient(logits, None)
    assert abs(free - loss_and_gradient(shifted, None)[0]) > 1e-3
    assert (np.abs(gradient[~MASK]) > 1e-6).all()


def test_sums_of_gradients_over_the_valid_choices():
    """Zero under masking; under naive as much as the invalid ones lose."""
    logits = np.array([0.5, -1.0, 2.0, 0.3], np.float32)
    valid = np.array([True, True, False, True])

    def gradient(regime):
        agent = plain(Discrete(4), regime=regime)
        mask = agent.learning_mask(timestep(valid[None]))
        log_prob = lambda x: agent.policy_of(x[None], mask).component_log_prob(jnp.array([[3]])).sum()  # noqa: E731
        return jax.grad(log_prob)(logits)

    np.testing.assert_allclose(gradient("masking")[valid].sum(), 0.0, atol=1e-6)
    # The third's share of e^0.5 + e^-1 + e^2 + e^0.3.
    np.testing.assert_allclose(gradient("naive")[valid].sum(), 7.389056 / 10.755515, rtol=1e-5)


def rollout(reward, value, next_value, truncated, info=None):
    """Transitions ``[2, 1]`` whose observations are values."""
    column = lambda x, dtype=jnp.float32: jnp.asarray(x, dtype)[:, None]  # noqa: E731
    return Transition(
        obs=column(value)[..., None],
        action=jnp.zeros((2, 1), jnp.int32),
        reward=column(reward),
        terminated=jnp.zeros((2, 1), bool),
        truncated=column(truncated, bool),
        next_obs=column(next_value)[..., None],
        action_mask=jnp.ones((2, 1, 4), bool),
        next_action_mask=jnp.ones((2, 1, 4), bool),
        extras={"log_prob": jnp.zeros((2, 1, 1))},
        info=info or {},
    )


def test_advantages_at_a_time_limit():
    steps = rollout([1.0, 0.0], [0.5, 0.2], [0.2, 7.0], [False, True])
    state = agent_state(plain(Discrete(4)), jnp.ones((1, 4)))
    shared = {"discount": 0.99, "trace_decay": 0.97}
    terminal = plain(Discrete(4), truncation_is_terminal=True, **shared).make_batch(state, steps)
    np.testing.assert_allclose(terminal.advantage, [0.50594, -0.2], rtol=1e-5)
    np.testing.assert_allclose(terminal.value_target, [1.00594, 0.0], atol=1e-6)
    bootstrapped = plain(Discrete(4), **shared).make_batch(state, steps)
    np.testing.assert_allclose(bootstrapped.advantage, [0.698 + 0.9603 * 6.73, 6.73], rtol=1e-5)
    # Two numbers are half the square root of 2 deviations from their mean, if the deviation is a sample's.
    whole = plain(Discrete(4), truncation_is_terminal=True, advantages="batch", **shared).make_batch(state, steps)
    np.testing.assert_allclose(whole.advantage, [0.70710678, -0.70710678], rtol=1e-5)
    np.testing.assert_allclose(whole.value_target, [1.00594, 0.0], atol=1e-6)


def test_statistics_that_follow_every_step():
    """Each observation is normalised by the ones up to it; values of what follows are those it was acted on with."""
    seen = np.array([3.0, 5.0, -1.0, 2.0, 2.0, 7.0], np.float32)  # one before the rollout, four in it, one after
    agent = plain(Discrete(4), discount=0.5, trace_decay=0.0)
    agent = dataclasses.replace(agent, normalise_observations=True, step_statistics=True, num_envs=1)
    state = dataclasses.replace(
        agent_state(agent, jnp.ones((1, 4))),
        statistics=running_statistics.update(running_statistics.init((1,)), jnp.full((1, 1), seen[0])),
    )
    by_hand = [(x - seen[: i + 1].mean()) / np.sqrt(seen[: i + 1].var()) for i, x in enumerate(seen[1:-1], start=1)]
    memory, normalised = agent.needs.memory.start(state, 1), []
    for x in seen[1:-1]:
        step = timestep(jnp.ones((1, 4), bool))
        step = dataclasses.replace(step, obs=jnp.full((1, 1), x))
        memory = agent.needs.memory.observe(state, memory, step)
        step = dataclasses.replace(step, memory=memory)
        normalised.append(agent.act(state, step, KEY, CLOCK)[1]["normalised_obs"])
    np.testing.assert_allclose(np.ravel(normalised), by_hand, rtol=1e-5)
    column = lambda x: jnp.asarray(x, jnp.float32).reshape(4, 1)  # noqa: E731
    no = jnp.zeros((4, 1), bool)
    steps = Transition(
        obs=column(seen[1:-1])[..., None],
        action=jnp.zeros((4, 1), jnp.int32),
        reward=column([0.0, 0.0, 0.0, 0.0]),
        terminated=no,
        truncated=no.at[1].set(True),
        next_obs=column([-1.0, 9.0, 2.0, 7.0])[..., None],  # the second leads to a time limit and not to the third
        action_mask=None,
        next_action_mask=None,
        extras={"log_prob": jnp.zeros((4, 1, 1)), "normalised_obs": jnp.stack(normalised)},
    )
    batch = agent.make_batch(state, steps)
    np.testing.assert_array_equal(batch.obs, np.stack(normalised)[:, 0])
    np.testing.assert_array_equal(batch.value, np.ravel(normalised))
    after = (np.array([9.0, 7.0]) - seen[:-1].mean()) / np.sqrt(seen[:-1].var())
    following = np.array([by_hand[1], after[0], by_hand[3], after[1]])
    np.testing.assert_allclose(batch.advantage, 0.5 * following - by_hand, rtol=1e-4)
    np.testing.assert_allclose(memory.mean.value, [seen[:-1].mean()], rtol=1e-6)
    np.testing.assert_allclose(on_policy.updated(state.statistics, steps.obs).mean.value, [seen[:-1].mean()], rtol=1e-6)


def test_statistics_may_begin_as_in_the_released_code():
    """With a count of 1e-4, a mean of 0 and a variance of 1; the observation is taken in before it is normalised."""
    spec = EnvSpec("toy", (1,), "float32", Discrete(4), 10, True)
    sizes = {"num_envs": 1, "rollout_length": 8, "num_minibatches": 2, "hidden_sizes": (2,)}
    agent = MaskedPPO(spec, step_statistics=True, statistics_start=1e-4, **sizes)
    state = agent.init(KEY)
    memory = agent.needs.memory.start(state, 1)
    mean, variance, count = 0.0, 1.0, 1e-4
    for x in (3.0, 5.0, -1.0):
        step = dataclasses.replace(timestep(jnp.ones((1, 4), bool)), obs=jnp.full((1, 1), x))
        memory = agent.needs.memory.observe(state, memory, step)
        total = count + 1
        variance = (variance * count + (x - mean) ** 2 * count / total) / total
        mean, count = mean + (x - mean) / total, total
        found = on_policy.normalised(memory, step.obs)
        np.testing.assert_allclose(found, [[(x - mean) / np.sqrt(variance + 1e-8)]], rtol=3e-3)


def test_statistics_at_every_step_leave_the_first_ratios_at_one():
    agent, env, state = started("masked_ppo", "rlx/probe-masked", step_statistics=True, restarts=True)
    _, steps = collect(agent, env, state.agent, state.scene, KEY, CLOCK)
    batch = agent.make_batch(state.agent, steps)
    logits = agent.actor.apply(state.agent.params["actor"], batch.obs)
    log_prob = agent.policy_of(logits, batch.action_mask).component_log_prob(batch.action)
    np.testing.assert_allclose(log_prob, batch.log_prob, atol=1e-6)
    # Under the statistics before or after the rollout they would be others.
    for statistics in (state.agent.statistics, on_policy.updated(state.agent.statistics, steps.obs)):
        obs = running_statistics.normalise(statistics, steps.obs).reshape(batch.obs.shape)
        assert np.abs(obs - batch.obs).max() > 0.1


def test_episodes_cut_by_the_end_of_a_batch_are_not_recorded():
    """Of a reward of 1 a step for 5 steps; a batch of 16 has three episodes and a rest of one step."""
    for restarts in (True, False):
        agent, env, _ = started("masked_ppo", "rlx/probe-truncated", restarts=restarts)
        state = loop.init(agent, env, KEY, CLOCK, solved_return=5.0)
        step = jax.jit(lambda state, agent=agent, env=env: loop.iterate(agent, env, state))
        state = step(step(state))
        episodes = state.scene.episodes
        assert episodes.milestones.ended == 4 * 6
        assert episodes.milestones.recent.tolist() == [5.0] * 10
        # The rest of the first batch goes on into the second only where episodes do.
        assert episodes.running.value.tolist() == [1.0 if restarts else 2.0] * 4


def test_the_penalty_is_learned_from_and_not_logged():
    info = {
        "invalid_null": jnp.array([[1], [0]]),
        "invalid_busy": jnp.array([[True], [False]]),
        "else": jnp.ones((2, 1)),
    }
    steps = rollout([1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [False, True], info)
    state, shared = agent_state(plain(Discrete(4)), jnp.ones((1, 4))), {"invalid_penalty": -0.1, "trace_decay": 0.0}
    # With values of 0 and one-step advantages, these are the rewards.
    penalised = plain(Discrete(4), regime="penalty", **shared).make_batch(state, steps)
    np.testing.assert_allclose(penalised.advantage, [0.8, 2.0], rtol=1e-6)
    masked = plain(Discrete(4), regime="masking", **shared).make_batch(state, steps)
    np.testing.assert_allclose(masked.advantage, [1.0, 2.0], rtol=1e-6)


def test_a_penalty_without_counters_is_refused():
    env = rlx.make_env("rlx/probe-masked")
    agent = rlx.make_agent("masked_ppo", env, regime="penalty", num_envs=2, rollout_length=8, num_minibatches=2)
    with pytest.raises(ConfigurationError, match="probe-masked reports none; let its info have invalid_"):
        jax.eval_shape(lambda: loop.init(agent, env, KEY, CLOCK))
    with pytest.raises(ConfigurationError, match="out of range"):
        rlx.make_agent("masked_ppo", env, invalid_penalty=0.1)


def test_the_released_codes_preset():
    config = cli.compose_config(["agent=masked_ppo_paper", "env=rlx/microrts-10x10"])
    env = rlx.make_env(**config.env)
    agent = rlx.make_agent(spec=env, **config.agent)
    assert (agent.num_envs, agent.rollout_length, agent.num_epochs, agent.num_minibatches) == (1, 2048, 10, 8)
    assert (agent.discount, agent.trace_decay, agent.clip_epsilon) == (0.99, 0.97, 0.2)
    assert (agent.learning_rate, agent.adam_epsilon, agent.max_grad_norm) == (3e-4, 1e-8, 0.5)
    assert (agent.entropy_coefficient, agent.value_coefficient) == (0.01, 1.0)
    assert (agent.restarts, agent.step_statistics, agent.truncation_is_terminal) == (True, True, True)
    assert agent.statistics_start == 1e-4
    for update, share in ((0, 0.995904), (243, 0.000576), (244, 0.0)):
        clock = dataclasses.replace(
            Clock.start(102_400, 2048), iterations=jnp.int32(update + 1)
        )  # this event is counted
        np.testing.assert_allclose(agent.annealing(clock), share, atol=1e-6)
    standard = rlx.make_agent("masked_ppo", env)
    for update, share in ((0, 1.0), (5, 0.5), (20, 0.0)):
        clock = dataclasses.replace(Clock.start(1_000, 100), iterations=jnp.int32(update + 1))
        np.testing.assert_allclose(standard.annealing(clock), share, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "features", "logits"), [(4, 144, 61), (10, 1152, 229), (16, 4608, 541), (24, 800, 1181)]
)
def test_the_papers_networks(side, features, logits):
    spec = EnvSpec("map", (side, side, 27), "bool", MultiDiscrete((side**2, 6, 4, 4, 4, 4, 7, side**2)), 200, True)
    agent = MaskedPPO(spec)
    obs = jnp.zeros((5, *spec.obs_shape), bool)
    for network, outputs in ((agent.actor, (5, logits)), (agent.critic, (5,))):
        found, params = jax.eval_shape(lambda network=network: network.init_with_output(KEY, obs))
        assert found.shape == outputs
        assert params["params"]["Dense_0"]["kernel"].shape == (features, 128)
        assert sum(name.startswith("kernel") for name in params["params"]) == len(MAP_TRUNKS[spec.obs_shape])


def started(name, env_name, **hyperparameters):
    env = rlx.make_env(env_name)
    agent = rlx.make_agent(name, env, num_envs=4, rollout_length=16, num_minibatches=2, **hyperparameters)
    return agent, env, loop.init(agent, env, KEY, CLOCK)


def test_without_masks_it_is_ppo():
    results = []
    for name in ("ppo", "masked_ppo"):
        agent, env, state = started(name, "rlx/probe-factored")
        step = jax.jit(lambda state, agent=agent, env=env: loop.iterate(agent, env, state))
        results.append(step(dataclasses.replace(step(state), clock=CLOCK.advance())))
    theirs, ours = results
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), theirs.agent.params, ours.agent.params)
    for name, total in theirs.updates.means.items():
        np.testing.assert_allclose(ours.updates.means[name].value, total.value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_last_minibatchs_divergence():
    """With the whole batch as the only minibatch, it is that of the parameters before the last of the epochs."""
    one, _, state = started("masked_ppo", "rlx/probe-masked", num_epochs=1)
    one = dataclasses.replace(one, num_minibatches=1)
    two = dataclasses.replace(one, num_epochs=2)
    steps = random_rollout()
    after, _ = jax.jit(one.update)(state.agent, steps, KEY, CLOCK.advance())
    _, metrics = jax.jit(two.update)(state.agent, steps, KEY, CLOCK.advance())
    batch = two.make_batch(state.agent, steps)
    logits = two.actor.apply(after.params["actor"], batch.obs)
    drop = batch.log_prob - two.policy_of(logits, batch.action_mask).component_log_prob(batch.action)
    np.testing.assert_allclose(metrics.means["last_approx_kl"], drop.mean(), rtol=1e-4, atol=1e-6)
    assert abs(metrics.means["last_approx_kl"] - metrics.means["log_prob_drop"]) > 1e-4


def random_rollout():
    rng = np.random.default_rng(1)
    obs = jnp.asarray(rng.normal(size=(16, 4, 1)), jnp.float32)
    mask = jnp.broadcast_to(jnp.array([True, True, False]), (16, 4, 3))
    ends = jnp.asarray(rng.random((16, 4)) < 0.3)
    reward = jnp.asarray(rng.normal(size=(16, 4)), jnp.float32)
    action = jnp.asarray(rng.integers(0, 2, size=(16, 4)), jnp.int32)
    extras = {"log_prob": jnp.full((16, 4, 1), -0.7)}
    return Transition(obs, action, reward, ends, jnp.zeros_like(ends), obs, mask, mask, extras)


def test_counters_of_microrts_are_zero_under_masking_only():
    """No command goes to an empty or foreign cell as long as some unit can be commanded."""
    env = rlx.make_env("rlx/microrts-4x4")
    for regime in ("masking", "penalty"):
        agent = rlx.make_agent("masked_ppo", env, regime=regime, num_envs=4, rollout_length=16)
        play = lambda state, agent=agent: collect(  # noqa: E731
            agent, env, state, set_scene(agent, env, state, KEY), KEY, CLOCK
        )[1]
        counters = invalid_actions.counters(jax.jit(play)(agent.init(KEY)).info)
        assert set(counters) == {"invalid_null", "invalid_busy", "invalid_owner"}
        for name in ("invalid_null", "invalid_owner"):
            assert (counters[name].sum() > 0) == (regime == "penalty")
