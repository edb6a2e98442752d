import contextlib
import tracemalloc
from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlx.errors import ConfigurationError
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.pieces import Joined


def state(value):
    return {
        "params": jnp.full((2, 3), value, jnp.float32),
        "count": jnp.int32(value),
        "mask": jnp.array([True, False]),
        "empty": jnp.zeros((2, 0, 3), jnp.int32),
        "key": jax.random.split(jax.random.key(value)),
        "nothing": None,
    }


def saved(folder, scores, keep, best=False):
    """A folder in which states 1, 2, ... have been saved with these scores."""
    checkpoints = Checkpoints(folder, keep, best)
    for step, score in enumerate(scores, start=1):
        checkpoints.save(step, state(step), score)
    checkpoints.close()
    return folder


def steps(folder):
    checkpoints = Checkpoints(folder, keep=10)
    found = checkpoints.steps()
    checkpoints.close()
    return found


def restored(folder):
    checkpoints = Checkpoints(folder, keep=10)
    try:
        return checkpoints.restore(jax.eval_shape(lambda: state(0)))
    finally:
        checkpoints.close()


def test_the_newest_comes_back_bit_for_bit(tmp_path):
    step, result = restored(saved(tmp_path, scores=[0.0, 0.0], keep=2))
    assert step == 2
    assert jax.tree.structure(result) == jax.tree.structure(state(2))
    for name in ("params", "count", "mask", "empty"):
        np.testing.assert_array_equal(result[name], state(2)[name])
        assert result[name].dtype == state(2)[name].dtype
    np.testing.assert_array_equal(jax.random.key_data(result["key"]), jax.random.key_data(state(2)["key"]))
    assert jax.random.key_impl(result["key"]) == jax.random.key_impl(state(2)["key"])


def test_the_last_are_kept(tmp_path):
    assert steps(saved(tmp_path, scores=[9.0, 0.0, 0.0, 0.0], keep=2)) == [3, 4]


def test_the_best_is_kept_beside_the_last(tmp_path):
    assert steps(saved(tmp_path, scores=[0.0, 9.0, 1.0, 2.0, 3.0], keep=2, best=True)) == [2, 4, 5]


def test_a_saved_step_is_not_written_again(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state(1))
    checkpoints.save(1, state(7))
    checkpoints.close()
    assert restored(tmp_path)[1]["count"] == 1


def test_a_state_is_saved_as_it_was_though_its_buffers_are_donated(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    given = state(1)
    checkpoints.save(1, given)
    jax.jit(lambda x: x * 0 - 1, donate_argnums=0)(given["params"]).block_until_ready()
    checkpoints.close()
    np.testing.assert_array_equal(restored(tmp_path)[1]["params"], state(1)["params"])


@contextlib.contextmanager
def files_of_at_most(num_bytes):
    """The operating system refuses to write more to any file, as it does on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def random_state(num_floats):
    return {"params": np.random.default_rng(0).random(num_floats, np.float32)}  # which does not compress


@pytest.mark.parametrize("num_pieces", [0.01, 2.5])  # written in the background, and at once
def test_a_save_that_fails_is_told_and_leaves_the_one_before(tmp_path, monkeypatch, num_pieces, capfd):
    monkeypatch.setattr("rlx.runner.checkpoint.PIECE_BYTES", 2**20)
    checkpoints = Checkpoints(tmp_path, keep=5)
    good = random_state(10)
    checkpoints.save(1, good)
    assert checkpoints.steps() == [1]
    with files_of_at_most(4096), pytest.raises(OSError, match="File too large") as failed, closing(checkpoints):
        checkpoints.save(2, random_state(int(num_pieces * 2**18)))
    assert failed.value.filename == str(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
    assert "Traceback" not in capfd.readouterr().err
    again = Checkpoints(tmp_path, keep=5)
    np.testing.assert_array_equal(again.restore(good)[1]["params"], good["params"])


def test_a_large_state_is_saved_without_a_copy(tmp_path, monkeypatch):
    """32 MiB in pieces of 1 MiB."""
    for room in ("pieces", "checkpoint"):
        monkeypatch.setattr(f"rlx.runner.{room}.PIECE_BYTES", 2**20)
    large = jax.block_until_ready(jax.random.bits(jax.random.key(0), (1, 2**15 + 7, 256), jnp.uint32))
    checkpoints = Checkpoints(tmp_path, keep=1)
    tracemalloc.start()
    checkpoints.save(1, {"replay": Joined([large], 1)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
    restored = checkpoints.restore({"replay": jax.ShapeDtypeStruct(large.shape, large.dtype)})[1]
    np.testing.assert_array_equal(restored["replay"], large)
    # Nobody holds on to the array: it can still be given up in place.
    moved = jax.jit(lambda x: x + 1, donate_argnums=0)(large)
    assert large.is_deleted()
    assert moved[0, 0, 0] == restored["replay"][0, 0, 0] + 1


@pytest.mark.parametrize("piece_bytes", [4, 24, 100, 2**20])
def test_groups_are_saved_as_one_array_however_they_are_cut(tmp_path, monkeypatch, piece_bytes):
    monkeypatch.setattr("rlx.runner.pieces.PIECE_BYTES", piece_bytes)
    monkeypatch.setattr("rlx.runner.checkpoint.PIECE_BYTES", 0)
    whole = np.arange(5 * 7 * 3, dtype=np.int32).reshape(5, 7, 3)
    mesh = Mesh(np.array(jax.devices()[:2]), ("members",))
    halves = [whole[:4], np.concatenate([whole[4:], whole[4:]])]  # of members 0 to 4, the last one filled up
    parts = [jax.device_put(half, NamedSharding(mesh, PartitionSpec("members"))) for half in halves]
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, {"leaf": Joined(parts, 5), "clock": jnp.int32(3)})
    restored = checkpoints.restore({"leaf": whole, "clock": np.int32(0)})[1]
    np.testing.assert_array_equal(restored["leaf"], whole)
    assert restored["clock"] == 3
    np.testing.assert_array_equal(np.asarray(Joined(parts, 5)), whole)


def test_a_tree_without_arrays_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, {"params": None, "rest": ()})
    assert checkpoints.restore({"params": None, "rest": ()}) == (1, {"params": None, "rest": ()})


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing is saved"):
        restored(tmp_path)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    saved(tmp_path, scores=[0.0, 0.0], keep=2)
    files = [path for path in (tmp_path / "2" / "default").rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ConfigurationError, match=r"2 is damaged or belongs to another configuration"):
        restored(tmp_path)


def test_a_state_of_another_shape_is_refused(tmp_path):
    saved(tmp_path, scores=[0.0], keep=1)
    checkpoints = Checkpoints(tmp_path, keep=1)
    other = jax.eval_shape(lambda: state(0) | {"params": jnp.zeros((2, 4))})
    with pytest.raises(ConfigurationError, match="damaged or belongs to another configuration"):
        checkpoints.restore(other)
    checkpoints.close()
