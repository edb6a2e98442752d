import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.ops.polyak import periodic_copy, polyak

TARGET = {"kernel": jnp.array([[1.0, 2.0]]), "bias": jnp.array([0.0])}
ONLINE = {"kernel": jnp.array([[5.0, -2.0]]), "bias": jnp.array([8.0])}


@pytest.mark.parametrize(
    ("tau", "kernel", "bias"),
    [(0.25, [[2.0, 1.0]], [2.0]), (0.0, [[1.0, 2.0]], [0.0]), (1.0, [[5.0, -2.0]], [8.0])],
)
def test_polyak(tau, kernel, bias):
    moved = jax.jit(polyak)(TARGET, ONLINE, tau)
    np.testing.assert_array_equal(moved["kernel"], kernel)
    np.testing.assert_array_equal(moved["bias"], bias)


def test_repeated_polyak_decays_geometrically():
    moved = TARGET
    for _ in range(10):
        moved = polyak(moved, ONLINE, 0.1)
    np.testing.assert_allclose(moved["bias"], [8.0 * (1.0 - 0.9**10)], rtol=1e-5)


def test_periodic_copy():
    copy = jax.jit(periodic_copy)
    np.testing.assert_array_equal(copy(TARGET, ONLINE, jnp.array(True))["kernel"], [[5.0, -2.0]])
    np.testing.assert_array_equal(copy(TARGET, ONLINE, jnp.array(False))["kernel"], [[1.0, 2.0]])


def test_periodic_copy_stays_a_branch_under_vmap_on_a_shared_condition():
    def members(target, online, do_copy):
        return jax.vmap(periodic_copy, in_axes=(0, 0, None))(target, online, do_copy)

    arguments = jnp.zeros((3, 2)), jnp.ones((3, 2)), jnp.array(True)
    primitives = [equation.primitive.name for equation in jax.make_jaxpr(members)(*arguments).eqns]
    assert "cond" in primitives
    assert "select_n" not in primitives
