"""Every agent finds the best actions and the true values of the probe tasks that it accepts."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import TAUGHT, small_agent
from probe_groups import DISCOUNT, GROUPS, group_env, groups_for, task

from rlx import registry
from rlx.learning.on_policy import normalised
from rlx.runner import loop, population
from rlx.runner.acting import acting_part
from rlx.runner.evaluate import evaluate
from rlx.settings import settings_of
from rlx.types import Clock

SEEDS = 2
EPISODES = 32
TOLERANCE = 0.1  # of a value; the mistakes that the probes are there to find cost 0.2 or more

# The discount makes the values differ that an agent could confuse. What an agent lacks is left out.
SHARED = {"discount": DISCOUNT, "learning_rate": 1e-2}
# What one agent needs instead or besides.
OWN: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 16, "num_epochs": 4},
    "dqn": {
        "batch_size": 64,
        "learning_rate": 3e-3,
        "learning_starts": 64,
        "replay_size": 2_000,
        "target_period": 10,
    },
    "logq": {
        "batch_size": 64,
        "learning_rate": 3e-3,
        "learning_starts": 64,
        "replay_size": 2_000,
        "target_period": 10,
        "k": 40.0,
        "activation": "tanh",
        "max_reward": 2.0,
        "beta_reg": 0.5,
        "beta_reg_final": 0.1,
    },
}
OWN["sac"] = {
    "num_envs": 4,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "temperature_learning_rate": 1e-2,
    "initial_temperature": 0.2,
    "target_rate": 0.05,
    "learning_starts": 64,
    "random_steps": 64,
    "replay_size": 4_000,
}
# Random actions throughout: a deterministic policy at its bound no longer sees what else there is. Where the value of
# actions is a step, more noise on those of targets than this would blur it.
OWN["td3"] = {name: OWN["sac"][name] for name in OWN["sac"] if "temperature" not in name}
OWN["td3"] |= {"random_steps": 12_000, "target_noise": 0.02}
# Without what keeps its actions small.
OWN["symphony"] = {
    "num_envs": 4,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "target_rate": 0.05,
    "exploration_steps": 64,
    "copies": 20,
    "noise_std": 0.2,
    "swaddling": 0.0,
}
# One dimension weighs 1 whatever is estimated.
OWN["ace"] = OWN["sac"] | {"interval": 4_000, "window": 64, "reset_period": 1_000, "weights": "sink"}
OWN["masked_ppo"] = OWN["ppo"]
# Its rollouts are longer than the episodes of the probes: only a model of terminations values their actions rightly.
OWN["mbma"] = OWN["ppo"] | {
    "predict_termination": True,
    "model_hidden_sizes": (64,),
    "model_learning_rate": 3e-3,
    "model_updates": 32,
    "model_batch_size": 64,
    "replay_size": 4096,
}
ITERATIONS = {"ace": 3_000, "sac": 3_000, "ppo": 250, "masked_ppo": 250, "mbma": 250, "dqn": 3_000, "logq": 3_000}
ITERATIONS |= {"td3": 3_000, "symphony": 600}
DEFAULT_ITERATIONS = 1_500
# What an agent cannot learn by its own design: Symphony's actor learns where steps lead, and none leads to 0 there.
BEYOND = {("symphony", "elsewhere")}


def best_value(agent, state, obs, mask):
    """The largest ``q+ - q-`` of a log-mapped agent."""
    values = jnp.exp(agent.log_values(state.params, obs))
    return jnp.max(values[..., 0] - values[..., 1], axis=-1, where=mask, initial=-jnp.inf)


def greedy_value(agent, state, obs, mask):
    """The lesser critic's value of the policy's likeliest action; the temperature is near 0 by then."""
    action = agent.distribution(state.params["actor"], obs).mode()
    return agent.values(state.params["critics"], obs, action).min(0)


# An agent's value of observations [B, 1] with masks [B, A] or None; without an entry only its actions are tested.
VALUES = {
    "masked_ppo": lambda agent, state, obs, mask: agent.critic.apply(
        state.params["critic"], normalised(state.statistics, obs)
    ),
    "mbma": lambda agent, state, obs, mask: agent.value(state, obs),
    "ppo": lambda agent, state, obs, mask: agent.critic.apply(
        state.params["critic"], normalised(state.statistics, obs)
    ),
    "dqn": lambda agent, state, obs, mask: jnp.max(
        agent.network.apply(state.params, obs), axis=-1, where=mask, initial=-jnp.inf
    ),
    "logq": best_value,
    "ace": lambda agent, state, obs, mask: greedy_value(agent.sac, state, obs, mask),
    "sac": greedy_value,
    "td3": lambda agent, state, obs, mask: agent.values(
        state.params["critics"], obs, agent.actor.apply(state.params["actor"], obs)
    ).min(0),
}


class Learned(NamedTuple):
    """An agent after training in a group; leading axes ``[probes, SEEDS]``."""

    agent: Any
    state: Any
    training: Any
    returns: np.ndarray


@functools.cache
def learned(name, group):
    """Agent ``name`` after it has learned all probes of a group, each with several seeds, as one program."""
    env = group_env(group)
    settings = settings_of(registry.agent_class(name))
    fields = {field: value for field, value in SHARED.items() if field in settings} | OWN.get(name, {})
    agent = small_agent(name, env, **fields)
    iterations = ITERATIONS.get(name, DEFAULT_ITERATIONS)
    steps = agent.needs.num_envs * agent.needs.rollout_length

    def train(agents, which, keys, evaluation_keys):
        clock = Clock.start(iterations * steps, steps)
        start = lambda agent, which, key: loop.init(agent, task(env, which), key, clock)  # noqa: E731
        state = jax.vmap(start, out_axes=loop.MEMBER_AXES)(agents, which, keys)
        iterate = jax.vmap(
            lambda agent, which, state: loop.iterate(agent, task(env, which), state),
            in_axes=(0, 0, loop.MEMBER_AXES),
            out_axes=loop.MEMBER_AXES,
        )

        def body(_, state):
            return dataclasses.replace(iterate(agents, which, state), clock=state.clock.advance())

        state = jax.lax.fori_loop(0, iterations, body, state)
        play = lambda agent, which, acting, key: evaluate(agent, task(env, which), acting, key, EPISODES, "greedy")  # noqa: E731
        acting = acting_part(agent, state.agent)
        return acting, state.scene.episodes, jax.vmap(play)(agents, which, acting, evaluation_keys).returns

    probes = len(GROUPS[group])
    which, seeds = jnp.repeat(jnp.arange(probes), SEEDS), range(probes * SEEDS)
    agents = population.stack([agent] * len(which))
    keys = population.keys_for(seeds, population.INIT_STREAM), population.evaluation_keys(seeds, 0)
    # These programs are large and run for a second: compiling them well would take longer than they do.
    results = jax.jit(train, compiler_options={"xla_backend_optimization_level": 0})(agents, which, *keys)
    return Learned(agent, *jax.tree.map(lambda leaf: np.asarray(leaf).reshape(probes, SEEDS, *leaf.shape[1:]), results))


def cases(chosen):
    """A parameter for each agent, group and probe of the ``chosen``."""
    return [
        pytest.param(name, group, probe, id=f"{name}-{group}-{probe}")
        for name in registry.agents()
        if name not in TAUGHT  # for whom rewards have no value
        for group in groups_for(registry.agent_class(name).accepts)
        for probe, known in GROUPS[group].items()
        if chosen(name, known)
    ]


@pytest.mark.parametrize(("name", "group", "probe"), cases(lambda name, known: name in VALUES))
def test_values(name, group, probe):
    known, result = GROUPS[group][probe], learned(name, group)
    obs = jnp.array([np.atleast_1d(key) for key in known.values], jnp.float32)
    mask = None if known.valid is None else jnp.array([known.valid[key] for key in known.values])
    states = jax.tree.map(lambda leaf: leaf[list(GROUPS[group]).index(probe)], result.state)
    values = jax.vmap(lambda state: VALUES[name](result.agent, state, obs, mask))(states)
    np.testing.assert_allclose(values, [list(known.values.values())] * SEEDS, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "group", "probe"), cases(lambda name, known: known.returns is not None))
def test_greedy_actions(name, group, probe):
    if (name, probe) in BEYOND:
        pytest.skip("its method cannot learn this")
    returns = learned(name, group).returns[list(GROUPS[group]).index(probe)]
    inside = [(low <= returns) & (returns <= high) for low, high in GROUPS[group][probe].returns]
    assert np.any(inside, axis=0).all(), returns


@pytest.mark.parametrize(("name", "group", "probe"), cases(lambda name, known: known.valid is not None))
def test_forbidden_actions_are_never_taken(name, group, probe):
    """Neither in training nor in evaluation: one would have made the sum of returns NaN."""
    result = learned(name, group)
    assert np.isfinite(result.training.returns.value).all()
    assert result.training.ended.sum() > 1_000
    assert np.isfinite(result.returns).all()
