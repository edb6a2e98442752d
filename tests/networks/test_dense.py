"""The dense layer's own gradient."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.test_util import check_grads

from rlx.networks.dense import dense, product
from rlx.networks.initialisers import glorot_uniform

X = jax.random.normal(jax.random.key(0), (2, 3, 5))
KERNEL = jax.random.normal(jax.random.key(1), (5, 4))


def test_gradients_of_the_product_equal_finite_differences():
    check_grads(product, (X, KERNEL), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_a_dense_layer_has_the_values_and_gradients_of_flax_under_vmap():
    ours, flax = dense(4, glorot_uniform()), nn.Dense(4, kernel_init=glorot_uniform())
    params = jax.vmap(lambda key: flax.init(key, X))(jax.random.split(jax.random.key(2), 3))

    def values_and_gradients(layer):
        def loss(params, x):
            return jnp.sum(jnp.sin(layer.apply(params, x)))

        return jax.vmap(jax.value_and_grad(loss, argnums=(0, 1)), (0, None))(params, X)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        values_and_gradients(ours),
        values_and_gradients(flax),
    )
