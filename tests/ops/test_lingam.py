"""DirectLiNGAM in closed forms, and beside numbers of the published packages."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.ops import lingam


@pytest.fixture
def doubles():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("samples", "entropy"),
    [
        ([math.sqrt(2), -math.sqrt(2), 0, 0], 1.4019138107),
        ([2, -0.5, -0.5, -0.5, -0.5], 0.7424586597),
        ([1.3416408, -1.3416408, 0.4472136, -0.4472136], 1.3422557287),
    ],
)
def test_the_approximate_entropy(doubles, samples, entropy):
    np.testing.assert_allclose(lingam.entropy(jnp.array(samples)), entropy, atol=1e-9)
    np.testing.assert_allclose(lingam.entropy(jnp.array(samples, jnp.float32)), entropy, atol=2e-6)


@pytest.mark.parametrize(
    ("variant", "slope", "difference"), [("lingam", 1, 0.1186065856), ("orig", 25 / 24, 0.1178086780)]
)
def test_two_variables(doubles, variant, slope, difference):
    """``x`` and ``e`` of all pairs from -2 to 2, and ``(x, x + e)``."""
    x, e = np.array(list(itertools.product(range(-2, 3), repeat=2)), float).T
    samples = jnp.asarray(np.column_stack([x, x + e]))
    z = lingam.standardised((samples - samples.mean(0)).T)
    found = lingam.differences(z, slope * z @ z.T / 25, jnp.ones(2, bool), 2)
    np.testing.assert_allclose(found, [[0, difference], [-difference, 0]], atol=1e-9)
    order, adjacency = lingam.direct_lingam(samples, variant)
    assert order.tolist() == [0, 1]
    np.testing.assert_allclose(adjacency, [[0, 0], [1, 0]], rtol=1e-6 if variant == "lingam" else 0.05, atol=1e-12)


def grid():
    """All of ``s`` from -1 to 1, ``a0`` and ``a1`` from -2 to 2 and ``e = ±0.5``, and ``r = s + ln 2 a0 + e``."""
    values = itertools.product(range(-1, 2), range(-2, 3), range(-2, 3), (-0.5, 0.5))
    s, a0, a1, e = np.array(list(values)).T
    return np.column_stack([s, a0, a1, s + math.log(2) * a0 + e])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_grid_of_independent_causes(doubles, dtype):
    """They tie for the first places: which comes first is rounding, in the package too, where it is 1, 2, 0."""
    x = jnp.asarray(grid().astype(dtype))
    order, adjacency = lingam.direct_lingam(x)
    assert order[3] == 3
    np.testing.assert_allclose(adjacency[3], [1, math.log(2), 0, 0], atol=1e-5)
    assert not adjacency[:3].any()
    for found in (lingam.row(x, 3), lingam.sink_row(x, 3)):
        np.testing.assert_allclose(found, adjacency[3], atol=1e-6)


def test_a_constant_column_collapses_the_order_or_is_left_out(doubles):
    x = jnp.asarray(np.insert(grid(), 1, 0.0, axis=1))
    order, adjacency = lingam.direct_lingam(x)
    assert order.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(adjacency[4], [1, 0, math.log(2), 0, 0], atol=1e-9)
    np.testing.assert_allclose(lingam.row(x, 4), adjacency[4], atol=1e-12)
    order, adjacency = lingam.direct_lingam(x, constants="leave_out")
    assert (order[0], order[4]) == (1, 4)
    np.testing.assert_allclose(adjacency[4], [1, 0, math.log(2), 0, 0], atol=1e-9)
    everything_constant = lingam.direct_lingam(jnp.ones((10, 3)))
    assert everything_constant.order.tolist() == [0, 1, 2]
    assert not everything_constant.adjacency.any()


def test_a_prior_forbids_and_demands_paths(doubles):
    """The chain 0 -> 1 -> 2."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(1_000, 3))
    x[:, 1] += x[:, 0]
    x[:, 2] += x[:, 1]
    x = jnp.asarray(x)
    assert lingam.causal_order(x).tolist() == [0, 1, 2]
    unknown = np.full((3, 3), -1)
    first_last = unknown.copy()
    first_last[0, 2] = 1  # a path from 2 to 0, against the data
    order, adjacency = lingam.direct_lingam(x, prior=first_last)
    assert order.tolist().index(2) < order.tolist().index(0)
    sink = unknown.copy()
    sink[:, 1] = 0  # 1 causes nothing
    order, adjacency = lingam.direct_lingam(x, prior=sink)
    assert order[2] == 1
    assert not adjacency[:, 1].any()
    np.testing.assert_allclose(adjacency[1], lingam.sink_row(x, 1), atol=1e-12)
    cut = unknown.copy()
    cut[2, 0] = cut[0, 2] = 0  # no path either way, which orders nothing beside what follows
    cut[2, 1] = 1
    assert lingam.direct_lingam(x, prior=cut).adjacency[2, 0] == 0
    # Alone it is not used at all, as in the package.
    cut[2, 1] = -1
    np.testing.assert_array_equal(lingam.direct_lingam(x, prior=cut).adjacency, lingam.direct_lingam(x).adjacency)


def test_priors_and_samples_that_cannot_be_are_refused():
    x = jnp.zeros((10, 3))
    with pytest.raises(rlx.ConfigurationError, match=r"prior has shape \[2, 2\]; of 3 variables it must be \[3, 3\]"):
        lingam.direct_lingam(x, prior=np.zeros((2, 2)))
    with pytest.raises(rlx.ConfigurationError, match="each has a path to the other"):
        lingam.direct_lingam(x, prior=np.ones((3, 3)))
    with pytest.raises(rlx.ConfigurationError, match="3 samples of 3 variables are too few; take at least 4"):
        lingam.sink_row(x[:3], 2)


def model(seed, noise):
    """300 samples of a random acyclic model with five permuted variables of very different scales."""
    n, d, rng = 300, 5, np.random.default_rng(seed)
    draws = {"uniform": rng.uniform(-1, 1, (n, d)), "laplace": rng.laplace(size=(n, d))}
    draws["cubed"] = rng.normal(size=(n, d)) ** 3
    effects = np.tril(rng.normal(size=(d, d)) * (rng.random((d, d)) < 0.5), -1)
    x = np.linalg.solve(np.eye(d) - effects, draws[noise].T).T
    return (x * np.exp(rng.uniform(-3, 3, d)))[:, rng.permutation(d)]


# What versions 1.13.0 and 1.5.4 of lingam find with scikit-learn 1.9.1: the order, and the entries that are not 0.
PACKAGE = {
    ("lingam", 0, "uniform"): (
        [2, 1, 0, 3, 4],
        {(0, 1): -0.4313883157, (3, 1): 1.249107726, (4, 0): -30.15941366, (4, 2): 109.4491561, (4, 3): 170.7409438},
    ),
    ("lingam", 1, "laplace"): (
        [1, 0, 2, 4, 3],
        {(2, 1): 0.05419949148, (3, 2): 1.840382128, (3, 4): 0.45719719, (4, 2): 4.065453099},
    ),
    ("lingam", 2, "cubed"): (
        [4, 3, 0, 1, 2],
        {(0, 3): -3.575169341, (0, 4): 8.847937906, (1, 4): 2.701882284, (2, 3): -0.1479833487, (2, 4): 0.06237818183},
    ),
    ("orig", 0, "uniform"): (
        [2, 1, 0, 3, 4],
        {(0, 1): -0.4236053931, (3, 1): 1.244703518, (4, 0): -29.0059218, (4, 2): 109.147575, (4, 3): 170.8129398},
    ),
    ("orig", 1, "laplace"): (
        [1, 0, 2, 4, 3],
        {(2, 1): 0.05418004692, (3, 2): 1.835968843, (3, 4): 0.4573809454, (4, 2): 4.059333081},
    ),
    ("orig", 2, "cubed"): (
        [4, 3, 0, 1, 2],
        {(0, 3): -3.575169341, (0, 4): 8.847937906, (1, 4): 2.679560235, (2, 3): -0.1463810557, (2, 4): 0.0592107842},
    ),
}
direct_lingam = jax.jit(lingam.direct_lingam, static_argnames="variant")


def assert_found(found, order, entries, rtol):
    expected = np.zeros((len(order), len(order)))
    for place, entry in entries.items():
        expected[place] = entry
    assert found.order.tolist() == order
    np.testing.assert_array_equal(found.adjacency != 0, expected != 0)
    np.testing.assert_allclose(found.adjacency, expected, rtol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize(("variant", "seed", "noise"), PACKAGE)
def test_it_finds_what_the_package_finds(doubles, variant, seed, noise, dtype, rtol):
    x = jnp.asarray(model(seed, noise).astype(dtype))
    assert_found(direct_lingam(x, variant=variant), *PACKAGE[variant, seed, noise], rtol)


def test_with_a_prior_it_finds_what_the_package_finds(doubles):
    """Variable 3 causes nothing, a path leads from 4 to 2, and none either way between 0 and 1."""
    prior = np.full((5, 5), -1)
    prior[:, 3] = prior[0, 1] = prior[1, 0] = 0
    prior[2, 4] = 1
    found = lingam.direct_lingam(jnp.asarray(model(1, "laplace")), prior=prior)
    entries = {
        (2, 1): 0.0318236561,
        (2, 4): 0.1042734259,
        (3, 2): 1.840382128,
        (3, 4): 0.45719719,
        (4, 1): 0.2145880907,
    }
    assert_found(found, [1, 0, 4, 2, 3], entries, 1e-8)


def test_under_vmap_and_jit_each_is_as_alone():
    batch = jnp.asarray(np.stack([model(seed, "uniform") for seed in range(3)]), jnp.float32)
    found = jax.jit(jax.vmap(lingam.direct_lingam))(batch)
    rows = jax.jit(jax.vmap(lambda x: lingam.row(x, 3)))(batch)
    for x, order, adjacency, row in zip(batch, *found, rows, strict=True):
        alone = direct_lingam(x)
        assert order.tolist() == alone.order.tolist()
        np.testing.assert_allclose(adjacency, alone.adjacency, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row, adjacency[3], rtol=1e-4, atol=1e-6)
