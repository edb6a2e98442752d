import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops import target_difference as td

KEY = jax.random.key(0)
NUMBER = 40_000


def test_the_closed_forms_of_two_components_of_three():
    np.testing.assert_allclose(td.of_joint_values((3, 3)), (0.8, 0.0327273), rtol=1e-5)
    np.testing.assert_allclose(td.of_decomposed_values((3, 3)), (0.5, 0.075), rtol=1e-5)
    np.testing.assert_allclose(td.of_decomposed_values((3, 3), num_critics=10), (0.5, 0.0075), rtol=1e-5)
    np.testing.assert_allclose(td.of_decomposed_values((3, 3), bound=2.0, discount=0.5), (0.5, 0.075), rtol=1e-5)
    # (0 + 1/2) / 2, and (1/3 + 0.15) / 4: a component of one choice is plain noise.
    np.testing.assert_allclose(td.of_decomposed_values((1, 3)), (0.25, 0.1208333), rtol=1e-5)


@pytest.mark.parametrize("nvec", [(3, 3), (3,) * 6, (2, 5, 3)])
@pytest.mark.parametrize("num_critics", [1, 10])
def test_draws_agree_with_them_within_five_standard_errors(nvec, num_critics):
    expected = td.of_decomposed_values(nvec, 1.5, 0.9, num_critics)
    found = td.measured(td.draw_decomposed(KEY, nvec, 1.5, 0.9, NUMBER, num_critics))
    assert abs(found.mean - expected.mean) < 5 * (expected.variance / NUMBER) ** 0.5
    assert abs(found.variance - expected.variance) < 5 * expected.variance * (2 / NUMBER) ** 0.5
    joint, expected = td.measured(td.draw_joint(KEY, nvec, 1.5, 0.9, NUMBER)), td.of_joint_values(nvec, 1.5, 0.9)
    assert abs(joint.mean - expected.mean) < 5 * (expected.variance / NUMBER) ** 0.5


def test_the_best_action_of_the_mean_has_less_bias_and_a_little_more_variance():
    """Six components of three, ten critics: 0.155 in place of 0.5, and 0.0030 in place of 0.0025."""
    found = td.measured(td.draw_decomposed(KEY, (3,) * 6, 1.0, 1.0, NUMBER, 10, bootstrap="mean"))
    np.testing.assert_allclose(found, (0.155, 0.0030), rtol=0.03)


def test_what_is_seen_while_learning_of_two_critics_by_hand():
    utilities = jnp.array([[[[1.0, 0.0], [0.0, 4.0]]], [[[0.0, 3.0], [0.0, 8.0]]]])
    found = td.observed(utilities, jnp.ones((2, 2), bool))
    # Their best are worth 2.5 and 5.5 to them, and 3.75 to their mean; about the first component they disagree.
    assert {name: value.tolist() for name, value in found.items()} == {
        "target_variance": 4.5,
        "target_bias": 0.25,
        "disagreement": [0.5, 0.0],
    }
    # Without its second choice the first component has one: 1 and 0 for it, and nothing to disagree about.
    found = td.observed(utilities, jnp.array([[True, False], [True, True]]))
    assert {name: value.tolist() for name, value in found.items()} == {
        "target_variance": 1.125,
        "target_bias": 0.0,
        "disagreement": [0.0, 0.0],
    }


def test_what_is_seen_of_pure_errors_are_the_closed_forms():
    """One critic's variance, and what is left of the bias of 0.5 where ten are averaged first, 0.155."""
    errors = jax.random.uniform(KEY, (10, NUMBER, 6, 3), minval=-1.0, maxval=1.0)
    found = td.observed(errors, jnp.ones((6, 3), bool))
    np.testing.assert_allclose(found["target_variance"], td.of_decomposed_values((3,) * 6).variance, rtol=0.02)
    np.testing.assert_allclose(found["target_bias"], 0.5 - 0.155, rtol=0.02)
