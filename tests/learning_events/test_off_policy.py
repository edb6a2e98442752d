import jax
import jax.numpy as jnp
import numpy as np

from rlx.learning.off_policy import learn_when_warm


def note(learner, key):
    """An update that notes its draw, and whose metric is its number."""
    number, draws = learner
    values = {"number": number.astype(jnp.float32), "both": jnp.stack([number, -3.0 * number])}
    return (number + 1, draws.at[number].set(jax.random.uniform(key))), values


def learned(warm, key=0, num_updates=4):
    learner = (jnp.int32(0), jnp.full(6, -1.0))
    return jax.jit(lambda warm: learn_when_warm(warm, note, learner, jax.random.key(key), num_updates))(warm)


def test_every_update_has_a_key_of_its_own_and_follows_the_one_before():
    (number, draws), metrics = learned(warm=True)
    assert number == 4
    assert len(np.unique(draws[:4])) == 4
    assert draws[4:].tolist() == [-1.0, -1.0]
    assert metrics.means["number"] == (0 + 1 + 2 + 3) / 4
    assert metrics.means["both"].tolist() == [1.5, -4.5]
    assert metrics.updates == 4.0
    (_, others), _ = learned(warm=True, key=1)
    assert not set(draws[:4].tolist()) & set(others[:4].tolist())


def test_before_it_is_warm_nothing_changes():
    (number, draws), metrics = learned(warm=False)
    assert number == 0
    assert (np.asarray(draws) == -1.0).all()
    assert (metrics.updates, metrics.means["number"]) == (0.0, 0.0)
