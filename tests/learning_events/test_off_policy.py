import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.learning.off_policy import every, learn_when_warm, updates_before
from rlx.types import Clock


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


@pytest.mark.parametrize(
    ("learning_starts", "before"), [(0, [0, 3, 6, 9]), (4, [0, 3, 6, 9]), (5, [0, 0, 3, 6]), (13, [0, 0, 0, 0])]
)
def test_updates_are_counted_from_the_first_event_that_learns(learning_starts, before):
    """Events of 4 steps and 3 updates; the first that learns has 0 updates before it."""
    agent = SimpleNamespace(learning_starts=learning_starts, num_updates=3)
    clock = Clock.start(100, 4)
    at = lambda event: dataclasses.replace(clock, iterations=jnp.int32(event))  # noqa: E731
    assert [int(updates_before(agent, at(event))) for event in (1, 2, 3, 4)] == before


def test_every_third_update_changes_something_and_its_losses_are_right_in_a_mean():
    change = lambda learner: (learner + 1, {"loss": jnp.float32(5.0)})  # noqa: E731
    results = [every(3, jnp.int32(number), change, jnp.int32(10)) for number in range(6)]
    assert [int(learner) for learner, _ in results] == [11, 10, 10, 11, 10, 10]
    assert np.mean([losses["loss"] for _, losses in results]) == 5.0
    assert every(1, jnp.int32(1), change, jnp.int32(10))[1]["loss"] == 5.0
