import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.imagination import imagined_advantages

REWARDS, VALUES = jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0, 4.0])
NEVER_ENDS = jnp.ones(2)


@pytest.mark.parametrize(("horizon", "trace_decay", "expected"), [(2, 0.5, 0.97), (1, 0.5, -1.1), (2, 1.0, 3.04)])
def test_worked_by_hand(horizon, trace_decay, expected):
    """TD errors -1.1 and 4.6; -1.1 + 0.45 x 4.6; and 1 + 0.9 x 2 + 0.81 x 4 - 3."""
    advantages = imagined_advantages(REWARDS, NEVER_ENDS, VALUES, horizon, 0.9, trace_decay)
    assert advantages[0] == pytest.approx(expected, abs=1e-6)


def test_each_step_has_what_is_left_of_the_horizon():
    rng = np.random.default_rng(0)
    rewards, goes_on, values = rng.normal(size=5), rng.uniform(size=5), rng.normal(size=6)
    for horizon in range(1, 6):
        found = imagined_advantages(*map(jnp.array, (rewards, goes_on, values)), horizon, 0.9, 0.8)
        expected = np.zeros(5)
        for start in range(horizon):
            weight = 1.0
            for step in range(start, horizon):
                delta = rewards[step] + 0.9 * goes_on[step] * values[step + 1] - values[step]
                expected[start] += weight * delta
                weight *= 0.9 * 0.8 * goes_on[step]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_beyond_an_end_counts():
    """Physics may become anything after a termination."""
    rewards, values = jnp.array([1.0, jnp.nan, 5.0]), jnp.array([3.0, jnp.nan, jnp.nan, 4.0])
    advantages = imagined_advantages(rewards, jnp.array([0.0, 1.0, 1.0]), values, 3, 0.9, 0.5)
    assert advantages[0] == -2.0


def test_the_horizon_may_be_traced():
    traced = jax.jit(lambda horizon: imagined_advantages(REWARDS, NEVER_ENDS, VALUES, horizon, 0.9, 0.5))
    assert traced(1)[0] == pytest.approx(-1.1)
    assert traced(2)[0] == pytest.approx(0.97)
