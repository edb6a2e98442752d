import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.networks import torsos
from rlx.networks.torsos import MLP, MinAtarCNN, ResidualBlock, make_torso

KEY = jax.random.key(0)


def activations(x):
    return {
        "tanh": np.tanh(x),
        "relu": np.maximum(x, 0),
        "swish": x / (1 + np.exp(-x)),
        "gelu": 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "elu": np.where(x > 0, x, np.exp(x) - 1),
    }


@pytest.mark.parametrize("name", ["tanh", "relu", "swish", "gelu", "elu"])
def test_mlp_applies_the_activation_after_every_layer(name):
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    module = MLP((5, 3), name)
    params = module.init(KEY, x)
    expected = x
    for layer in ("Dense_0", "Dense_1"):
        weights = params["params"][layer]
        expected = activations(expected @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"]))[name]
    np.testing.assert_allclose(module.apply(params, x), expected, atol=1e-5)


def test_mlp_takes_an_activation_for_the_first_layers_and_another_from_then_on():
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    module = MLP((5, 5, 3), "elu-relu")
    params = module.init(KEY, x)
    expected = x
    for layer, name in (("Dense_0", "elu"), ("Dense_1", "relu"), ("Dense_2", "relu")):
        expected = activations(expected @ np.asarray(params["params"][layer]["kernel"]))[name]
    np.testing.assert_allclose(module.apply(params, x), expected, atol=1e-5)
    with pytest.raises(ConfigurationError, match="unknown activation 'rely'"):
        make_torso((4,), (5,), "elu-rely")


def test_mlp_kernels_are_orthogonal_with_gain_root_two_and_biases_zero():
    params = MLP((16, 4)).init(KEY, jnp.zeros(16))["params"]
    for layer, width in (("Dense_0", 16), ("Dense_1", 4)):
        kernel = np.asarray(params[layer]["kernel"])
        np.testing.assert_allclose(kernel.T @ kernel, 2.0 * np.eye(width), atol=1e-5)
        np.testing.assert_array_equal(params[layer]["bias"], np.zeros(width))


def loop_convolution(image, kernel):
    kernel_height, kernel_width, _, channels = kernel.shape
    height, width = image.shape[0] - kernel_height + 1, image.shape[1] - kernel_width + 1
    out = np.zeros((height, width, channels))
    for row in range(height):
        for column in range(width):
            patch = image[row : row + kernel_height, column : column + kernel_width]
            for channel in range(channels):
                out[row, column, channel] = (patch * kernel[..., channel]).sum()
    return out


# Outputs of an odd and of an even number of rows and columns, and a kernel too small for blocks of outputs.
@pytest.mark.parametrize(
    ("size", "kernel_size"), [((5, 7), (3, 3)), ((6, 7), (3, 3)), ((5, 8), (3, 4)), ((6, 8), (3, 3)), ((6, 5), (3, 2))]
)
@pytest.mark.parametrize("form", [torsos.convolve_by_patches, torsos.convolve_directly])
def test_convolution_equals_a_plain_loop(form, size, kernel_size):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(2, 3, *size, 2)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, 2, 4)).astype(np.float32)
    out = form(jnp.asarray(images), jnp.asarray(kernel))
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(out[i, j], loop_convolution(images[i, j], kernel), atol=1e-4)


def test_both_forms_share_parameters_outputs_and_gradients(monkeypatch):
    module = MinAtarCNN(channels=3, hidden_sizes=(4,), activation="swish")
    images = jax.random.normal(KEY, (4, 6, 8, 2))

    def loss(params, images):
        return jnp.square(module.apply(params, images)).sum()

    def run():
        params = module.init(jax.random.key(1), images)
        return params, module.apply(params, images), jax.grad(loss, argnums=(0, 1))(params, images)

    def uses_a_convolution():
        jaxpr = jax.make_jaxpr(module.apply)(module.init(KEY, images), images)
        return "conv_general_dilated" in str(jaxpr)

    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    patches = run()
    assert not uses_a_convolution()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    direct = run()
    assert uses_a_convolution()
    assert patches[0]["params"]["kernel"].shape == (3, 3, 2, 3)
    assert jax.tree.structure(patches) == jax.tree.structure(direct)
    for ours, theirs in zip(jax.tree.leaves(patches), jax.tree.leaves(direct), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8])
@pytest.mark.parametrize("obs_shape", [(4, 4, 2), (6,)])
def test_any_dtype_means_the_same_numbers_as_float32(dtype, obs_shape):
    obs = np.random.default_rng(2).integers(0, 2, size=(3, *obs_shape))
    module = make_torso(obs_shape, (5,), "tanh")
    params = module.init(KEY, jnp.asarray(obs, dtype))
    out = module.apply(params, jnp.asarray(obs, dtype))
    assert out.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(out, module.apply(params, jnp.asarray(obs, jnp.float32)))


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("obs_shape", [(), (4,), (4, 2), (4, 5, 2), (2, 2, 2, 2)])
def test_make_torso_takes_any_observation_and_batch(obs_shape, batch):
    obs = jax.random.normal(KEY, (*batch, *obs_shape))
    module = make_torso(obs_shape, (6, 5), "relu")
    assert isinstance(module, MinAtarCNN if len(obs_shape) == 3 else MLP)
    assert jax.eval_shape(lambda obs: module.init_with_output(KEY, obs)[0], obs).shape == (*batch, 5)


def test_cnn_of_a_batch_equals_single_images():
    images = jax.random.normal(KEY, (2, 3, 4, 4, 2))
    module = MinAtarCNN(channels=2, hidden_sizes=(3,))
    params = module.init(KEY, images)
    batched = module.apply(params, images)
    np.testing.assert_allclose(batched[1, 2], module.apply(params, images[1, 2]), atol=1e-5)


def test_equal_torsos_compare_equal():
    assert make_torso((4,), (5,), "relu") == make_torso((4,), (5,), "relu")
    assert hash(make_torso((4, 4, 1), (5,), "relu")) == hash(make_torso((4, 4, 1), (5,), "relu"))


def test_residual_block_equals_its_formula():
    x = np.random.default_rng(3).normal(2.0, 3.0, size=(5, 4)).astype(np.float32)
    module = ResidualBlock(4, expansion=2)
    params = module.init(KEY, x)
    first, second = (params["params"][name] for name in ("Dense_0", "Dense_1"))
    assert first["kernel"].shape == (4, 8)
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    hidden = np.maximum(normal @ np.asarray(first["kernel"]), 0)
    np.testing.assert_allclose(module.apply(params, x), x + hidden @ np.asarray(second["kernel"]), atol=1e-4)


def test_residual_block_refuses_another_width():
    with pytest.raises(AssertionError):
        ResidualBlock(4).init(KEY, jnp.zeros((2, 1)))


def test_mistakes_are_named():
    with pytest.raises(ConfigurationError, match=r"unknown activation 'rellu' \(did you mean 'relu'"):
        make_torso((4,), (5,), "rellu")
    with pytest.raises(ConfigurationError, match="width below 1"):
        make_torso((4,), (5, 0), "relu")
    with pytest.raises(ConfigurationError, match="image of 2x5 is smaller"):
        make_torso((2, 5, 1), (5,), "relu").init(KEY, jnp.zeros((2, 5, 1)))
