import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.replay import replay as replays
from rlx.replay import rules, sampling
from rlx.types import Transition

write = jax.jit(replays.add)


def transitions(ids, terminated):
    """Transitions ``[T, N]`` that are told apart by their action."""
    ids = np.asarray(ids, np.int32)
    flags = np.asarray(terminated, bool)
    real = ids.astype(np.float32)
    return Transition(real, ids, real, flags, np.zeros_like(flags), real + 0.5, None, None, extras={})


def example():
    return jax.tree.map(lambda leaf: leaf[0, 0], transitions([[0]], [[False]]))


def create(block_rows, copies, num_envs, rollout_length=1):
    return replays.create_tiled(example(), block_rows * num_envs, copies, num_envs, rollout_length)


class RollingList:
    """One environment's replay as the released code keeps it: a list that really rolls."""

    def __init__(self):
        self.entries = []

    def fill(self, entries, copies):
        self.entries = list(entries) * copies

    def add(self, entry):
        self.entries[-1] = entry
        by = 2 if self.entries[0][1] else 1
        self.entries = self.entries[by:] + self.entries[:by]


def in_order(replay, env):
    """Actions from the oldest on, as the replay itself finds them by age."""
    rows = replay.ring.capacity
    found = []
    for offset in range(rows):
        rule = rules.ByAge(lambda uniform, offset=offset: jnp.full_like(uniform, (rows - 1 - offset + 0.5) / rows))
        drawn = replays.sample(replay, 10**6, jax.random.key(0), 16, rule, 0.9)
        here = np.asarray(drawn.indices) % replay.ring.num_envs == env
        found.append(set(np.asarray(drawn.batch.action)[here].tolist()))
    assert all(len(values) == 1 for values in found)
    return [values.pop() for values in found]


def test_the_order_of_the_paper_by_hand():
    # Ids 1, 2 (terminal), 3, tiled twice, then 4, 5, 6 (terminal), 7, 8.
    replay = create(3, 2, 1)
    for count, (name, ends) in enumerate([(1, 0), (2, 1), (3, 0)]):
        replay = write(replay, transitions([[name]], [[ends]]), count + 1)
    np.testing.assert_array_equal(replay.ring.data.action[:, 0], [1, 2, 3, 1, 2, 3])
    assert in_order(replay, 0) == [1, 2, 3, 1, 2, 3]
    expected = {
        4: [2, 3, 1, 2, 4, 1],
        5: [1, 2, 4, 5, 2, 3],
        6: [2, 4, 5, 2, 6, 1],
        7: [5, 2, 6, 7, 2, 4],
        8: [2, 6, 7, 2, 8, 5],
    }
    for name, order in expected.items():
        replay = write(replay, transitions([[name]], [[name == 6]]), name)
        assert in_order(replay, 0) == order


@pytest.mark.parametrize("rollout_length", [1, 2])
def test_matches_a_list_that_rolls_in_every_environment(rollout_length):
    block, copies, num_envs, steps = 4, 3, 3, 60
    rng = np.random.default_rng(0)
    terminated = rng.random((steps, num_envs)) < 0.3
    terminated[[1, 2, 20, 21, 22], 0] = True  # adjacent ones, in the block and after it
    terminated[:, 2] = False
    ids = np.arange(1, steps * num_envs + 1).reshape(steps, num_envs)
    replay, lists = create(block, copies, num_envs, rollout_length), [RollingList() for _ in range(num_envs)]
    entries = [list(zip(ids[:, env].tolist(), terminated[:, env].tolist(), strict=True)) for env in range(num_envs)]
    for env, rolling in enumerate(lists):
        rolling.fill(entries[env][:block], copies)
    for count in range(rollout_length, steps + 1, rollout_length):
        new = slice(count - rollout_length, count)
        replay = write(replay, transitions(ids[new], terminated[new]), count)
        for env, rolling in enumerate(lists):
            for entry in entries[env][new] if count > block else []:
                rolling.add(entry)
            if count >= block:
                order = (np.asarray(replay.queue.pointer)[env] + 1 + np.arange(block * copies)) % (block * copies)
                found = np.asarray(replay.ring.data.action)[order, env].tolist()
                assert found == [name for name, _ in rolling.entries]
    assert in_order(replay, 1) == [name for name, _ in lists[1].entries]


def test_it_is_ready_when_the_block_is_whole_and_then_draws_from_all_rows():
    replay = create(3, 2, 2)
    assert [bool(replays.ready(replay, count)) for count in (0, 2, 3, 50)] == [False, False, True, True]
    replay = write(replay, transitions([[1, 2]], [[0, 0]]), 1)
    replay = write(replay, transitions([[3, 4]], [[0, 0]]), 2)
    replay = write(replay, transitions([[5, 6]], [[0, 0]]), 3)
    drawn = replays.sample(replay, 3, jax.random.key(0), 200, rules.Uniform(), 0.9)
    assert set(np.asarray(drawn.indices).tolist()) == set(range(12))
    np.testing.assert_array_equal(drawn.batch.action, 1 + np.asarray(drawn.indices) % 6)
    newest = replays.sample(replay, 3, jax.random.key(0), 50, rules.Newest(1), 0.9)
    assert set(np.asarray(newest.batch.action).tolist()) == {5, 6}


def test_fading_weights_draw_by_age_from_the_queue():
    # Five rows, weights tanh((pi i / 5)^e): the probabilities of the paper's replay, oldest first.
    weights = np.tanh((np.pi * np.arange(5) / 5) ** np.e)
    rule, draws = rules.ByAge(sampling.inverse_cdf_of(weights)), 100_000
    replay = create(5, 1, 1)
    for count in range(1, 8):
        replay = write(replay, transitions([[count]], [[0]]), count)
    # 6 lies over 5 and 7 over 1, so the order is 3, 4, 6, 7, 2: what 8 would lie over is drawn most.
    drawn = replays.sample(replay, 7, jax.random.key(0), draws, rule, 0.9)
    found = np.bincount(np.asarray(drawn.batch.action), minlength=8) / draws
    expected = {3: 0.0, 4: 0.085325, 6: 0.295135, 7: 0.309765, 2: 0.309774, 1: 0.0, 5: 0.0}
    for action, probability in expected.items():
        np.testing.assert_allclose(found[action], probability, atol=4 * np.sqrt(0.25 / draws))
    assert found[3] == found[1] == found[5] == 0


def test_members_of_a_population_keep_their_own_pointers():
    members = 3
    together = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), create(2, 2, 2))
    separate = [create(2, 2, 2) for _ in range(members)]
    rng = np.random.default_rng(1)
    add = jax.jit(jax.vmap(replays.add, in_axes=(0, 0, None)))
    for count in range(1, 20):
        rollout = transitions(rng.integers(0, 99, (members, 1, 2)), rng.random((members, 1, 2)) < 0.4)
        together = add(together, rollout, count)
        own = [jax.tree.map(lambda leaf, m=member: leaf[m], rollout) for member in range(members)]
        separate = [write(replay, rows, count) for replay, rows in zip(separate, own, strict=True)]
    for member, alone in enumerate(separate):
        jax.tree.map(lambda a, b, m=member: np.testing.assert_array_equal(a[m], b), together, alone)
    assert len({tuple(np.asarray(alone.queue.pointer)) for alone in separate}) > 1


def test_terminations_can_fade_as_all_else():
    """The ids of the example above, in the order in which they were written."""
    replay = replays.create_tiled(example(), 3, 2, 1, 1, requeue_terminations=False)
    for count, (name, ends) in enumerate([(1, 0), (2, 1), (3, 0), (4, 0), (5, 0), (6, 1), (7, 0), (8, 0)]):
        replay = write(replay, transitions([[name]], [[ends]]), count + 1)
    # 4 lies over the last 3, then 5 over 1, 6 over 2, 7 over 3 and 8 over 1; the next one would lie over 2.
    assert in_order(replay, 0) == [4, 5, 6, 7, 8, 2]


def test_refuses_rows_of_another_shape():
    with pytest.raises(AssertionError, match="shape"):
        replays.add(create(2, 2, 3), transitions([[1]], [[0]]), 1)
