import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from stub import Stub

import rlx
from rlx.runner import loop, population
from rlx.types import Clock, Metrics


@pytest.fixture(scope="module")
def advance():
    """A function from a number of iterations, and whether to start a new window before it, to a run's state."""
    env = rlx.make_env("rlx/probe-delayed")
    pair = population.members_of([Stub(env.spec), Stub(env.spec, healthy_for=4.0)], [0])
    members = population.Population(pair, env, layout=population.layout_for(2, jax.devices()[:1], side_by_side=2))
    states = members.start(Clock.start(1_000, 6))

    def run(iterations, new_window=False):
        nonlocal states
        states, healthy, window = members.advance(states, iterations, new_window)
        return members.gather(healthy), members.gather(window)

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


@pytest.mark.parametrize("field", ["return_sum", "running"])
def test_a_return_that_is_not_finite_is_not_healthy(field):
    env = rlx.make_env("rlx/probe-delayed")
    state = jax.vmap(lambda key: loop.init(Stub(env.spec), env, key, Clock.start(10, 6)), out_axes=loop.MEMBER_AXES)(
        jax.random.split(jax.random.key(0))
    )
    sums = getattr(state.scene.episodes, field).at[1, 0].set(jnp.inf)
    episodes = state.scene.episodes.replace(**{field: sums})
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
    assert jax.tree.map(int, state.metrics.last) == {"first": 12, "last": 12, "steps": 18, "events": 3}
    assert (int(state.clock.env_steps), int(state.clock.iterations)) == (18, 3)


def test_milestones_count_steps_from_the_start_of_the_run():
    """Two environments of probe-delayed: episodes of return 1 end after steps 4, 8, ..., two at a time."""
    env = rlx.make_env("rlx/probe-delayed")
    start = loop.init(Stub(env.spec), env, jax.random.key(0), Clock.start(90, 6), solved_return=1.0)
    for iterations, ended, solved in ((1, 2, 0), (3, 8, 0), (4, 12, 20)):
        state = loop.chunk_alone(Stub(env.spec), env, start, iterations, jnp.bool_(True))
        reached = state.scene.episodes.milestones
        assert (int(reached.ended), int(reached.first_success), int(reached.solved)) == (ended, 4, solved)
