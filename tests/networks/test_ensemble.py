import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.networks.ensemble import apply_ensemble, init_ensemble
from rlx.networks.heads import PolicyNetwork, QNetwork
from rlx.types import Box

KEY = jax.random.key(0)


def test_members_differ_and_equal_single_applications():
    network = QNetwork(3, (6,), "relu", (2,))
    obs = jax.random.normal(KEY, (5, 2))
    params = init_ensemble(network, KEY, 4, obs)
    q_values = apply_ensemble(network, params, obs)
    assert q_values.shape == (4, 5, 3)
    for i, j in itertools.combinations(range(4), 2):
        assert not np.allclose(q_values[i], q_values[j], atol=1e-3)
    for i in range(4):
        alone = network.apply(jax.tree.map(lambda leaf, i=i: leaf[i], params), obs)
        np.testing.assert_allclose(q_values[i], alone, atol=1e-6)


def test_every_kernel_differs_between_members():
    network = QNetwork(3, (6, 5), "relu", (2,), dueling=True)
    params = init_ensemble(network, KEY, 2, jnp.zeros(2))["params"]
    torso = params["torso"]
    for layer in (torso["Dense_0"], torso["Dense_1"], params["value"], params["advantage"]):
        assert not np.allclose(layer["kernel"][0], layer["kernel"][1], atol=1e-3)


def test_gradient_of_one_member_leaves_the_others_alone():
    network = QNetwork(3, (6,), "tanh", (2,))
    obs = jax.random.normal(KEY, (5, 2))
    params = init_ensemble(network, KEY, 3, obs)
    gradient = jax.grad(lambda params: apply_ensemble(network, params, obs)[1].sum())(params)
    norms = sum(jnp.abs(leaf).reshape(3, -1).sum(axis=1) for leaf in jax.tree.leaves(gradient))
    assert norms[0] == 0
    assert norms[1] > 0
    assert norms[2] == 0


def test_members_with_two_outputs():
    network = PolicyNetwork(Box(2), (6,), "tanh", (3,))
    obs = jnp.zeros((5, 3))
    params = jax.eval_shape(lambda: init_ensemble(network, KEY, 4, obs))
    mean, log_std = jax.eval_shape(lambda params: apply_ensemble(network, params, obs), params)
    assert mean.shape == log_std.shape == (4, 5, 2)


def test_an_empty_ensemble_is_refused():
    with pytest.raises(ConfigurationError, match="at least 1"):
        init_ensemble(QNetwork(3, (6,), "relu", (2,)), KEY, 0, jnp.zeros(2))
