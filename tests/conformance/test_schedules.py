"""What happens when: exploration, the first update, copies to target networks, annealing; in every agent that has it.

An agent has it where it has the hyperparameter of that name, so a new agent is tested without a line here.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import TOTAL_STEPS, host, small_agent, small_env, unequal

from rlx import registry
from rlx.runner import loop
from rlx.runner.collect import collect, set_scene
from rlx.settings import settings_of
from rlx.types import Clock, Discrete

KEY = jax.random.key(0)


def agents_with(*hyperparameters):
    """Names of the agents that have all of these hyperparameters."""
    return [name for name in registry.agents() if {*hyperparameters} <= {*settings_of(registry.agent_class(name))}]


def made(name, **hyperparameters):
    env = small_env(name)
    return small_agent(name, env, **hyperparameters), env


def history(agent, env, iterations):
    """The agent's state before the first iteration and after each."""
    clock = Clock.start(TOTAL_STEPS, agent.needs.num_envs * agent.needs.rollout_length)
    state = loop.init(agent, env, KEY, clock)
    step = jax.jit(lambda state: loop.iterate(agent, env, state))
    states = [state.agent]
    for _ in range(iterations):
        state = dataclasses.replace(step(state), clock=state.clock.advance())
        states.append(state.agent)
    return host(states)


def same(left, right):
    return unequal(left, right) == []


def at(clock, env_steps):
    return dataclasses.replace(clock, iterations=jnp.int32(env_steps // clock.steps_per_iteration))


@pytest.mark.parametrize("name", agents_with("epsilon_initial", "epsilon_final", "exploration_fraction"))
def test_the_share_of_random_actions_falls(name):
    agent, env = made(name, epsilon_initial=0.9, epsilon_final=0.1, exploration_fraction=0.5)
    assert isinstance(env.spec.action_space, Discrete)
    state, number = agent.init(KEY), 8_000
    timestep = set_scene(agent, env, state, KEY).timestep
    timestep = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], number, axis=0), timestep)
    greedy = agent.policy(state, timestep, KEY, "greedy")
    act = jax.jit(lambda clock: agent.act(state, timestep, jax.random.key(1), clock)[0])
    start = Clock.start(TOTAL_STEPS, 4)
    for env_steps, epsilon in ((0, 0.9), (TOTAL_STEPS // 4, 0.5), (TOTAL_STEPS // 2, 0.1), (TOTAL_STEPS, 0.1)):
        others = np.mean(act(at(start, env_steps)) != greedy)
        share = others * env.spec.action_space.n / (env.spec.action_space.n - 1)
        np.testing.assert_allclose(share, epsilon, atol=0.03)


@pytest.mark.parametrize("name", agents_with("learning_starts"))
@pytest.mark.parametrize(("learning_starts", "first"), [(13, 4), (16, 4)])
def test_nothing_is_learned_before_learning_starts(name, learning_starts, first):
    """Rollouts of one step in four environments: the first event that ``learning_starts`` steps precede learns."""
    agent, env = made(name, learning_starts=learning_starts)
    assert (agent.num_envs, agent.rollout_length) == (4, 1)
    states = history(agent, env, first + 1)
    for state in states[:first]:
        assert same(state.params, states[0].params)
        assert same(state.opt_state, states[0].opt_state)
    assert not same(states[first].params, states[0].params)
    assert not same(states[first + 1].params, states[first].params)


@pytest.mark.parametrize("name", agents_with("target_period", "learning_starts", "n_step"))
def test_the_target_network_is_copied_at_every_period(name):
    agent, env = made(name, target_period=3, learning_starts=0, n_step=1)
    states = history(agent, env, 7)
    assert same(states[0].target_params, states[0].params)
    for iteration, state in enumerate(states[1:], start=1):
        source = states[iteration - iteration % 3]
        assert same(state.target_params, source.params), iteration
        assert not same(state.params, states[iteration - 1].params)


def first_rollout(agent, env):
    """A new agent's state, its first rollout, and the clock before it."""
    state = agent.init(KEY)
    scene = set_scene(agent, env, state, jax.random.key(1))
    clock = Clock.start(TOTAL_STEPS, agent.needs.num_envs * agent.needs.rollout_length)
    play = jax.jit(lambda state, scene: collect(agent, env, state, scene, jax.random.key(2), clock)[1])
    return state, play(state, scene), clock


@pytest.mark.parametrize("name", agents_with("anneal", "num_epochs", "num_minibatches"))
def test_the_learning_rate_is_whole_in_the_first_event_and_not_zero_in_the_last(name):
    """Of one update a rollout: in the last of ten events it moves parameters a tenth as far."""
    agent, env = made(name, num_epochs=1, num_minibatches=1, anneal=True)
    state, rollout, clock = first_rollout(agent, env)
    steps = clock.steps_per_iteration
    constant = dataclasses.replace(agent, anneal=False)
    annealed, whole = (
        jax.jit(lambda clock, agent=agent: agent.update(state, rollout, jax.random.key(3), clock)[0].params)
        for agent in (agent, constant)
    )
    moved = lambda params: jax.tree.leaves(jax.tree.map(lambda a, b: np.asarray(a - b), params, state.params))  # noqa: E731
    for event, share in ((1, 1.0), (10, 0.1)):
        clock = at(Clock.start(10 * steps, steps), event * steps).replace(iterations=jnp.int32(event))
        pairs = list(zip(moved(annealed(clock)), moved(whole(clock)), strict=True))
        for a, b in pairs:
            np.testing.assert_allclose(a, share * b, rtol=1e-3, atol=1e-6)
        assert max(np.abs(b).max() for _, b in pairs) > 1e-4


@pytest.mark.parametrize("name", agents_with("normalise_observations"))
def test_statistics_are_of_each_feature_over_times_and_environments(name):
    agent, env = made(name, normalise_observations=True)
    state, rollout, clock = first_rollout(agent, env)
    after, _ = jax.jit(agent.update)(state, rollout, jax.random.key(3), clock.advance())
    obs = np.asarray(rollout.obs, np.float64).reshape(-1, *env.spec.obs_shape)
    assert after.statistics.count.value == len(obs)
    np.testing.assert_allclose(after.statistics.mean.value, obs.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.statistics.m2.value, obs.var(0), rtol=1e-3, atol=1e-6)
