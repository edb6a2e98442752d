import re
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.replay import ring

ITEM = {
    "image": jax.ShapeDtypeStruct((2, 2), jnp.uint8),
    "real": jax.ShapeDtypeStruct((3,), jnp.float32),
    "half": jax.ShapeDtypeStruct((), jnp.bfloat16),
    "action": jax.ShapeDtypeStruct((), jnp.int32),
    "flag": jax.ShapeDtypeStruct((), jnp.bool_),
    "mask": None,
}


def scalar_item():
    return jax.ShapeDtypeStruct((), jnp.int32)


def row(time, num_envs):
    return 100 * time + np.arange(num_envs, dtype=np.int32)


def test_init_keeps_dtypes_shapes_and_nones():
    store = ring.init(ITEM, capacity=6, num_envs=2)
    found = {name: (leaf.shape, leaf.dtype.name) for name, leaf in store.data.items() if leaf is not None}
    assert found == {
        "image": ((6, 2, 2, 2), "uint8"),
        "real": ((6, 2, 3), "float32"),
        "half": ((6, 2), "bfloat16"),
        "action": ((6, 2), "int32"),
        "flag": ((6, 2), "bool"),
    }
    assert store.data["mask"] is None
    assert (store.capacity, store.num_envs) == (6, 2)
    assert sum(np.count_nonzero(np.asarray(leaf, np.float32)) for leaf in jax.tree.leaves(store)) == 0


def test_init_accepts_arrays():
    store = ring.init((np.ones((4,), np.float16), jnp.array(True)), capacity=3, num_envs=5)
    assert [(leaf.shape, leaf.dtype.name) for leaf in store.data] == [
        ((3, 5, 4), "float16"),
        ((3, 5), "bool"),
    ]


def test_add_and_take_keep_dtypes():
    store = ring.init(ITEM, capacity=6, num_envs=2)
    rows = jax.tree.map(lambda leaf: jnp.ones((2, 2, *leaf.shape), leaf.dtype), ITEM)
    store = ring.add(store, rows, 2)
    batch = ring.take(store, jnp.array([3, 0]), jnp.array([1, 0]))
    for name in ("image", "real", "half", "action", "flag"):
        assert store.data[name].dtype == batch[name].dtype == ITEM[name].dtype
        assert batch[name].shape == (2, *ITEM[name].shape)
        np.testing.assert_array_equal(np.asarray(batch[name][0], np.float32), 1.0)
        np.testing.assert_array_equal(np.asarray(batch[name][1], np.float32), 0.0)
    assert batch["mask"] is None


@pytest.mark.parametrize("num_rows", [1, 2, 6])
def test_matches_a_deque_at_every_count(num_rows):
    capacity, num_envs = 6, 3
    store, reference = ring.init(scalar_item(), capacity, num_envs), deque(maxlen=capacity)
    write = jax.jit(ring.add)
    offsets, envs = (index.ravel() for index in np.indices((capacity, num_envs)))

    @jax.jit
    def read(store, count):
        physical = ring.physical_row(store, count, offsets)
        return ring.size(store, count), ring.take(store, physical, envs)

    for count in range(0, 4 * capacity, num_rows):
        fresh = np.stack([row(count + step, num_envs) for step in range(num_rows)])
        store = write(store, fresh, count)
        reference.extend(fresh)
        size, values = read(store, count + num_rows)
        assert size == len(reference)
        held = np.asarray(values).reshape(capacity, num_envs)[: len(reference)]
        np.testing.assert_array_equal(held, np.stack(reference))


def test_take_broadcasts_windows_of_rows_against_environments():
    store = ring.init(scalar_item(), capacity=4, num_envs=3)
    store = ring.add(store, jnp.asarray(np.stack([row(time, 3) for time in range(4)])), 0)
    windows = ring.take(store, jnp.array([[0, 1], [3, 2]]), jnp.array([[2], [1]]))
    np.testing.assert_array_equal(windows, [[2, 102], [301, 201]])


def test_a_population_equals_separate_rings():
    capacity, num_envs, members = 4, 2, 3
    values = np.arange(members * 6 * num_envs, dtype=np.int32).reshape(members, 6, 1, num_envs)
    together = jax.vmap(lambda _: ring.init(scalar_item(), capacity, num_envs))(jnp.arange(members))
    separate = [ring.init(scalar_item(), capacity, num_envs) for _ in range(members)]
    write = jax.jit(jax.vmap(ring.add, in_axes=(0, 0, None)))
    for count in range(6):
        together = write(together, values[:, count], count)
        separate = [ring.add(one, values[member, count], count) for member, one in enumerate(separate)]
    rows, envs = jnp.array([[0, 1], [2, 3], [1, 1]]), jnp.array([[0, 1], [1, 0], [1, 1]])
    batch = jax.vmap(ring.take)(together, rows, envs)
    for member, one in enumerate(separate):
        np.testing.assert_array_equal(together.data[member], one.data)
        np.testing.assert_array_equal(batch[member], ring.take(one, rows[member], envs[member]))
    # Rows 4 and 5 lie over rows 0 and 1.
    np.testing.assert_array_equal(separate[0].data, [[8, 9], [10, 11], [4, 5], [6, 7]])


def test_a_donated_population_is_written_in_place():
    members, capacity, num_envs = 3, 4096, 2
    item = (jax.ShapeDtypeStruct((5,), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_))
    stores = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), ring.init(item, capacity, num_envs))

    def step(count, carry):
        stores, total = carry
        rows = (jnp.full((members, 1, num_envs, 5), total), jnp.ones((members, 1, num_envs), bool))
        stores = jax.vmap(ring.add, in_axes=(0, 0, None))(stores, rows, count)
        values, _ = jax.vmap(ring.take)(stores, jnp.full((members, 7), count // 2), jnp.zeros((members, 7), int))
        return stores, total + values.mean() + 1.0

    def run(carry, steps):
        return jax.lax.fori_loop(0, steps, step, carry)

    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(stores))
    compiled = jax.jit(run, donate_argnums=0).lower((stores, jnp.float32(0)), 10).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.01 * num_bytes
    assert not re.search(rf"\[{members},{capacity},[\d,]*\]\S* copy\(", compiled.as_text())
    assert " scatter(" not in compiled.as_text()


def test_refuses_rows_that_do_not_divide_the_capacity():
    store = ring.init(scalar_item(), capacity=6, num_envs=1)
    with pytest.raises(ConfigurationError, match="6 rows cannot be filled 4 at a time; make its rows a multiple"):
        ring.add(store, jnp.zeros((4, 1), jnp.int32), 0)
    with pytest.raises(ConfigurationError, match="6 rows cannot be filled 12 at a time"):
        ring.add(store, jnp.zeros((12, 1), jnp.int32), 0)


def test_refuses_rows_of_another_shape():
    store = ring.init(scalar_item(), capacity=6, num_envs=3)
    with pytest.raises(AssertionError, match="shape"):
        ring.add(store, jnp.zeros((1, 2), jnp.int32), 0)


@pytest.mark.parametrize(("capacity", "num_envs"), [(0, 1), (5, 0)])
def test_refuses_an_empty_ring(capacity, num_envs):
    with pytest.raises(ConfigurationError, match="must be at least 1"):
        ring.init(scalar_item(), capacity, num_envs)
