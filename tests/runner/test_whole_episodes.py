"""Evaluation counts each of its episodes once and whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from stub import Stub, StubState

import rlx
from rlx.envs.probes import Terminated
from rlx.loggers.jsonl import read_rows
from rlx.runner import population
from rlx.runner.evaluate import evaluate, record


def played(name, num_episodes, max_steps=None, **options):
    env = rlx.make_env(name, **options)
    agent, state = Stub(env.spec), StubState(params=np.zeros(3), memory=np.zeros(2))
    run = jax.jit(lambda key: evaluate(agent, env, state, key, num_episodes, "greedy", max_steps))
    return jax.tree.map(np.asarray, run(jax.random.key(0)))


def test_every_episode_counts_once_whatever_its_length():
    """Of probe-terminated's episodes a third each have 1, 2 and 3 steps, each of reward 1."""
    result = played("rlx/probe-terminated", 3_000)
    np.testing.assert_array_equal(result.returns, result.lengths)
    counts = np.bincount(result.lengths, minlength=4)
    assert counts[0] == 0
    assert len(counts) == 4
    # Five standard deviations of a binomial of 3,000 and 1/3; counting episodes as they end would favour short ones.
    assert (abs(counts[1:] - 1_000) < 130).all()


def test_a_truncated_episode_is_whole():
    result = played("rlx/probe-truncated", 3)
    assert result.lengths.tolist() == [5, 5, 5]
    assert result.returns.tolist() == [5.0, 5.0, 5.0]


def test_an_episode_ends_at_the_limit_that_was_asked_for():
    result = played("rlx/probe-truncated", 2, max_episode_steps=3)
    assert result.lengths.tolist() == [3, 3]


def test_a_single_episode():
    result = played("rlx/probe-delayed", 1)
    assert (result.returns.tolist(), result.lengths.tolist()) == ([1.0], [2])


@struct.dataclass
class Unlimited:
    reward: float = 0.5


class Endless(Terminated):
    """Pays in every step and never ends."""

    default_params = Unlimited()

    def step_env(self, key, state, action, params):
        obs, state, _, _, info = super().step_env(key, state, action, params)
        return obs, state, params.reward, False, info

    def is_truncated(self, state, params):
        return False


def test_an_episode_that_never_ends_is_left_unfinished():
    result = played(Endless(), 2, max_steps=9)
    assert result.lengths.tolist() == [9, 9]
    assert result.returns.tolist() == [4.5, 4.5]
    assert result.unfinished.tolist() == [True, True]


def test_only_episodes_longer_than_the_bound_are_unfinished():
    """The same episodes of 1, 2 and 3 steps, each of reward 1, whole and up to the second step."""
    whole, bounded = (played("rlx/probe-terminated", 60, max_steps=bound) for bound in (None, 2))
    assert set(whole.lengths.tolist()) == {1, 2, 3}
    assert whole.unfinished is None
    np.testing.assert_array_equal(bounded.unfinished, whole.lengths > 2)
    np.testing.assert_array_equal(bounded.lengths, np.minimum(whole.lengths, 2))
    np.testing.assert_array_equal(bounded.returns, np.minimum(whole.lengths, 2))


def test_a_recording_ends_at_the_bound():
    env, state = rlx.make_env(Endless()), StubState(params=np.zeros(3), memory=np.zeros(2))
    assert record(Stub(env.spec), env, state, jax.random.key(0), "greedy", max_steps=4)[1].tolist() == [0.5] * 4


@pytest.mark.parametrize(("name", "bound"), [("rlx/probe-truncated", None), ("endless", 4)])
def test_the_bound_is_there_only_without_a_time_limit(name, bound, monkeypatch):
    """Else the program is the same as without."""
    asked = []
    monkeypatch.setattr(population, "programs", lambda env, mesh, n, mode, bound, *rest: asked.append(bound))
    env = rlx.make_env(Endless() if name == "endless" else name)
    population.Population(population.members_of([Stub(env.spec)], [0]), env, eval_max_steps=4)
    assert asked == [bound]


def test_a_run_in_a_task_without_end_goes_on_and_says_so(tmp_path):
    env = rlx.make_env(Endless())
    settings = {"num_evaluations": 1, "eval_episodes": 3, "quiet": True, "run_dir": str(tmp_path / "run")}
    trained = rlx.train(Stub(env.spec), env, total_steps=60, eval_max_steps=8, **settings)
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [(row["step"], row["evaluation/unfinished"], row["evaluation/returns"]) for row in rows] == [
        (0, 3, [4.0] * 3),
        (60, 3, [4.0] * 3),
    ]
    assert rlx.evaluate(trained).lengths.tolist() == [[8, 8, 8]]


def test_invalid_actions_are_counted():
    """Cell 0 of the small map is a resource, which nobody owns."""
    result = played("rlx/microrts-4x4", 2, max_episode_steps=7)
    counts = {name: count.tolist() for name, count in result.counters.items()}
    assert counts == {"invalid_null": [0.0, 0.0], "invalid_owner": [7.0, 7.0], "invalid_busy": [0.0, 0.0]}


class Counting(Terminated):
    """Counts a number of its own in each step: the steps left."""

    counters = ("left",)

    def step_env(self, key, state, action, params):
        *step, _ = super().step_env(key, state, action, params)
        return *step, {"left": state.obs[0]}


def test_what_a_task_counts_after_an_episodes_end_is_not_counted():
    """Episodes of 1, 2 and 3 steps side by side: 1, 2 + 1, 3 + 2 + 1."""
    result = played(Counting(), 20)
    assert set(result.lengths.tolist()) == {1, 2, 3}
    np.testing.assert_array_equal(result.counters["left"], result.lengths * (result.lengths + 1) / 2)


@struct.dataclass
class Moody(Stub):
    """Takes the right action where it is greedy."""

    def policy(self, state, timestep, key, mode):
        return jnp.full(timestep.reward.shape, 1 if mode == "greedy" else 0)


@pytest.mark.parametrize(("mode", "reward"), [("greedy", 1.0), ("sample", -1.0)])
def test_the_policy_acts_in_the_mode_asked_for(mode, reward):
    env = rlx.make_env("rlx/probe-action")
    state = StubState(params=np.zeros(3), memory=np.zeros(2))
    result = evaluate(Moody(env.spec), env, state, jax.random.key(0), 2, mode)
    assert result.returns.tolist() == [reward] * 2
    assert record(Moody(env.spec), env, state, jax.random.key(0), mode)[1].tolist() == [reward]


@pytest.mark.parametrize(("name", "rewards"), [("rlx/probe-delayed", [0, 1]), ("rlx/probe-truncated", [1] * 5)])
def test_a_recorded_episode_has_all_its_states_and_rewards(name, rewards):
    env = rlx.make_env(name)
    state = StubState(params=np.zeros(3), memory=np.zeros(2))
    states, recorded = record(Stub(env.spec), env, state, jax.random.key(0), "greedy")
    assert recorded.tolist() == rewards
    assert states.time.tolist() == list(range(len(rewards) + 1))
