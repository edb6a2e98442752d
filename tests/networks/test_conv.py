import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks.conv import ConvLayer, ConvNetwork, largest

KEY = jax.random.key(0)
SMALL = ConvNetwork((ConvLayer(3, 2, pool=2), ConvLayer(2, 2)), (5,), 4)


def loop_convolution(image, kernel, bias):
    side = kernel.shape[0]
    height, width = image.shape[0] - side + 1, image.shape[1] - side + 1
    out = np.zeros((height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            patch = image[row : row + side, column : column + side]
            out[row, column] = np.tensordot(patch, kernel, 3) + bias
    return out


def test_a_network_equals_a_plain_loop():
    obs = np.random.default_rng(0).normal(size=(2, 6, 7, 2)).astype(np.float32)
    params = SMALL.init(KEY, obs)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    for image, outputs in zip(obs, SMALL.apply(params, obs), strict=True):
        x = loop_convolution(image, weights["kernel_0"], weights["bias_0"])  # 5 x 6
        x = np.maximum(x[:4].reshape(2, 2, 3, 2, 3).max((1, 3)), 0)  # 2 x 3, the last row left out
        x = np.maximum(loop_convolution(x, weights["kernel_1"], weights["bias_1"]), 0)  # 1 x 2
        x = np.maximum(x.ravel() @ weights["Dense_0"]["kernel"] + weights["Dense_0"]["bias"], 0)
        expected = x @ weights["Dense_1"]["kernel"] + weights["Dense_1"]["bias"]
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_every_weight_fills_the_interval_of_its_fan_in():
    network = ConvNetwork((ConvLayer(64, 3),), (256,), 512)
    params = network.init(KEY, jnp.zeros((4, 4, 4)))["params"]
    fan_ins = {"kernel_0": 36, "bias_0": 36}
    found = [(params[name], fan_in) for name, fan_in in fan_ins.items()]
    for layer, fan_in in (("Dense_0", 2 * 2 * 64), ("Dense_1", 256)):
        found += [(params[layer]["kernel"], fan_in), (params[layer]["bias"], fan_in)]
    for weights, fan_in in found:
        size = np.abs(weights).max() * np.sqrt(fan_in)
        assert 0.95 < size <= 1.0 + 1e-6


def test_a_value_has_no_axis():
    network = ConvNetwork((ConvLayer(2, 2),), (3,), None)
    params = network.init(KEY, jnp.zeros((3, 3, 1)))
    assert network.apply(params, jnp.zeros((5, 2, 3, 3, 1), jnp.uint8)).shape == (5, 2)


@pytest.mark.parametrize(("size", "expected"), [(1, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]), (2, [[4]]), (3, [[8]])])
def test_the_largest_of_each_square(size, expected):
    image = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(largest(image, size)[0, ..., 0], expected)
