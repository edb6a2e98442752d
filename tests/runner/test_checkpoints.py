import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.runner.checkpoint import Checkpoints


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
