import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.log_mapping import LogMapping, average, combined_q, fitting_k, log_gap, safe_log, split_reward

SMALL = LogMapping(discount=0.5, k=2.0)  # floor 0.25
DEEP_POSITIVE = LogMapping(0.96, 100.0, c=0.5, initial_value=1.0, kind="floor")
DEEP_NEGATIVE = LogMapping(0.96, 100.0, c=0.5, initial_value=0.0, kind="floor")


def test_the_offset_mapping_and_its_inverse():
    np.testing.assert_allclose(SMALL.forward(jnp.zeros(())), 1.386294, rtol=1e-6)  # d, the y of ln 1
    np.testing.assert_allclose(SMALL.forward(SMALL.log_value(0.0)), 0.0, atol=1e-7)
    np.testing.assert_allclose(SMALL.forward(SMALL.log_value(1.0)), 1.609438, rtol=1e-6)
    np.testing.assert_allclose(SMALL.value(jnp.log(2.0)), 0.25, rtol=1e-6)
    np.testing.assert_allclose(SMALL.inverse(jnp.log(2.0)), np.log(0.5), rtol=1e-6)


def test_the_initial_value_is_where_y_is_zero():
    mapping = LogMapping(0.5, 2.0, c=3.0, initial_value=0.75)
    np.testing.assert_allclose(mapping.log_initial, 0.0, atol=1e-7)  # d = 0
    np.testing.assert_allclose(mapping.value(jnp.zeros(())), 0.75, rtol=1e-6)
    np.testing.assert_allclose(mapping.value(jnp.float32(3.0)), np.e - 0.25, rtol=1e-6)  # c scales


def test_one_update_of_both_channels():
    plus, minus = split_reward(jnp.float32(1.0))
    learned = []
    for reward in (plus, minus):
        target = SMALL.log_target(reward, SMALL.log_initial, True, 0.5, 1.0)
        learned.append(0.5 * SMALL.forward(average(SMALL.log_initial, target, 0.5)))
    np.testing.assert_allclose(learned, [0.549306, 0.0], atol=1e-6)
    np.testing.assert_allclose(SMALL.value(learned[0]), 0.183013, rtol=1e-5)


def test_the_combined_value_chooses_the_bootstrap_of_both_channels():
    plus, minus = SMALL.inverse(jnp.log(jnp.array([[5.0, 3.0], [4.0, 1.0]])))
    np.testing.assert_allclose(jnp.exp(plus) - jnp.exp(minus), [0.25, 0.5], rtol=1e-5)
    q = combined_q(plus, minus)
    assert q.argmax() == 1
    np.testing.assert_allclose(q[1] / q[0], 2.0, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(jnp.array([plus[1], minus[1]])) - 0.25, [0.5, 0.0], atol=1e-6)
    np.testing.assert_array_equal(combined_q(plus[:, None], minus[:, None], axis=0)[:, 0], q)


@pytest.mark.parametrize(
    ("reward", "expected", "loss"),
    [
        (0.0, [-0.0517439, 0.0], 0.00133872),
        (1.0, [0.0, 0.0], 0.0),
        (-1.0, [-0.0517439, 0.960484], 0.462604),
    ],
)
def test_terminal_targets_of_the_deep_agent(reward, expected, loss):
    targets = deep_targets(reward, terminated=True)
    np.testing.assert_allclose(targets, expected, atol=2e-6)
    np.testing.assert_allclose(sum(0.5 * t**2 for t in targets), loss, atol=2e-6)


def test_the_floor_holds_where_the_deep_agent_bootstraps():
    np.testing.assert_allclose(deep_targets(0.0, terminated=False), [-0.00200401, 0.0], atol=2e-6)
    bootstrap = DEEP_POSITIVE.log_target(0.0, jnp.zeros(()), False, 0.96, 25.0)
    np.testing.assert_allclose(jnp.exp(bootstrap), 0.96, rtol=1e-6)


def deep_targets(reward, terminated):
    """What both heads of a new network learn from one transition."""
    targets = []
    for mapping, part in zip((DEEP_POSITIVE, DEEP_NEGATIVE), split_reward(jnp.float32(reward)), strict=True):
        log_value = mapping.inverse(jnp.zeros(()))
        target = mapping.log_target(part, log_value, terminated, 0.96, 25.0)
        targets.append(float(mapping.forward(average(log_value, target, 0.1))))
    return targets


def test_the_deep_agent_cuts_the_bootstrap_and_the_linear_one_the_target():
    deep = DEEP_POSITIVE.log_target(1.0, jnp.log(1000.0), False, 0.96, 25.0)
    np.testing.assert_allclose(jnp.exp(deep), 1.0 + 0.96 * 25.0, rtol=1e-5)
    linear = SMALL.log_target(1.0, jnp.log(1000.0), False, 0.5, 1.0)
    np.testing.assert_allclose(jnp.exp(linear) - 0.25, 1.0, rtol=1e-5)


def test_the_floor_of_a_target_of_several_steps():
    nothing = DEEP_NEGATIVE.log_target(0.0, jnp.zeros(()), True, 0.96**3, 25.0, log_floor=100.0 * jnp.log(0.96**3))
    np.testing.assert_allclose(nothing, 300 * np.log(0.96), rtol=1e-5)
    nothing = DEEP_NEGATIVE.log_target(0.0, jnp.zeros(()), True, 0.96**3, 25.0)
    np.testing.assert_allclose(nothing, 100 * np.log(0.96), rtol=1e-5)


@pytest.mark.parametrize("terminated", [False, True])
def test_the_log_domain_agrees_with_value_space(terminated):
    discount, k, beta = 0.9, 30, 0.3
    floor = discount**k
    mapping = LogMapping(discount, float(k), c=2.0)
    for value, following, reward in ((0.0, 0.0, 0.0), (0.2, 0.7, 0.0), (0.01, 0.002, 0.4), (0.9, 0.95, 0.5)):
        target = min(reward + (0.0 if terminated else discount * following), 1.0)
        expected = 2.0 * np.log((value + beta * (target - value) + floor) / floor)
        log_target = mapping.log_target(reward, mapping.log_value(following), terminated, discount, 1.0)
        learned = mapping.forward(average(mapping.log_value(value), log_target, beta))
        np.testing.assert_allclose(learned, expected, rtol=1e-5, atol=1e-5)


def test_nothing_underflows_at_the_paper_s_lowest_discount():
    mapping = LogMapping(0.1, 200.0)
    np.testing.assert_allclose(mapping.log_initial, -460.517, rtol=1e-6)
    target = mapping.log_target(0.0, mapping.log_initial, False, 0.1, 1.0)
    np.testing.assert_allclose(mapping.forward(average(mapping.log_initial, target, 0.1)), 0.0, atol=1e-4)
    tiny = combined_q(jnp.array([-440.0, -441.0]), jnp.array([-460.0, -460.0]))
    np.testing.assert_allclose(tiny, [1.0, np.exp(-1.0)], rtol=1e-5)


def test_a_full_step_in_value_space_is_the_target_itself():
    np.testing.assert_array_equal(average(jnp.float32(-3.0), jnp.float32(-400.0), 1.0), -400.0)


def test_safe_log_at_zero():
    assert safe_log(0.0) == -jnp.inf
    assert jax.grad(safe_log)(0.0) == 0.0
    np.testing.assert_allclose(safe_log(2.0), 0.693147, rtol=1e-6)


def test_fitting_k_clears_the_delay_and_keeps_the_floor_small():
    assert fitting_k(0.96, 10) == 100  # ln 0.017 / ln 0.96 = 99.8
    assert fitting_k(0.99, 10) == 406  # 405.4
    assert fitting_k(0.1, 12) == 12


def test_action_gaps_where_values_leave_float32():
    """Of values ``e^L`` and ``e^(L - 5)`` the gap is ``e^L (1 - e^-5)``; the other channel is far below."""
    log_values = jnp.linspace(-20.0, -220.0, 6)
    gap = log_gap(jnp.stack([log_values - 5.0, log_values], axis=-1), jnp.full((6, 2), -400.0))
    np.testing.assert_allclose(gap, log_values + np.log1p(-np.exp(-5.0)), rtol=1e-6)


@pytest.mark.parametrize(
    ("positive", "negative", "gap"),
    [
        # Q = 3, 1, -2 and 0: in this order, whatever loses lies far above or below.
        ([4.0, 2.0, 1.0, 1.0], [1.0, 1.0, 3.0, 1.0], 2.0),
        ([1.0, 2.0, 1.0, 1.0], [5.0, 9.0, 3.0, 8.0], 2.0),  # -4, -7, -2 and -7
        ([1.0, 1e-6, 1e-6, 1e-6], [1e-6, 1e-6, 1e-6, 1e-6], 1.0 - 1e-6),  # nearly 1, and three zeros
        ([1e-6, 1e-30, 1e-28, 1e-6], [1.0, 1e-38, 1e-38, 1.0], 1e-28 - 1e-30),  # best and second far below what loses
    ],
)
@pytest.mark.parametrize("scale", [0.0, -150.0])
def test_the_gap_is_that_of_the_best_two(positive, negative, gap, scale):
    """Of ``q+ - q-``, for values times ``e^-150`` as for the values."""
    logs = [jnp.asarray(np.log(channel) + scale, jnp.float32) for channel in (positive, negative)]
    np.testing.assert_allclose(log_gap(*logs), np.log(gap) + scale, rtol=1e-5, atol=1e-5)
    # An action more that is not valid is none.
    logs = [jnp.append(channel, 50.0 - 60.0 * index) for index, channel in enumerate(logs)]
    mask = jnp.array([True] * len(positive) + [False])
    np.testing.assert_allclose(log_gap(*logs, mask), np.log(gap) + scale, rtol=1e-5, atol=1e-5)


def test_states_without_a_choice_have_no_gap():
    """A tie counts as the rounding of the values."""
    two = jnp.array([[-3.0, -3.0], [-3.0, -4.0], [-3.0, -4.0]])
    mask = jnp.array([[True, True], [True, False], [False, False]])
    gap = log_gap(two, jnp.full((3, 2), -30.0), mask)
    assert np.isinf(gap[1:]).all()
    assert np.finfo(np.float32).eps * np.exp(-3) / 4 < np.exp(gap[0]) < 4 * np.finfo(np.float32).eps * np.exp(-3)
    assert log_gap(two[:, :1], two[:, :1]).tolist() == [np.inf] * 3
