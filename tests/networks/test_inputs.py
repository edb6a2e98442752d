"""Bytes are brightness wherever observations become real numbers, and nothing else is rescaled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks import running_statistics
from rlx.networks.conv import ConvLayer, ConvNetwork
from rlx.networks.dynamics import flat_observation
from rlx.networks.inputs import as_float
from rlx.networks.torsos import MLP, make_torso
from rlx.types import Box, EnvSpec

KEY = jax.random.key(0)
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 2)).astype(np.uint8)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 51, 255], "uint8", [0.0, 0.2, 1.0]),
        ([0, 51, 127], "int8", [0.0, 51.0, 127.0]),
        ([0, 255], "int32", [0.0, 255.0]),
        ([False, True], "bool", [0.0, 1.0]),
        ([0.5, 255.0], "float32", [0.5, 255.0]),
    ],
)
def test_only_bytes_are_scaled(values, dtype, expected):
    found = as_float(jnp.array(values, dtype))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize(
    "network",
    [
        make_torso((4, 4, 2), (5,), "relu"),
        MLP((5,), input_rank=3),
        ConvNetwork((ConvLayer(3, 2),), (5,), 2),
    ],
    ids=lambda network: type(network).__name__,
)
def test_networks_take_an_image_in_bytes_as_its_brightness(network):
    params = network.init(KEY, jnp.zeros((4, 4, 2)))
    brightness = (IMAGE / 255.0).astype(np.float32)
    np.testing.assert_allclose(network.apply(params, IMAGE), network.apply(params, brightness), rtol=1e-5, atol=1e-6)
    assert not np.allclose(network.apply(params, IMAGE), network.apply(params, IMAGE.astype(np.float32)))


def test_statistics_and_models_speak_of_the_same_numbers():
    spec = EnvSpec("film", (4, 4, 2), "uint8", Box(1), None)
    np.testing.assert_allclose(flat_observation(spec, IMAGE), IMAGE.reshape(3, -1) / 255.0, rtol=1e-6)
    statistics = running_statistics.update(running_statistics.init((4, 4, 2)), IMAGE)
    exact = IMAGE / 255.0
    np.testing.assert_allclose(statistics.mean.total, exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(running_statistics.variance(statistics), exact.var(0), rtol=1e-4)
    standard = running_statistics.normalise(statistics, IMAGE)
    np.testing.assert_allclose(standard, (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-8), rtol=1e-3, atol=1e-5)
