import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from rlx.ops.distributions import Categorical, FactoredCategorical, Normal, TanhNormal

KEY = jax.random.key(0)
LOGITS = np.array([[0.5, -1.0, 2.0, 0.0], [3.0, 3.0, -2.0, 1.0]], np.float32)
MASK = np.array([[True, False, True, True], [False, True, True, False]])
NVEC = (2, 3, 3, 2)
FACTORED_LOGITS = np.random.default_rng(0).normal(size=(2, sum(NVEC))).astype(np.float32)
# In the second row the third component has one valid choice, the last none.
FACTORED_MASK = np.array([[1, 1, 0, 1, 1, 1, 0, 1, 1, 0], [0, 1, 1, 1, 1, 0, 1, 0, 0, 0]], bool)


def softmax(logits, mask):
    """Probabilities by NumPy over the last axis, in double precision."""
    return special.softmax(np.where(mask, logits.astype(np.float64), -np.inf), axis=-1)


def finite_differences(function, x, step=1e-2):
    """Central differences of a scalar function of a flat vector."""
    shifts = step * np.eye(x.size, dtype=np.float32).reshape(x.size, *x.shape)
    return np.array([(function(x + s) - function(x - s)) / (2 * step) for s in shifts]).reshape(x.shape)


@pytest.mark.parametrize("mask", [None, MASK])
def test_categorical_against_numpy(mask):
    distribution = Categorical(LOGITS, mask)
    probs = softmax(LOGITS, True if mask is None else mask)
    for action in range(4):
        valid = probs[:, action] > 0
        log_prob = distribution.log_prob(jnp.full(2, action))
        np.testing.assert_allclose(log_prob[valid], np.log(probs[valid, action]), rtol=1e-5, atol=1e-6)
        assert (np.exp(log_prob[~valid]) == 0).all()
    np.testing.assert_allclose(distribution.entropy(), stats.entropy(probs, axis=-1), rtol=1e-5)
    other = Categorical(LOGITS[::-1], mask)
    expected = special.rel_entr(probs, softmax(LOGITS[::-1], True if mask is None else mask)).sum(-1)
    np.testing.assert_allclose(distribution.kl(other), expected, rtol=1e-4)


def test_categorical_mode_is_the_likeliest_valid_action():
    np.testing.assert_array_equal(Categorical(LOGITS).mode(), [2, 0])
    np.testing.assert_array_equal(Categorical(LOGITS, MASK).mode(), [2, 1])


@pytest.mark.parametrize("mask", [None, MASK])
def test_categorical_frequencies(mask):
    draws = 200_000
    sample = jax.jit(jax.vmap(Categorical(jnp.asarray(LOGITS), mask).sample))
    actions = np.asarray(sample(jax.random.split(KEY, draws)))
    assert actions.dtype == np.int32
    probs = softmax(LOGITS, True if mask is None else mask)
    for row in range(2):
        counts = np.bincount(actions[:, row], minlength=4)
        possible = probs[row] > 0
        assert (counts[~possible] == 0).all()
        assert stats.chisquare(counts[possible], draws * probs[row][possible]).pvalue > 1e-3
    # The rows of a batch are drawn independently.
    table = stats.contingency.crosstab(actions[:, 0], actions[:, 1]).count
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_quantile_never_leaves_the_mask():
    rows, width = 300, 300
    weights = np.random.default_rng(1).exponential(size=(rows, width)).astype(np.float32)
    mask = np.random.default_rng(2).random((rows, width)) < 0.5
    distribution = Categorical(jnp.log(weights), mask)
    # The dangerous levels are the cumulative probabilities themselves, where a rounded sum may tip either way.
    cumulative = jnp.cumsum(jnp.where(mask, weights, 0.0), -1)
    below_one = np.nextafter(np.float32(1), np.float32(0))
    levels = jnp.minimum(cumulative / cumulative[:, -1:], below_one).at[:, 0].set(0.0)
    actions = np.asarray(jax.jit(jax.vmap(distribution.quantile, in_axes=1, out_axes=1))(levels))
    assert np.take_along_axis(mask, actions, axis=1).all()
    np.testing.assert_array_equal(actions[:, 0], mask.argmax(-1))


def test_quantile_follows_the_cumulative_probabilities():
    distribution = Categorical(jnp.log(jnp.array([0.5, 0.25, 0.25])))
    levels = [0.0, 0.49, 0.51, 0.74, 0.76, 0.99]
    actions = [int(distribution.quantile(jnp.float32(level))) for level in levels]
    assert actions == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("quantity", ["log_prob", "entropy", "kl"])
def test_categorical_gradients(quantity):
    actions = jnp.array([2, 1])

    @jax.jit
    def total(logits):
        distribution = Categorical(logits, MASK)
        arguments = {"log_prob": (actions,), "entropy": (), "kl": (Categorical(LOGITS[::-1], MASK),)}
        # A factor above 1 would turn a huge masked log-probability into an infinity.
        return 10.0 * getattr(distribution, quantity)(*arguments[quantity]).sum()

    gradient = jax.grad(total)(LOGITS)
    np.testing.assert_allclose(gradient, finite_differences(total, LOGITS), atol=2e-2)
    np.testing.assert_array_equal(gradient[~MASK], 0.0)
    assert np.abs(gradient).max() > 0.1


def test_forbidden_logits_may_be_anything():
    wild = np.where(MASK, LOGITS, np.nan).astype(np.float32)
    distribution = Categorical(wild, MASK)
    np.testing.assert_array_equal(distribution.entropy(), Categorical(LOGITS, MASK).entropy())
    gradient = jax.grad(lambda logits: Categorical(logits, MASK).entropy().sum())(wild)
    assert np.isfinite(gradient).all()


def test_confident_logits_keep_entropy_and_gradient_finite():
    logits = jnp.array([1000.0, -1000.0, 0.0])
    value, gradient = jax.value_and_grad(lambda x: Categorical(x).entropy())(logits)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(3))


@pytest.mark.parametrize("other_mask", [None, np.zeros(3, bool)])
def test_no_valid_action_counts_for_nothing(other_mask):
    def quantities(logits):
        distribution = Categorical(logits, jnp.zeros(3, bool))
        divergence = distribution.kl(Categorical(2.0 * logits, other_mask))
        return jnp.stack([*map(distribution.log_prob, jnp.arange(3)), distribution.entropy(), divergence])

    logits = jnp.array([1.0, 5.0, 3.0])
    np.testing.assert_array_equal(quantities(logits), np.zeros(5))
    np.testing.assert_array_equal(jax.jacobian(quantities)(logits), np.zeros((5, 3)))
    assert Categorical(logits, jnp.zeros(3, bool)).mode() == 0


def test_no_valid_action_means_that_all_are_drawn_alike():
    distribution = Categorical(jnp.array([1.0, 500.0, -3.0]), jnp.zeros(3, bool))
    levels = [0.0, 0.33, 0.34, 0.66, 0.67, 0.99]
    assert [int(distribution.quantile(jnp.float32(level))) for level in levels] == [0, 0, 1, 1, 2, 2]


def test_one_valid_action_is_certain_and_has_no_gradient():
    def quantities(logits):
        distribution = Categorical(logits, jnp.array([False, True, False]))
        return jnp.stack([distribution.log_prob(jnp.array(1)), distribution.entropy()])

    logits = jnp.array([3.0, -7.0, 2.0])
    np.testing.assert_array_equal(quantities(logits), [0.0, 0.0])
    np.testing.assert_array_equal(jax.jacobian(quantities)(logits), np.zeros((2, 3)))


def test_masked_logits_of_the_paper():
    """Four equal logits, the third forbidden (Huang and Ontañón 2022, section 3)."""
    logits, mask = jnp.ones(4), jnp.array([True, True, False, True])
    np.testing.assert_allclose(jnp.exp(Categorical(logits, mask).log_probs), [1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(Categorical(logits, mask).entropy(), 1.098612, rtol=1e-6)
    for valid, expected in ((None, [0.75, -0.25, -0.25, -0.25]), (mask, [2 / 3, -1 / 3, 0, -1 / 3])):
        gradient = jax.grad(lambda x, valid=valid: Categorical(x, valid).log_prob(jnp.array(0)))(logits)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def components(row, mask):
    """The parts of one row of the factored logits, each with its own probabilities."""
    cuts = np.cumsum(NVEC)[:-1]
    parts = zip(np.split(FACTORED_LOGITS[row], cuts), np.split(mask[row], cuts), strict=True)
    return [softmax(logits, valid) if valid.any() else None for logits, valid in parts]


@pytest.mark.parametrize("masked", [False, True])
def test_factored_categorical_against_its_components(masked):
    mask = FACTORED_MASK if masked else np.ones_like(FACTORED_MASK)
    distribution = FactoredCategorical(jnp.asarray(FACTORED_LOGITS), NVEC, mask if masked else None)
    actions = np.array([[1, 1, 2, 0], [1, 0, 1, 0]])
    for row in range(2):
        probs = components(row, mask)
        log_probs = [0.0 if p is None else np.log(p[a]) for p, a in zip(probs, actions[row], strict=True)]
        entropies = [0.0 if p is None else stats.entropy(p) for p in probs]
        component_log_prob = distribution.component_log_prob(actions)[row]
        np.testing.assert_allclose(component_log_prob, log_probs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(distribution.component_entropy()[row], entropies, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(distribution.log_prob(actions)[row], sum(log_probs), rtol=1e-5)
        np.testing.assert_allclose(distribution.entropy()[row], sum(entropies), rtol=1e-5)
        np.testing.assert_array_equal(distribution.mode()[row], [0 if p is None else p.argmax() for p in probs])
    flipped = distribution.replace(logits=-distribution.logits)
    np.testing.assert_allclose(distribution.kl(distribution), np.zeros(2), atol=1e-6)
    assert (distribution.kl(flipped) > 0.1).all()


def test_factored_frequencies():
    draws = 100_000
    distribution = FactoredCategorical(jnp.asarray(FACTORED_LOGITS), NVEC, FACTORED_MASK)
    actions = np.asarray(jax.jit(jax.vmap(distribution.sample))(jax.random.split(KEY, draws)))
    assert actions.shape == (draws, 2, 4)
    assert actions.dtype == np.int32
    for row in range(2):
        for i, probs in enumerate(components(row, FACTORED_MASK)):
            counts = np.bincount(actions[:, row, i], minlength=NVEC[i])
            probs = np.full(NVEC[i], 1 / NVEC[i]) if probs is None else probs
            assert (counts[probs == 0] == 0).all()
            if (probs > 0).sum() > 1:
                assert stats.chisquare(counts[probs > 0], draws * probs[probs > 0]).pvalue > 1e-3
    # Components that are computed together are drawn independently.
    table = stats.contingency.crosstab(actions[:, 0, 1], actions[:, 0, 2]).count
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_factored_gradients():
    actions = jnp.array([[1, 1, 2, 0], [1, 0, 1, 0]])

    @jax.jit
    def total(logits):
        distribution = FactoredCategorical(logits, NVEC, FACTORED_MASK)
        return distribution.log_prob(actions).sum() + 3.0 * distribution.entropy().sum()

    gradient = jax.grad(total)(FACTORED_LOGITS)
    np.testing.assert_allclose(gradient, finite_differences(total, FACTORED_LOGITS), atol=5e-3)
    np.testing.assert_array_equal(gradient[~FACTORED_MASK], 0.0)


def test_factored_shapes_are_checked():
    with pytest.raises(AssertionError):
        FactoredCategorical(jnp.zeros(7), (2, 3)).mode()
    with pytest.raises(AssertionError):
        FactoredCategorical(jnp.zeros(5), (2, 3)).log_prob(jnp.zeros(3, jnp.int32))


MEAN = np.array([[0.3, -1.0, 2.0], [0.0, 0.5, -0.2]], np.float32)
LOG_STD = np.array([-0.5, 0.2, 0.7], np.float32)


def test_normal_against_scipy():
    distribution = Normal(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    action = MEAN[::-1] + 0.1
    reference = stats.norm(MEAN.astype(np.float64), np.exp(LOG_STD.astype(np.float64)))
    np.testing.assert_allclose(distribution.log_prob(action), reference.logpdf(action).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(distribution.entropy(), reference.entropy().sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(distribution.mode(), MEAN)


def test_normal_divergence_by_integration():
    ours, other = Normal(jnp.array([0.3]), jnp.array([-0.5])), Normal(jnp.array([-0.2]), jnp.array([0.1]))
    grid = np.linspace(-8.0, 8.0, 20_001)
    p, q = stats.norm(0.3, np.exp(-0.5)), stats.norm(-0.2, np.exp(0.1))
    expected = np.trapezoid(p.pdf(grid) * (p.logpdf(grid) - q.logpdf(grid)), grid)
    np.testing.assert_allclose(ours.kl(other), expected, rtol=1e-4)
    assert ours.kl(ours) == 0.0


@pytest.mark.parametrize("family", [Normal, TanhNormal])
def test_continuous_samples_follow_the_distribution(family):
    draws = 50_000
    sample = jax.jit(jax.vmap(family(jnp.asarray(MEAN), jnp.asarray(LOG_STD)).sample))
    samples = np.asarray(sample(jax.random.split(KEY, draws)), np.float64)
    if family is TanhNormal:
        assert (np.abs(samples) <= 1).all()
        samples = np.arctanh(np.clip(samples, -1 + 1e-9, 1 - 1e-9))
    noise = (samples - MEAN) / np.exp(LOG_STD)
    for column in noise.reshape(draws, -1).T:
        # Tangents of far tails are rounded, so the middle of the distribution is compared.
        quantiles = np.quantile(column, [0.1, 0.3, 0.5, 0.7, 0.9])
        np.testing.assert_allclose(quantiles, stats.norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9]), atol=0.03)


@pytest.mark.parametrize("log_std", [-1.0, 0.3])
def test_tanh_normal_density_integrates_to_the_normal_mass(log_std):
    distribution = TanhNormal(jnp.array([0.4]), jnp.array([log_std]))
    for low, high in [(-0.999, 0.999), (-0.5, 0.3), (0.6, 0.95)]:
        grid = np.linspace(low, high, 20_001)
        density = np.exp(np.asarray(distribution.log_prob(jnp.asarray(grid, jnp.float32)[:, None]), np.float64))
        normal = stats.norm(0.4, np.exp(log_std))
        expected = normal.cdf(np.arctanh(high)) - normal.cdf(np.arctanh(low))
        np.testing.assert_allclose(np.trapezoid(density, grid), expected, rtol=1e-3)


def test_tanh_normal_sample_and_log_prob_agree():
    distribution = TanhNormal(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    action, log_prob = distribution.sample_and_log_prob(KEY)
    np.testing.assert_array_equal(action, distribution.sample(KEY))
    raw = np.arctanh(np.asarray(action, np.float64))
    expected = stats.norm(MEAN, np.exp(LOG_STD)).logpdf(raw) - np.log1p(-(np.asarray(action, np.float64) ** 2))
    np.testing.assert_allclose(log_prob, expected.sum(-1), rtol=1e-3)
    np.testing.assert_allclose(distribution.log_prob(action), log_prob, rtol=1e-3)
    np.testing.assert_allclose(distribution.mode(), np.tanh(MEAN), rtol=1e-6)


def test_tanh_normal_log_prob_where_it_saturates():
    distribution = TanhNormal(jnp.array([20.0]), jnp.array([-5.0]))
    action, log_prob = distribution.sample_and_log_prob(KEY)
    noise = float(jax.random.normal(KEY, (1,))[0])
    raw = 20.0 + np.exp(-5.0) * noise
    assert action == 1.0
    # log(1 - tanh(x)**2) tends to log(4) - 2x.
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(noise) + 5.0 - np.log(4.0) + 2.0 * raw, rtol=1e-5)
    at_bounds = jax.grad(lambda mean: TanhNormal(mean, jnp.zeros(1)).log_prob(jnp.array([1.0])))(jnp.zeros(1))
    assert np.isfinite(at_bounds).all()


def test_tanh_normal_log_prob_where_the_deviation_is_tiny():
    log_prob = TanhNormal(jnp.array([1.0]), jnp.array([-12.0])).sample_and_log_prob(KEY)[1]
    noise = float(jax.random.normal(KEY, (1,))[0])
    assert abs(noise) > 0.5
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(noise) + 12.0 + 2.0 * np.log(np.cosh(1.0)), rtol=1e-5)


def test_tanh_normal_entropy_estimate_averages_to_the_entropy():
    mean, log_std, draws = 0.4, -0.3, 50_000
    distribution = TanhNormal(jnp.array([mean]), jnp.array([log_std]))
    estimates = jax.jit(jax.vmap(distribution.entropy_estimate))(jax.random.split(KEY, draws))
    grid = np.linspace(mean - 8, mean + 8, 20_001)
    normal = stats.norm(mean, np.exp(log_std))
    slope = np.log1p(-(np.tanh(grid) ** 2))
    expected = normal.entropy() + np.trapezoid(normal.pdf(grid) * np.where(np.isfinite(slope), slope, 0), grid)
    # Five standard errors of the mean.
    tolerance = 5.0 * np.std(estimates) / np.sqrt(draws)
    np.testing.assert_allclose(np.mean(estimates), expected, atol=tolerance)


def test_tanh_normal_tells_the_log_density_of_each_dimension():
    """Each is that of the dimension alone, at the action that was drawn."""
    action, log_probs = TanhNormal(jnp.asarray(MEAN), jnp.asarray(LOG_STD)).sample_and_component_log_prob(KEY)
    for i in range(log_probs.shape[-1]):
        alone = TanhNormal(jnp.asarray(MEAN)[..., i : i + 1], jnp.asarray(LOG_STD)[..., i : i + 1])
        np.testing.assert_allclose(log_probs[..., i], alone.log_prob(action[..., i : i + 1]), atol=1e-4)


@pytest.mark.parametrize("quantity", ["normal", "tanh", "reparametrised"])
def test_continuous_gradients(quantity):
    @jax.jit
    def total(params):
        mean, log_std = params
        if quantity == "normal":
            return Normal(mean, log_std).log_prob(jnp.array([0.1, -0.4])) + Normal(mean, log_std).entropy()
        if quantity == "tanh":
            return TanhNormal(mean, log_std).log_prob(jnp.array([0.1, -0.4]))
        action, log_prob = TanhNormal(mean, log_std).sample_and_log_prob(KEY)
        return action.sum() - 0.2 * log_prob

    params = np.array([[0.3, -0.5], [-0.4, 0.2]], np.float32)
    np.testing.assert_allclose(jax.grad(total)(params), finite_differences(total, params), atol=5e-3)


def test_distributions_pass_through_jit_and_vmap():
    batch = FactoredCategorical(jnp.asarray(FACTORED_LOGITS), NVEC, FACTORED_MASK)
    entropies = jax.jit(jax.vmap(lambda distribution: distribution.entropy()))(batch)
    np.testing.assert_allclose(entropies, batch.entropy(), rtol=1e-6)
