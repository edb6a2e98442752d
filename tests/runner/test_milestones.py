import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rlx.runner.episodes import RECENT, Episodes, Milestones, summary_of

N, T, THRESHOLD = 2, 40, 3.0


def totals(reward, ended):
    """Return of the running episode up to each step, as collecting hands it over, and the running ones at the end."""
    running, found = np.zeros(reward.shape[1]), []
    for step in range(len(reward)):
        running = running + reward[step]
        found.append(running)
        running = np.where(ended[step], 0, running)
    return np.array(found, np.float32)


def by_hand(reward, ended):
    """Returns of all episodes in order, and the steps at which they first succeed and count as solved."""
    returns, steps = [], []
    for step, total in enumerate(totals(reward, ended)):
        for env in np.flatnonzero(ended[step]):
            returns.append(total[env])
            steps.append(step + 1)
    successes = [step for total, step in zip(returns, steps, strict=True) if total > 0]
    windows = range(RECENT - 1, len(returns))
    solved = [steps[i] for i in windows if np.mean(returns[i - RECENT + 1 : i + 1]) >= THRESHOLD]
    return returns, (successes or [0])[0], (solved or [0])[0]


def summarised(reached):
    """What is reported of one member with ``N`` environments."""
    episodes = dataclasses.replace(Episodes.start(N), milestones=reached).over_envs()
    return summary_of(jax.tree.map(lambda leaf: np.asarray(leaf)[None], episodes))


def test_they_equal_a_loop_over_episodes_however_rollouts_are_cut():
    rng = np.random.default_rng(0)
    reward = np.where(np.arange(T)[:, None] < 8, 0, rng.integers(0, 3, size=(T, N)))
    ended = rng.random((T, N)) < 0.4
    after = jax.jit(Milestones.after)
    reached = Milestones.start(THRESHOLD)
    returns_at = totals(reward, ended)
    for start, end in ((0, 3), (3, 4), (4, 20), (20, 23), (23, T)):
        reached = after(reached, returns_at[start:end], ended[start:end], jnp.int32(start))
        returns, success, solved = by_hand(reward[:end], ended[:end])
        assert reached.ended == len(returns)
        assert reached.first_success == success
        assert reached.solved == solved
        recent = summarised(reached)["recent_return"]
        np.testing.assert_allclose(recent, [np.mean(returns[-RECENT:]) if returns else 0.0], rtol=1e-6)
    assert 8 < success < solved < T  # neither at the start nor never


def test_solved_needs_ten_episodes():
    """Episodes of one step and return 5 in one environment: the tenth ends at step 10."""
    returns, ended = jnp.full((12, 1), 5.0), jnp.ones((12, 1), bool)
    reached = Milestones.start(5.0).after(returns, ended, jnp.int32(100))
    assert reached.solved == 110
    assert reached.first_success == 101
    few = Milestones.start(5.0).after(returns[:9], ended[:9], jnp.int32(100))
    assert few.solved == 0
    assert summarised(few)["recent_return"] == [5.0]


def test_what_is_reported_counts_the_steps_of_all_environments():
    reached = Milestones.start(5.0).after(jnp.full((12, 1), 5.0), jnp.ones((12, 1), bool), jnp.int32(2**30))
    found = summarised(reached)
    assert found["first_success_at"].tolist() == [N * (2**30 + 1)]
    assert found["solved_at"].tolist() == [N * (2**30 + 10)]  # more than an int32 holds
