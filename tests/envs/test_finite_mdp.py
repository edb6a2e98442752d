import numpy as np
import pytest

from rlx.envs import finite_mdp
from rlx.envs.finite_mdp import action_gaps, chain, corridor, gap_chain, gap_deviation, mirrored_chain, q_values


def test_the_chain_s_values_without_slips_are_powers_of_the_discount():
    q = q_values(chain(slip=0.0), 0.5)
    states = np.arange(50)
    np.testing.assert_allclose(q[:, 0], 0.5**states, rtol=1e-12)
    np.testing.assert_allclose(q[:-1, 1], 0.5 ** (states[:-1] + 2), rtol=1e-12)
    assert q[-1, 1] == -1.0


@pytest.mark.parametrize(("discount", "first"), [(0.5, (0.788897, 0.366692)), (0.96, (0.964198, 0.892593))])
def test_the_chain_s_values_with_slips(discount, first):
    q = q_values(chain(), discount)
    np.testing.assert_allclose(q[0], first, atol=1e-6)
    assert (q[:, 0] > q[:, 1]).all()
    np.testing.assert_allclose(q_values(mirrored_chain(), discount), q[::-1, ::-1], rtol=1e-12)
    np.testing.assert_allclose(q_values(chain(reward_scale=8.0), discount), 8.0 * q, rtol=1e-12)


def test_the_chain_s_range_of_gaps():
    gaps = action_gaps(q_values(chain(), 0.5))
    np.testing.assert_allclose([gaps.min(), gaps.max()], [2.4e-14, 0.49], rtol=0.02)
    gaps = action_gaps(q_values(chain(), 0.96))
    np.testing.assert_allclose([gaps.min(), gaps.max()], [2.9e-3, 0.46], rtol=0.02)


@pytest.mark.parametrize(
    ("slip", "deviations"),
    [
        (0.25, {0.1: 9.526, 0.5: 3.989, 0.8: 1.805, 0.9: 1.020, 0.94: 0.668, 0.96: 0.487, 0.99: 0.323}),
        (0.0, {0.1: 14.398, 0.5: 4.338, 0.8: 1.411, 0.9: 0.690, 0.94: 0.438, 0.96: 0.333, 0.99: 0.288}),
    ],
)
def test_the_chain_s_gap_deviations(slip, deviations):
    found = [gap_deviation(action_gaps(q_values(chain(slip=slip), discount))) for discount in deviations]
    np.testing.assert_allclose(found, list(deviations.values()), atol=6e-4)


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_the_gap_chain_s_gaps_are_what_its_exponent_says(discount):
    q = q_values(gap_chain(0.2), discount)
    np.testing.assert_array_equal(q.max(axis=1), 0.0)
    np.testing.assert_allclose(action_gaps(q), 10.0 ** (-0.2 * np.arange(50)), rtol=1e-6)
    np.testing.assert_allclose(gap_deviation(action_gaps(q)), 14.43 * 0.2, rtol=1e-3)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 5.0])
def test_gaps_that_float32_cannot_hold(exponent):
    """Their logarithms are 0 to 49 times the exponent, whose deviation is sqrt((50^2 - 1) / 12)."""
    gaps = action_gaps(q_values(gap_chain(exponent), 0.9))
    np.testing.assert_allclose(gap_deviation(gaps), 14.430870 * exponent, rtol=1e-6)


@pytest.mark.parametrize(("discount", "earned"), [(0.3, 2.4), (0.75, 2.4), (0.8, 0.0), (0.95, 0.0)])
def test_a_lower_discount_is_better_over_the_corridor_s_first_steps(discount, earned):
    mdp = corridor()
    policy = q_values(mdp, discount).argmax(axis=1)
    np.testing.assert_allclose(finite_mdp.horizon_return(mdp, policy, horizon=12)[0], earned, rtol=1e-6)


def test_returns_over_a_horizon_count_slips():
    mdp = chain(num_states=3)
    left = np.zeros(3, int)
    # One step: 1 at the left end unless it slips, -1 at the right end if it does.
    np.testing.assert_allclose(finite_mdp.horizon_return(mdp, left, horizon=1), [0.75, 0.0, -0.25])
    # Two steps: state 0 slips to state 1, which earns nothing in its only step; state 1 reaches an end in either way.
    np.testing.assert_allclose(
        finite_mdp.horizon_return(mdp, left, horizon=2), [0.75, 0.75 * 0.75 - 0.25 * 0.25, -0.25]
    )


def test_tiles():
    features = finite_mdp.tile_features(4, 2)
    assert features.shape == (4, 6)
    active = [set(np.flatnonzero(row)) for row in features]
    assert active == [{0, 3}, {0, 4}, {1, 4}, {1, 5}]
    np.testing.assert_allclose(features[features > 0], 0.707107, rtol=1e-6)
    np.testing.assert_array_equal(finite_mdp.tile_features(7, 1)[:, :7], np.eye(7))


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_tile_codes_overlap_by_distance(width):
    features = finite_mdp.tile_features(50, width)
    distance = np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    np.testing.assert_allclose(features @ features.T, np.maximum(0, 1 - distance / width), atol=1e-12)
