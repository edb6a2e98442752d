import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from rlx.networks.decoupled import DecoupledCritics, member_products

KEY = jax.random.key(0)


def size_of(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def critics(obs_size, nvec, num_members, width=512, **options):
    module = DecoupledCritics(nvec, num_members, width, **options)
    return module, module.init(KEY, jnp.zeros(obs_size))


@pytest.mark.parametrize(
    ("obs_size", "components", "single", "ten"),
    [(24, 6, 548_370, 5_474_484), (67, 21, 593_471, 5_925_494), (223, 38, 699_506, 6_985_844)],
)
def test_numbers_of_parameters_of_the_authors_networks(obs_size, components, single, ten):
    """Walker, humanoid and dog; the normalisation's scale and offset are shared, so ten are not ten times one."""
    for members, number in ((1, single), (10, ten)):
        module = DecoupledCritics((3,) * components, members, 512)
        assert size_of(jax.eval_shape(module.init, KEY, jnp.zeros(obs_size))) == number


def by_hand(params, obs, member, first_release=False):
    """One member in NumPy."""
    layer = lambda x, name: x @ np.float64(params[name]["kernel"][member]) + np.float64(params[name]["bias"][member])  # noqa: E731
    hidden = layer(np.float64(obs), "input")
    correction = layer(np.maximum(layer(hidden, "residual_1"), 0), "residual_2")
    x = hidden + (correction if first_release else np.maximum(correction, 0))
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    index = min(member, len(params["norm_scale"]) - 1)
    x = x * np.float64(params["norm_scale"][index]) + np.float64(params["norm_offset"][index])
    return np.where(x > 0, x, np.expm1(x)) if first_release else x, layer


@pytest.mark.parametrize("first_release", [False, True])
def test_members_equal_plain_networks(first_release):
    module, variables = critics(4, (3, 2), 3, 8, as_released_2022=first_release, shared_norm=not first_release)
    noise = lambda leaf: leaf + 0.1 * jax.random.normal(KEY, leaf.shape)  # noqa: E731
    variables = jax.tree.map(noise, variables)
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = module.apply(variables, obs)
    assert found.shape == (3, 5, 2, 3)
    for member in range(3):
        features, layer = by_hand(variables["params"], obs, member, first_release)
        flat = layer(features, "head")
        np.testing.assert_allclose(found[member, :, 0], flat[:, :3], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[member, :, 1, :2], flat[:, 3:], rtol=1e-4, atol=1e-5)


def test_members_differ_and_their_weights_lie_where_they_should():
    _, variables = critics(16, (3, 3), 4, 32)
    kernel, bias = (np.asarray(variables["params"]["input"][name]) for name in ("kernel", "bias"))
    assert len(np.unique(kernel)) == kernel.size  # no two members alike
    for values in (kernel, bias):
        assert np.abs(values).max() <= 0.25
        np.testing.assert_allclose(np.abs(values).mean(), 0.125, rtol=0.2)
    _, variables = critics(16, (3, 3), 2, 32, as_released_2022=True)
    assert 0.9 < np.abs(variables["params"]["input"]["kernel"]).max() / np.sqrt(0.999 / 32) <= 1
    assert not variables["params"]["input"]["bias"].any()


def test_branches_are_centred_around_one_value():
    module, variables = critics(4, (3, 2), 1, 8, dueling=6)
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = module.apply(variables, obs)[0]
    params = variables["params"]
    features, layer = by_hand(params, obs, 0)
    value = layer(np.maximum(layer(features, "value_hidden"), 0), "value")
    np.testing.assert_allclose(found[:, 0].mean(-1), value[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 1, :2].mean(-1), value[:, 0], rtol=1e-4, atol=1e-5)
    raw = layer(np.maximum(layer(features, "branch_1_hidden"), 0), "branch_1")
    np.testing.assert_allclose(found[:, 1, 0] - found[:, 1, 1], raw[:, 0] - raw[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("path", "share"), [(("norm_offset",), 1 / 3), (("value_hidden", "bias"), 1.0)])
def test_the_torso_gets_a_share_of_the_branches_gradient(path, share):
    """With two branches and a value a third of the slope, and the heads all of theirs."""
    module, variables = critics(4, (3, 2), 1, 8, dueling=6)
    obs = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    flat = flatten_dict(variables["params"])
    output = lambda leaf: module.apply({"params": unflatten_dict(flat | {path: leaf})}, obs)[0, 0, 0, 0]  # noqa: E731
    leaf = flat[path]
    found = jax.grad(output)(leaf)[0]
    units = 1e-2 * jnp.eye(leaf.shape[1])
    slopes = np.array([(output(leaf + unit) - output(leaf - unit)) / 2e-2 for unit in units])
    np.testing.assert_allclose(found, share * slopes, rtol=0.02, atol=1e-4)
    assert np.abs(slopes).max() > 0.05


def test_gradients_of_members_products_and_that_the_kernels_is_not_transposed():
    rng = np.random.default_rng(0)
    x, kernel, slope = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    given = [jnp.asarray(array, jnp.float32) for array in (x, kernel, slope)]
    pulled = lambda x, kernel, slope: jax.vjp(member_products, x, kernel)[1](slope)  # noqa: E731
    np.testing.assert_allclose(member_products(*given[:2]), x @ kernel, rtol=1e-4, atol=1e-5)
    for_x, for_kernel = pulled(*given)
    np.testing.assert_allclose(for_x, slope @ kernel.transpose(0, 2, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(for_kernel, x.transpose(0, 2, 1) @ slope, rtol=1e-4, atol=1e-5)
    text = jax.jit(pulled).lower(*given).as_text()
    assert text.count("stablehlo.dot_general") == 2
    assert "stablehlo.transpose" not in text
