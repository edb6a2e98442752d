import jax.numpy as jnp
import numpy as np

from rlx.ops import invalid_actions

INFO = {
    "invalid_null": jnp.array([1, 0, 1, 0]),
    "invalid_busy": jnp.array([True, True, True, False]),
    "else": jnp.ones(4),
}
# Components of 2 and 1 choices: in the second step the first one has none, in the third the second.
MASK = jnp.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1]], bool)


def test_counters_are_told_by_their_names():
    found = invalid_actions.counters(INFO)
    assert set(found) == {"invalid_null", "invalid_busy"}
    np.testing.assert_array_equal(found["invalid_busy"], [1.0, 1.0, 1.0, 0.0])


def test_rates_with_and_without_a_choice():
    found = {name: float(rate) for name, rate in invalid_actions.rates(INFO, MASK, (2, 1)).items()}
    expected = {"invalid_null": 0.5, "invalid_busy": 0.75, "avoidable_null": 0.25, "avoidable_busy": 0.25}
    assert found == expected


def test_without_masks_nothing_is_known_to_be_avoidable():
    assert set(invalid_actions.rates(INFO, None, (3,))) == {"invalid_null", "invalid_busy"}
    assert invalid_actions.rates({}, MASK, (2, 1)) == {}
