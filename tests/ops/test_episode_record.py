import jax
import jax.numpy as jnp
import numpy as np

from rlx.ops import episode_record
from rlx.ops.episode_record import WINDOW

N, T, THRESHOLD = 2, 40, 3.0


def by_hand(reward, ended):
    """Returns of all episodes in order, the steps at which they end, and what is asked of them."""
    running, returns, steps = np.zeros(N), [], []
    for step in range(len(reward)):
        running += reward[step]
        for env in range(N):
            if ended[step, env]:
                returns.append(running[env])
                steps.append(N * (step + 1))
                running[env] = 0
    successes = [step for total, step in zip(returns, steps, strict=True) if total > 0]
    solved = [
        steps[i] for i in range(WINDOW - 1, len(returns)) if np.mean(returns[i - WINDOW + 1 : i + 1]) >= THRESHOLD
    ]
    return returns, (successes or [0])[0], (solved or [0])[0], running


def test_it_equals_a_loop_over_episodes_however_rollouts_are_cut():
    rng = np.random.default_rng(0)
    reward = np.where(np.arange(T)[:, None] < 8, 0, rng.integers(0, 3, size=(T, N)))
    ended = rng.random((T, N)) < 0.4
    update = jax.jit(episode_record.update)
    record = episode_record.init(N)
    for start, end in ((0, 3), (3, 4), (4, 20), (20, 23), (23, T)):
        part = jnp.asarray(reward[start:end], jnp.float32), jnp.asarray(ended[start:end])
        record = update(record, *part, jnp.int32(start * N), THRESHOLD)
        returns, success, solved, running = by_hand(reward[:end], ended[:end])
        assert record.episodes == len(returns)
        assert record.first_success == success
        assert record.solved == solved
        np.testing.assert_array_equal(record.running, running)
        np.testing.assert_allclose(record.recent_mean, np.mean(returns[-WINDOW:]) if returns else 0.0, rtol=1e-6)
    assert 8 * N < success < solved < T * N  # neither at the start nor never


def test_solved_needs_ten_episodes():
    """Episodes of one step and return 5 in one environment: the tenth ends at step 10."""
    reward, ended = jnp.full((12, 1), 5.0), jnp.ones((12, 1), bool)
    record = episode_record.update(episode_record.init(1), reward, ended, jnp.int32(100), 5.0)
    assert record.solved == 110
    assert record.first_success == 101
    few = episode_record.update(episode_record.init(1), reward[:9], ended[:9], jnp.int32(100), 5.0)
    assert few.solved == 0
    assert few.recent_mean == 5.0


def test_running_episodes_can_be_abandoned():
    record = episode_record.init(1)
    reward = jnp.ones((3, 1))
    at = lambda step: jnp.zeros((3, 1), bool).at[step].set(True)  # noqa: E731
    record = episode_record.update(record, reward, at(1), jnp.int32(0), THRESHOLD)
    for abandoned, total in ((False, 4.0), (True, 3.0)):
        before = episode_record.abandon(record) if abandoned else record
        after = episode_record.update(
            before, reward[:3], jnp.array([[False], [False], [True]]), jnp.int32(3), THRESHOLD
        )
        assert after.recent[-1] == total
        assert after.episodes == 2
