import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks.resine import SineNetwork, resine


def test_values():
    """With s = 0, the scale is a half."""
    found = resine(jnp.array([0.25, 1.0, -1.0, np.pi / 4]), jnp.float32(0.5))
    np.testing.assert_allclose(found, [0.161187, 0.362082, -0.0925663, 0.408787], rtol=1e-5)


@pytest.fixture(scope="module")
def network():
    """A wide one, its parameters, and inputs."""
    network, x = SineNetwork(400, 2), jax.random.normal(jax.random.key(1), (7, 9))
    return network, network.init(jax.random.key(0), x), x


def test_weights_begin_as_pytorchs(network):
    p = network[1]["params"]
    for name, fan_in in (("Dense_0", 9), ("Dense_1", 400), ("Dense_2", 400)):
        largest = [float(np.abs(p[name][part]).max()) * fan_in**0.5 for part in ("kernel", "bias")]
        assert 0.95 < largest[0] <= 1.0
        assert 0.3 < largest[1] <= 1.0
    s = np.asarray(p["ReSine_0"]["s"])
    assert 0.95 / 20 < np.abs(s).max() <= 1 / 20
    assert s.min() < 0 < s.max()
    assert p["LayerNorm_0"]["scale"].tolist() == [1.0] * 400


def test_layers_in_their_order(network):
    _, params, x = network
    p = jax.tree.map(np.float64, params["params"])
    hidden = np.float64(x) @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    hidden = (hidden - hidden.mean(-1, keepdims=True)) / np.sqrt(hidden.var(-1, keepdims=True) + 1e-5)
    hidden = hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]
    scale = 1 / (1 + np.exp(-p["ReSine_0"]["s"]))
    wave = scale * np.sin(hidden / scale)
    units = {"resine": wave / (1 + np.exp(-1.5 * wave / scale)), "silu": hidden / (1 + np.exp(-hidden))}
    for activation, after in units.items():
        expected = after @ p["Dense_2"]["kernel"] + p["Dense_2"]["bias"]
        np.testing.assert_allclose(SineNetwork(400, 2, activation).apply(params, x), expected, atol=1e-5)


def test_with_a_key_half_of_the_gradients_are_dropped(network):
    module, params, x = network
    np.testing.assert_array_equal(module.apply(params, x, jax.random.key(2)), module.apply(params, x))
    slope = lambda *key: jax.grad(lambda p: module.apply(p, x, *key)[:, 0].sum())(params)  # noqa: E731
    assert slope()["params"]["Dense_2"]["bias"][0] == 7
    kept = jax.random.bernoulli(jax.random.key(2), 0.5, (7, 2))[:, 0].sum()
    assert slope(jax.random.key(2))["params"]["Dense_2"]["bias"][0] == kept
    assert 0 < kept < 7
