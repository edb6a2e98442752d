import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from stub import Stub

import rlx
from rlx.runner import loop, population
from rlx.runner.episodes import Episodes, summary_of
from rlx.runner.layout import layout_for
from rlx.runner.window import Updates, summary
from rlx.types import Clock, Metrics, Timestep


@pytest.fixture(scope="module")
def advance():
    """A function from a number of iterations, and whether to start a new window before it, to a run's state."""
    env = rlx.make_env("rlx/probe-delayed")
    pair = population.members_of([Stub(env.spec), Stub(env.spec, healthy_for=4.0)], [0])
    members = population.Population(pair, env, layout=layout_for(2, jax.devices()[:1], side_by_side=2))
    states = members.start(Clock.start(1_000, 6))

    def run(iterations, new_window=False):
        nonlocal states
        states, healthy, totals = members.advance(states, iterations, new_window)
        return members.gather(healthy), summary(members.gather(totals))

    return run


def test_a_window_averages_over_updates_and_episodes(advance):
    """Two environments of probe-delayed, 3 steps an iteration: an episode of return 1 ends every second step.

    An even iteration makes two updates of loss ``iteration``; an odd one makes none, and its loss is NaN.
    """
    healthy, window = advance(3)
    assert healthy.tolist() == [True, True]
    assert window["update/count"].tolist() == [4.0, 4.0]
    assert window["update/loss"].tolist() == [1.0, 1.0]  # of iterations 0 and 2, twice each
    assert window["update/losses"].tolist() == [[1.0, 2.0], [1.0, 2.0]]  # a vector of each member
    assert window["update/iteration"].tolist() == [2.0, 2.0]  # the last value, not a mean
    assert window["training/episodes"].tolist() == [8.0, 8.0]  # 9 steps hold 4 whole episodes
    assert window["training/return_mean"].tolist() == [1.0, 1.0]
    assert window["training/length_mean"].tolist() == [2.0, 2.0]

    healthy, window = advance(1, new_window=True)  # iteration 3 learns nothing
    assert healthy.tolist() == [True, True]
    assert window["update/count"].tolist() == [0.0, 0.0]
    assert np.isnan(window["update/loss"]).all()
    assert np.isnan(window["update/iteration"]).all()
    assert window["training/episodes"].tolist() == [4.0, 4.0]  # of steps 9 to 11; one of them began before

    healthy, window = advance(3)  # in the same window; the loss of the second member is NaN from iteration 4 on
    assert healthy.tolist() == [True, False]
    assert window["update/loss"][0] == 5.0  # of iterations 4 and 6


def test_the_clock_counts_the_steps_of_one_member():
    clock = Clock.start(90, 6)
    for _ in range(5):
        clock = clock.advance()
    assert (int(clock.before.env_steps), int(clock.before.iterations)) == (24, 4)
    assert (int(clock.env_steps), int(clock.iterations), int(clock.total_steps)) == (30, 5, 90)
    assert float(clock.progress) == pytest.approx(1 / 3)
    assert [bool(clock.reached(steps)) for steps in (0, 25, 30, 31, 36)] == [True, True, True, False, False]


def test_the_clock_counts_ten_billion_steps():
    """Rollouts of 4096 x 64 steps; the last of them ends a little beyond the budget."""
    clock = Clock.start(10**10, 4096 * 64)
    assert int(clock.total_iterations) == 38_146  # and 38,147 in all
    late = dataclasses.replace(clock, iterations=jnp.int32(19_074))
    np.testing.assert_allclose(float(late.progress), 19_074 * 262_144 / 1e10, rtol=1e-6)
    np.testing.assert_allclose(float(late.env_steps), 5_000_134_656, rtol=1e-7)
    assert bool(late.reached(5_000_134_656))
    assert not bool(late.reached(5_000_134_657))
    assert float(dataclasses.replace(clock, iterations=jnp.int32(38_147)).progress) == 1.0


def test_a_mean_over_very_many_updates_is_exact():
    """Eighteen million of loss 0.1: a float32 sum and a float32 count have stopped before."""
    metrics = Metrics({"loss": jnp.float32(0.1)}, last={"rate": jnp.float32(0.5)}, updates=1)
    many = jax.jit(lambda updates: jax.lax.fori_loop(0, 18_000_000, lambda _, updates: updates.after(metrics), updates))
    updates = many(Updates.start(metrics))
    assert int(updates.number) == 18_000_000
    np.testing.assert_allclose(updates.means["loss"].on_host() / 18_000_000, np.float32(0.1), rtol=1e-7)


def test_an_episode_of_a_million_rewards_is_counted_exactly():
    """Of 0.1 each, and then they begin anew; a float32 sum is off by one percent."""
    episodes = Episodes.start(1)
    step = lambda ended: timestep_of(0.1, ended, 999_999)  # noqa: E731
    going_on = lambda _, episodes: episodes.after(step(False), step(False))[0]  # noqa: E731
    episodes = jax.jit(lambda episodes: jax.lax.fori_loop(0, 999_999, going_on, episodes))(episodes)
    episodes, returns = episodes.after(step(False), step(True))
    np.testing.assert_allclose(returns, [1e5], rtol=1e-7)
    found = summary_of(jax.tree.map(lambda leaf: np.asarray(leaf)[None], episodes.over_envs()))
    np.testing.assert_allclose(found["return_mean"], [1e6 * float(np.float32(0.1))], rtol=1e-9)
    assert (found["episodes"].tolist(), found["length_mean"].tolist()) == ([1], [1e6])
    assert episodes.running.on_host().tolist() == [0.0]


def timestep_of(reward, ended, episode_step):
    """One environment's timestep, of which only these matter."""
    blank = jnp.zeros((1, 1))
    number, flag = jnp.full(1, reward, jnp.float32), jnp.full(1, ended)
    return Timestep(blank, number, flag, jnp.zeros(1, bool), blank, None, None, jnp.full(1, episode_step), {})


@pytest.mark.parametrize("field", ["returns", "running"])
def test_a_return_that_is_not_finite_is_not_healthy(field):
    env = rlx.make_env("rlx/probe-delayed")
    state = jax.vmap(lambda key: loop.init(Stub(env.spec), env, key, Clock.start(10, 6)), out_axes=loop.MEMBER_AXES)(
        jax.random.split(jax.random.key(0))
    )
    sums = getattr(state.scene.episodes, field)
    episodes = state.scene.episodes.replace(**{field: sums.replace(total=sums.total.at[1, 0].set(jnp.inf))})
    state = state.replace(scene=state.scene.replace(episodes=episodes))
    assert loop.healthy(state).tolist() == [True, False]


@struct.dataclass
class Watching(Stub):
    """Tells the clocks that it acts and learns by, and the rewards it learns from."""

    def act(self, state, timestep, key, clock):
        action, _ = super().act(state, timestep, key, clock)
        return action, {"acted": jnp.full(action.shape, clock.env_steps)}

    def update(self, state, rollout, key, clock):
        acted = rollout.extras["acted"]
        seen = {"first": acted.min(), "last": acted.max(), "steps": clock.env_steps, "events": clock.iterations}
        return state, Metrics({"loss": jnp.zeros(())}, last=seen)


def test_acting_sees_the_clock_before_the_rollout_and_learning_the_one_after_it():
    env = rlx.make_env("rlx/probe-delayed")
    state = loop.init(Watching(env.spec), env, jax.random.key(0), Clock.start(90, 6))
    state = loop.chunk_alone(Watching(env.spec), env, state, 3, jnp.bool_(True))
    assert jax.tree.map(int, state.updates.last) == {"first": 12, "last": 12, "steps": 18, "events": 3}
    assert (int(state.clock.env_steps), int(state.clock.iterations)) == (18, 3)


def test_milestones_count_steps_from_the_start_of_the_run():
    """Two environments of probe-delayed: episodes of return 1 end after each one's steps 2, 4, ..., two at a time."""
    env = rlx.make_env("rlx/probe-delayed")
    start = loop.init(Stub(env.spec), env, jax.random.key(0), Clock.start(90, 6), solved_return=1.0)
    for iterations, ended, solved in ((1, 2, 0), (3, 8, 0), (4, 12, 10)):
        state = loop.chunk_alone(Stub(env.spec), env, start, iterations, jnp.bool_(True))
        reached = state.scene.episodes.milestones
        assert (int(reached.ended), int(reached.first_success), int(reached.solved)) == (ended, 2, solved)
