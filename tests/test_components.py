import jax.numpy as jnp

from rlx.components import by_component


def test_components_of_unequal_size_stand_one_after_the_other():
    flat = jnp.arange(6.0)
    assert by_component(flat, (3, 1, 2), fill=-1.0).tolist() == [[0, 1, 2], [3, -1, -1], [4, 5, -1]]
    assert by_component(flat[None], (3, 3)).tolist() == [[[0, 1, 2], [3, 4, 5]]]
