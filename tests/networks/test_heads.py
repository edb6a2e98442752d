import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.networks.heads import DeterministicNetwork, GaussianNetwork, PairNetwork, PolicyNetwork, QNetwork, ValueNetwork
from rlx.types import Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)
OBS_SHAPES = [(3,), (4, 4, 2)]
BATCHES = [(), (2, 5)]


def output_shapes(module, obs_shape, batch):
    obs = jnp.zeros((*batch, *obs_shape))
    out = jax.eval_shape(lambda obs: module.init_with_output(KEY, obs)[0], obs)
    return jax.tree.map(lambda leaf: leaf.shape, out)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("obs_shape", OBS_SHAPES)
def test_shapes_for_every_space(obs_shape, batch):
    def policy(space):
        return output_shapes(PolicyNetwork(space, (8,), "tanh", obs_shape), obs_shape, batch)

    assert policy(Discrete(4)) == (*batch, 4)
    assert policy(MultiDiscrete((2, 3, 4))) == (*batch, 9)
    assert policy(Box(3)) == ((*batch, 3), (*batch, 3))
    assert output_shapes(ValueNetwork((8,), "tanh", obs_shape), obs_shape, batch) == batch
    for dueling in (False, True):
        network = QNetwork(4, (8,), "relu", obs_shape, dueling=dueling)
        assert output_shapes(network, obs_shape, batch) == (*batch, 4)


@pytest.mark.parametrize(
    ("network", "gain"),
    [
        (PolicyNetwork(Discrete(4), (8,), "tanh", (3,)), 0.01),
        (PolicyNetwork(Box(4), (8,), "tanh", (3,)), 0.01),
        (ValueNetwork((8,), "tanh", (3,)), 1.0),
    ],
)
def test_final_kernels_are_orthogonal_with_their_gain(network, gain):
    params = network.init(KEY, jnp.zeros(3))["params"]
    kernel = np.asarray(params["head"]["kernel"])
    np.testing.assert_allclose(kernel.T @ kernel / gain**2, np.eye(kernel.shape[1]), atol=1e-5)
    torso = np.asarray(params["torso"]["Dense_0"]["kernel"])
    np.testing.assert_allclose(torso @ torso.T, 2.0 * np.eye(3), atol=1e-5)


def test_log_std_is_a_parameter_that_ignores_the_observation():
    network = PolicyNetwork(Box(2), (8,), "tanh", (3,))
    obs = jax.random.normal(KEY, (5, 3))
    params = network.init(KEY, obs)
    np.testing.assert_array_equal(network.apply(params, obs)[1], np.zeros((5, 2)))
    params["params"]["log_std"] = jnp.array([0.5, -1.0])
    np.testing.assert_array_equal(network.apply(params, obs)[1], np.tile(np.float32([0.5, -1.0]), (5, 1)))
    gradient = jax.grad(lambda params: network.apply(params, obs)[1].sum())(params)["params"]
    np.testing.assert_allclose(gradient["log_std"], [5.0, 5.0])
    assert not gradient["head"]["kernel"].any()


def test_a_gaussian_of_the_observation_stays_in_bounds():
    network = GaussianNetwork(2, (4,), "elu-relu", (3,))
    obs = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    params = network.init(KEY, obs)
    weights = jax.tree.map(np.asarray, params["params"])
    hidden = obs @ weights["torso"]["Dense_0"]["kernel"]
    features = np.where(hidden > 0, hidden, np.exp(hidden) - 1)
    mean, log_std = network.apply(params, obs)
    np.testing.assert_allclose(mean, features @ weights["mean"]["kernel"], atol=1e-5)
    np.testing.assert_allclose(log_std, features @ weights["log_std"]["kernel"], atol=1e-5)
    params["params"]["log_std"]["bias"] = jnp.array([50.0, -50.0])
    np.testing.assert_array_equal(network.apply(params, obs)[1], np.tile(np.float32([2.0, -20.0]), (6, 1)))


def test_a_pair_network_sees_both_and_initialises_its_head():
    network = PairNetwork(1, (), "relu", head_init=jax.nn.initializers.constant(2.0))
    params = network.init(KEY, jnp.zeros(2), jnp.zeros(1))
    np.testing.assert_allclose(network.apply(params, jnp.array([1.0, 3.0]), jnp.array([-0.5])), [7.0])


def test_value_is_linear_in_the_features():
    network = ValueNetwork((4,), "tanh", (3,))
    obs = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    params = network.init(KEY, obs)
    torso, head = params["params"]["torso"]["Dense_0"], params["params"]["head"]
    expected = np.tanh(obs @ np.asarray(torso["kernel"])) @ np.asarray(head["kernel"])[:, 0]
    np.testing.assert_allclose(network.apply(params, obs), expected, atol=1e-5)


def test_dueling_adds_centred_advantages_to_the_value():
    network = QNetwork(3, (4,), "relu", (2,), dueling=True)
    obs = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    params = network.init(KEY, obs)
    params["params"]["value"]["bias"] = jnp.array([0.7])
    params["params"]["advantage"]["bias"] = jnp.array([0.0, 1.0, 5.0])
    weights = jax.tree.map(np.asarray, params["params"])
    features = np.maximum(obs @ weights["torso"]["Dense_0"]["kernel"], 0)
    value = features @ weights["value"]["kernel"] + 0.7
    advantage = features @ weights["advantage"]["kernel"] + np.array([0.0, 1.0, 5.0])
    q_values = np.asarray(network.apply(params, obs))
    np.testing.assert_allclose(q_values.mean(axis=1), value[:, 0], atol=1e-5)
    np.testing.assert_allclose(q_values[:, 2] - q_values[:, 0], advantage[:, 2] - advantage[:, 0], atol=1e-5)


def test_q_network_uses_its_initialiser_in_every_layer():
    network = QNetwork(3, (4,), "relu", (2,), kernel_init=jax.nn.initializers.constant(0.5))
    params = network.init(KEY, jnp.zeros(2))
    # Two features of 1 and 3: the torso gives 2 in each of 4 units, the head 0.5 * 4 * 2.
    np.testing.assert_allclose(network.apply(params, jnp.array([1.0, 3.0])), [4.0, 4.0, 4.0])


def test_boolean_images_work():
    network = QNetwork(3, (8,), "relu", (4, 4, 2))
    obs = jax.random.bernoulli(KEY, 0.5, (5, 4, 4, 2))
    params = network.init(KEY, obs)
    q_values = network.apply(params, obs)
    assert q_values.dtype == jnp.float32
    np.testing.assert_array_equal(q_values, network.apply(params, obs.astype(jnp.float32)))


def test_a_deterministic_action_is_the_tangent_of_a_linear_head():
    network = DeterministicNetwork(2, (4,), "relu", (2,), kernel_init=jax.nn.initializers.constant(0.1))
    params = network.init(KEY, jnp.zeros(2))
    # Two features of 1 and 3: the torso gives 0.4 in each of 4 units, the head 0.1 * 4 * 0.4.
    np.testing.assert_allclose(network.apply(params, jnp.array([1.0, 3.0])), [np.tanh(0.16)] * 2, rtol=1e-6)
