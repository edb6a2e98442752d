import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.lasso import adaptive_lasso, least_squares, sweep


@pytest.fixture
def doubles():
    with jax.enable_x64(True):
        yield


def test_a_sweep_inverts_and_can_be_undone(doubles):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(8, 4))
    s = jnp.asarray(factor.T @ factor)
    swept = sweep(sweep(s, 2), 0)
    block = np.ix_([0, 2], [0, 2])
    np.testing.assert_allclose(swept[block], -np.linalg.inv(np.asarray(s)[block]), rtol=1e-10)
    slopes = np.linalg.solve(np.asarray(s)[block], np.asarray(s)[np.ix_([0, 2], [1, 3])])
    np.testing.assert_allclose(swept[np.ix_([0, 2], [1, 3])], slopes, rtol=1e-10)
    np.testing.assert_allclose(sweep(sweep(swept, 0, back=True), 2, back=True), s, rtol=1e-10)


def test_least_squares_of_some_columns_and_of_collinear_ones(doubles):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 5))
    x[:, 3] = x[:, 0] - 2 * x[:, 1]
    s, usable = jnp.asarray(x.T @ x / 50), jnp.array([True, True, False, True, False])
    expected = np.linalg.lstsq(x[:, :2], x[:, 4])[0]
    np.testing.assert_allclose(least_squares(s, s[:, 4], usable), [*expected, 0, 0, 0], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("variant", ["lingam", "orig"])
def test_what_has_no_effect_is_pruned(variant):
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, size=(2_000, 6)).astype(np.float32)
    x[:, 2] = 3 * x[:, 0] - 0.5 * x[:, 4] + 0.3 * x[:, 2]
    row = np.asarray(jax.jit(lambda x: adaptive_lasso(x, 2, jnp.ones(6, bool), variant))(x))
    np.testing.assert_allclose(row[[0, 4]], [3.0, -0.5], atol=0.02)
    assert (row[[1, 2, 3, 5]] == 0).all()
    # A predictor that is left out leaves what it explains.
    assert adaptive_lasso(jnp.asarray(x), 2, jnp.array([False, True, True, True, True, True]), variant)[0] == 0


def test_constant_and_doubled_columns_are_harmless():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, size=(500, 4)).astype(np.float32)
    x[:, 3] = x[:, 0] + x[:, 1] + 0.1 * x[:, 3]
    wide = np.column_stack([np.full(500, 0.1), x[:, :3], x[:, 0], x[:, 3]]).astype(np.float32)
    for variant in ("lingam", "orig"):
        row = adaptive_lasso(jnp.asarray(wide), 5, jnp.ones(6, bool), variant)
        np.testing.assert_allclose(row, [0, 1, 1, 0, 0, 0], atol=0.02)
    flat = jnp.asarray(wide).at[:, 5].set(2.0)
    assert (adaptive_lasso(flat, 5, jnp.ones(6, bool)) == 0).all()
    assert np.isfinite(adaptive_lasso(flat, 0, jnp.ones(6, bool))).all()
