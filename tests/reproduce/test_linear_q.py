"""The linear agents against the paper's formulas: worked numbers, an independent loop over weights, and symmetries."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from papers.logq import _linear_sweeps as linear
from papers.logq._linear import LogQLearning, QLearning
from papers.logq._linear_sweeps import Samples, advance, advance_seeds, init, init_seeds, stack
from papers.logq._numpy_loop import Logarithmic, Regular, draw_sweep, step

from rlx.envs.finite_mdp import chain, mirrored_chain, tile_features
from rlx.errors import ConfigurationError

METHODS = [QLearning, LogQLearning]
TABLE = jnp.eye(1)  # for updates of one pair alone
KEY = jax.random.key(0)
sweep = jax.jit(linear.sweep)
run = jax.jit(advance, static_argnames="num_blocks")


def settings_for(method, num_states, widths=(1, 2, 3), discounts=(0.6, 0.9, 0.8), **options):
    """One run a width, with a discount each."""
    spreads = [linear.spread(tile_features(num_states, width), reach=max(widths) - 1) for width in widths]
    pairs = zip(discounts, spreads, strict=True)
    return stack([method(discount=discount, spread=spread, **options) for discount, spread in pairs])


def as_arrays(samples, num_states):
    """Samples of the independent loop, (state, action, executed), as the agents take them."""
    outcomes = [step(state, executed, num_states) for state, _, executed in samples]
    next_states = [num_states if following is None else following for following, _ in outcomes]
    return Samples(
        state=jnp.array([state for state, _, _ in samples]),
        action=jnp.array([action for _, action, _ in samples]),
        next_state=jnp.array(next_states),
        reward=jnp.array([reward for _, reward in outcomes]),
        terminated=jnp.array(next_states) == num_states,
    )


def mirrored(samples, num_states):
    return dataclasses.replace(
        samples,
        state=num_states - 1 - samples.state,
        action=1 - samples.action,
        next_state=jnp.where(samples.terminated, num_states, num_states - 1 - samples.next_state),
    )


def tables_of(settings):
    return jnp.moveaxis(init(settings).table, 0, -1)


# One update


def test_one_log_update_by_hand():
    agent = LogQLearning(discount=0.5, spread=TABLE, k=2.0)
    halves = jnp.array([0.5, 0.5])
    change = agent.change(jnp.zeros(2), jnp.zeros((2, 2)), jnp.float32(1.0), jnp.array(True), halves)
    np.testing.assert_allclose(change, [0.549306, 0.0], atol=1e-6)
    change = agent.change(jnp.zeros(2), jnp.zeros((2, 2)), jnp.float32(-1.0), jnp.array(True), halves)
    np.testing.assert_allclose(change, [0.0, 0.549306], atol=1e-6)


def test_both_channels_bootstrap_with_the_action_that_is_best_for_the_two():
    agent = LogQLearning(discount=0.5, spread=TABLE, k=2.0)
    next_y = jnp.log(jnp.array([[5.0, 3.0], [4.0, 1.0]]))  # q+ = 1 and 0.5, q- = 0.75 and 0, so a* = 1
    change = agent.change(jnp.zeros(2), next_y, jnp.float32(0.0), jnp.array(False), jnp.ones(2))
    # U = 0.5 * 0.5 and 0.5 * 0; f(0.25) = ln((0.25 + 0.25) / 0.25)
    np.testing.assert_allclose(change, [0.693147, 0.0], atol=1e-6)
    # A tie, Q = 0 - 0 and 0.5 - 0.5, goes to action 1.
    next_y = jnp.log(jnp.array([[1.0, 3.0], [1.0, 3.0]]))
    change = agent.change(jnp.zeros(2), next_y, jnp.float32(0.0), jnp.array(False), jnp.ones(2))
    np.testing.assert_allclose(change, [0.693147, 0.693147], atol=1e-6)


def test_one_regular_update_by_hand():
    agent = QLearning(discount=0.5, spread=TABLE)
    live, dead, half = jnp.array(False), jnp.array(True), jnp.array([0.5])
    next_q = jnp.array([[0.2, 0.8]])
    np.testing.assert_allclose(agent.change(jnp.array([0.1]), next_q, 0.3, live, half), [0.5 * (0.7 - 0.1)], rtol=1e-6)
    np.testing.assert_allclose(agent.change(jnp.array([0.1]), next_q, 0.9, live, half), [0.5 * (1.0 - 0.1)], rtol=1e-6)
    np.testing.assert_allclose(agent.change(jnp.array([0.1]), next_q, -1.0, dead, half), [0.5 * -1.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("beta", "k", "chance", "value"),
    [
        (0.5, 60.0, 0.5, 1 / 3),
        (0.25, 60.0, 0.5, 3 / 7),
        (0.1, 60.0, 0.5, 0.473684),
        (1.0, 10.0, 0.5, 0.0302887),  # (f (1 + f)) ** 0.5 - f with f = 2 ** -10
        (0.1, 10.0, 0.1, 0.0600499),  # of a true 0.1: rare rewards stay underestimated
    ],
)
def test_where_the_expected_update_stops(beta, k, chance, value):
    agent = LogQLearning(discount=0.5, spread=TABLE, k=k)
    change = lambda y, r: agent.change(y, jnp.zeros((2, 2)), r, jnp.array(True), jnp.array([beta, 0.2]))  # noqa: E731

    @jax.jit
    def settle(y):
        expected = lambda _, y: y + chance * change(y, 1.0) + (1 - chance) * change(y, 0.0)  # noqa: E731
        return jax.lax.fori_loop(0, 2_000, expected, y)

    np.testing.assert_allclose(agent.mapping.value(settle(jnp.zeros(2))), [value, 0.0], rtol=2e-4, atol=1e-7)


def test_step_sizes():
    log, regular = LogQLearning(discount=0.5, spread=TABLE), QLearning(discount=0.5, spread=TABLE)
    for number, expected in (
        (0, (1.0, 1.0, 1.0)),
        (5_000, (0.316191, 0.0999770, 0.0316119)),
        (9_999, (0.1, 0.01, 0.001)),
        (50_000, (0.1, 0.01, 0.001)),
    ):
        found = [*log.step_sizes(jnp.int32(number)), *regular.step_sizes(jnp.int32(number))]
        np.testing.assert_allclose(found, expected, rtol=2e-6)


# Sweeps


def test_a_sweep_draws_every_pair_once_and_pays_executed_actions():
    mdp = chain(num_states=40)
    samples = jax.jit(linear.draw)(KEY, mdp)
    assert sorted(zip(samples.state.tolist(), samples.action.tolist(), strict=True)) == [
        (state, action) for state in range(40) for action in (0, 1)
    ]
    assert samples.state.tolist() != sorted(samples.state.tolist())
    executed = (samples.next_state == samples.state + 1) | ((samples.state == 39) & samples.terminated)
    slipped = np.asarray(executed.astype(int) != samples.action)
    assert 8 <= slipped.sum() <= 34  # 20 expected, standard deviation 3.9
    paid = np.where(samples.terminated, np.where(samples.state == 0, 1.0, -1.0), 0.0)
    np.testing.assert_array_equal(samples.reward, paid)


@pytest.mark.parametrize("first", [0, 3_000])
@pytest.mark.parametrize(("method", "reference"), [(QLearning, Regular), (LogQLearning, Logarithmic)])
def test_tables_follow_the_weights_of_a_plain_loop(method, reference, first):
    options = {} if method is QLearning else {"k": 20.0}
    settings = settings_for(method, 6, **options)
    plain = [reference(6, width, discount, **options) for width, discount in ((1, 0.6), (2, 0.9), (3, 0.8))]
    tables, rng = tables_of(settings), np.random.default_rng(3)
    for number in range(first, first + 40):
        samples = draw_sweep(rng, 6)
        tables = sweep(settings, tables, as_arrays(samples, 6), jnp.int32(number))
        for each in plain:
            each.sweep(samples, number)
    for run_number, each in enumerate(plain):
        expected = each.theta.reshape(-1, 2, each.features.shape[1]) @ each.features.T
        np.testing.assert_allclose(tables[..., run_number], expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_mirrored_chain_gives_the_mirrored_tables(method):
    settings, task = settings_for(method, 6), chain(num_states=6)
    tables = mirror_tables = tables_of(settings)
    for number in range(30):
        samples = linear.draw(jax.random.fold_in(KEY, number), task)
        tables = sweep(settings, tables, samples, jnp.int32(number))
        mirror_tables = sweep(settings, mirror_tables, mirrored(samples, 6), jnp.int32(number))
    np.testing.assert_allclose(mirror_tables[:, ::-1, ::-1], tables, rtol=1e-4, atol=1e-4)
    assert abs(tables).max() > 0.1


def test_a_band_of_the_inner_products_is_all_that_counts():
    narrow = settings_for(LogQLearning, 6)
    wide = dataclasses.replace(narrow, spread=jnp.stack([linear.spread(tile_features(6, w)) for w in (1, 2, 3)]))
    assert (narrow.spread.shape, wide.spread.shape) == ((3, 6, 5), (3, 6, 6))
    samples = linear.draw(KEY, chain(num_states=6))
    found = [sweep(settings, tables_of(settings), samples, jnp.int32(0)) for settings in (narrow, wide)]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigurationError, match="reach"):
        linear.spread(tile_features(6, 3), reach=1)


# Runs


@pytest.mark.parametrize("method", METHODS)
def test_runs_in_chunks_are_the_whole_run(method):
    settings, task, left = settings_for(method, 6), chain(num_states=6), jnp.zeros(6, int)
    whole, progress = run(KEY, task, left, settings, init(settings), num_blocks=3)
    state, first = run(KEY, task, left, settings, init(settings), num_blocks=1)
    state, rest = run(KEY, task, left, settings, state, num_blocks=2)
    assert int(whole.sweeps) == int(state.sweeps) == 300
    np.testing.assert_array_equal(whole.table, state.table)
    np.testing.assert_array_equal(progress.success, np.append(first.success, rest.success, axis=1))


def test_a_block_is_a_hundred_sweeps_and_its_check_follows_the_first():
    settings, task, left = settings_for(LogQLearning, 6), chain(num_states=6), jnp.zeros(6, int)
    state, first = run(KEY, task, left, settings, init(settings), num_blocks=1)
    _, second = run(KEY, task, left, settings, state, num_blocks=1)
    tables, draw = tables_of(settings), jax.jit(linear.draw)
    success = jax.jit(jax.vmap(linear.succeeds, (0, -1, None)))
    after = []
    for number in range(101):
        tables = sweep(settings, tables, draw(jax.random.fold_in(KEY, number), task), jnp.int32(number))
        after.append(tables)
    np.testing.assert_allclose(state.table, jnp.moveaxis(after[99], -1, 0), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(first.success[:, 0], success(settings, after[0], left))
    np.testing.assert_array_equal(second.success[:, 0], success(settings, after[100], left))


@pytest.mark.parametrize("method", METHODS)
def test_success_is_the_optimal_action_everywhere(method):
    settings = method(discount=0.5, spread=jnp.eye(3))
    # What is learned of actions 0 and 1; with a logarithm Q = q+ - q- grows with y+.
    table = jnp.zeros((settings.num_channels, 2, 3)).at[0].set(jnp.array([[0.3, 0.2, 0.5], [0.1, 0.1, 0.4]]))
    left, right = jnp.zeros(3, int), jnp.ones(3, int)
    succeeds = linear.succeeds
    assert succeeds(settings, table, left)
    assert not succeeds(settings, table, right)
    assert succeeds(settings, table[:, ::-1], right)
    assert not succeeds(settings, table.at[0, 0, 2].set(0.35), left)
    tie = jnp.zeros_like(table)
    assert succeeds(settings, tie, left)
    assert not succeeds(settings, tie, right)
    assert not succeeds(settings, table.at[0, 1, 1].set(jnp.nan), left)


@pytest.mark.parametrize(("task", "optimal"), [(chain(), 0), (mirrored_chain(), 1)])
def test_nothing_underflows_at_the_lowest_discount(task, optimal):
    settings = settings_for(LogQLearning, 50, widths=(1, 2), discounts=(0.1, 0.1))
    np.testing.assert_allclose(settings.mapping.log_initial, -460.517, rtol=1e-6)
    state, progress = run(KEY, task, jnp.full(50, optimal), settings, init(settings), num_blocks=1)
    assert np.isfinite(state.table).all()
    assert progress.finite.all()
    values = jax.vmap(LogQLearning.channel_values)(settings, state.table)[0]
    assert 0.5 < values.max() <= 1.0 + 1e-3


def test_what_diverges_is_reported_and_never_a_success():
    settings = settings_for(QLearning, 20, widths=(3,), discounts=(0.99,), max_value=1e38, alpha=(2.5, 2.5))
    left = jnp.zeros(20, int)
    _, progress = run(KEY, chain(num_states=20), left, settings, init(settings), num_blocks=3)
    assert not progress.finite.any()
    assert not progress.success[:, 2].any()


def test_the_regular_method_is_linear_in_rewards():
    left = jnp.zeros(6, int)
    settings = settings_for(QLearning, 6)
    state, progress = run(KEY, chain(num_states=6), left, settings, init(settings), num_blocks=8)
    scaled = settings_for(QLearning, 6, max_value=128.0)
    scaled_chain = chain(num_states=6, reward_scale=128.0)
    scaled_state, scaled_progress = run(KEY, scaled_chain, left, scaled, init(scaled), num_blocks=8)
    np.testing.assert_array_equal(scaled_state.table, 128.0 * state.table)
    np.testing.assert_array_equal(scaled_progress.success, progress.success)
    assert 0 < progress.success.sum() < progress.success.size


def test_the_log_method_learns_values():
    settings = settings_for(LogQLearning, 6, widths=(1,), discounts=(0.5,), k=30.0, decay_sweeps=400.0)
    state, _ = run(KEY, chain(num_states=6, slip=0.0), jnp.zeros(6, int), settings, init(settings), num_blocks=8)
    plus, minus = jax.vmap(LogQLearning.channel_values)(settings, state.table)[0]
    np.testing.assert_allclose(plus[0], 0.5 ** np.arange(6), rtol=1e-3)  # q*(s, left) = g^s
    np.testing.assert_allclose(plus[1, :-1], 0.5 ** (np.arange(5) + 2), rtol=1e-3)  # q*(s, right) = g^(s + 2)
    np.testing.assert_allclose(minus[1, -1], 1.0, rtol=1e-3)
    assert np.abs(minus).sum() - minus[1, -1] < 1e-3


def test_at_a_low_discount_only_the_log_method_solves_the_chain():
    # The paper's claim in small, with step sizes that decay ten times as fast.
    keys, left = jax.vmap(jax.random.key)(jnp.arange(2)), jnp.zeros(50, int)
    late = {}
    for method in METHODS:
        settings = settings_for(method, 50, widths=(1, 2), discounts=(0.5, 0.5), decay_sweeps=1_000.0)
        _, progress = advance_seeds(keys, chain(), left, settings, init_seeds(settings, 2), num_blocks=15)
        assert progress.finite.all()
        late[method] = progress.success[:, :, -5:].mean(axis=(0, 2))
    assert late[LogQLearning].min() > 0.8
    assert late[QLearning][1] < 0.2


def test_seeds_run_as_they_do_alone(compilations):
    settings, task, left = settings_for(LogQLearning, 6), chain(num_states=6), jnp.zeros(6, int)
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    states, progress = advance_seeds(keys, task, left, settings, init_seeds(settings, 3), num_blocks=2)
    assert states.table.shape == (3, 3, 2, 2, 6)
    assert progress.success.shape == (3, 3, 2)
    for seed in range(3):
        alone, _ = run(keys[seed], task, left, settings, init(settings), num_blocks=2)
        np.testing.assert_allclose(states.table[seed], alone.table, rtol=1e-5, atol=1e-5)
    assert np.abs(states.table[0] - states.table[1]).max() > 1e-3
    other = settings_for(LogQLearning, 6, widths=(3, 1, 2), discounts=(0.5, 0.3, 0.7), k=40.0, beta_reg=(1.0, 0.5))
    states = init_seeds(other, 3)
    with compilations() as compiled:
        advance_seeds(keys, task, left, other, states, num_blocks=2)
    assert compiled == []
