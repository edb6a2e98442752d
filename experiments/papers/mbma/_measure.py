"""Policy gradients of the four methods at one point of PPO's training, each estimated many times and never applied."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from papers.mbma._pendulum import METHODS, SETTINGS, STEPS_PER_UPDATE, TASK, TOTAL_STEPS, TOTAL_UPDATES

from rlx import build
from rlx.agents.mbma import MBMA, MBMAState
from rlx.envs.api import Env, make_env
from rlx.learning.extra_samples import Extras, Source
from rlx.learning.on_policy import Batch
from rlx.runner.collect import collect, set_scene
from rlx.types import Clock, Key, PyTree, Transition

NUM_EPISODES, EPISODE_LENGTH = 8, 200
ACTOR = (32, 32)
RECENT, Q_EPOCHS, Q_BATCH = 3, 52, 64  # 52 epochs of 96 minibatches: 4,992 updates
AC, REWOUND = "AC", "MBMA, true model"
SOURCES = {
    AC: "none",
    **{method: source for method, source in METHODS.items() if source != "none"},
    REWOUND: "simulator",
}


@functools.cache
def task() -> Env:
    """Pendulum."""
    return make_env(TASK)


def make(source: str, **changes: Any) -> MBMA:
    """The agent of the table of returns with a smaller actor."""
    hyperparameters = {**SETTINGS, "hidden_sizes": ACTOR, "source": source, **changes}
    agent = build.make_agent("mbma", task(), **hyperparameters)
    assert isinstance(agent, MBMA)
    return agent


def measure(seed: int, num_updates: int, num_estimates: int, num_reference: int) -> dict[str, jax.Array]:
    """Train PPO, fit what values extra samples to its data, and estimate gradients on fresh episodes.

    Returns:
        By method, estimates ``[num_estimates, P]``; as ``reference``, more of AC's, ``[num_reference, P]``; and as
        ``return`` the mean return of the reference's episodes.
    """
    train_key, model_key, q_key, reference_key, estimate_key = jax.random.split(jax.random.key(seed), 5)
    trained, rollouts = train(make("none"), task(), train_key, num_updates)
    states = {"none": trained, "simulator": trained, "critic": with_q_functions(trained, rollouts, q_key)}
    states["model"] = states["states"] = with_model(trained, rollouts, model_key)

    def estimate(source: str, key: Key, count: int) -> tuple[jax.Array, jax.Array]:
        return estimates(make(source, rollout_length=EPISODE_LENGTH), task(), states[source], key, count)

    found = {
        method: estimate(source, jax.random.fold_in(estimate_key, index), num_estimates)[0]
        for index, (method, source) in enumerate(SOURCES.items())
    }
    reference, returns = estimate("none", reference_key, num_reference)
    return found | {"reference": reference, "return": returns.mean()}


@functools.partial(jax.jit, static_argnames=("env", "num_updates"))
def train(agent: MBMA, env: Env, key: Key, num_updates: int) -> tuple[MBMAState, Transition]:
    """The first updates of a training, and their rollouts ``[num_updates, T, N]`` with rewards as they are learned."""
    init_key, reset_key, event_key = jax.random.split(key, 3)

    def event(carry: PyTree, key: Key) -> tuple[PyTree, Transition]:
        state, scene, clock = carry
        collect_key, update_key = jax.random.split(key)
        scene, rollout = collect(agent, env, state, scene, collect_key, clock)
        clock = clock.advance()
        state, _ = agent.update(state, rollout, update_key, clock)
        return (state, scene, clock), learned_from(agent, rollout)

    state = agent.init(init_key)
    carry: PyTree = (state, set_scene(agent, env, state, reset_key), Clock.start(TOTAL_STEPS, STEPS_PER_UPDATE))
    (state, *_), rollouts = jax.lax.scan(event, carry, jax.random.split(event_key, TOTAL_UPDATES)[:num_updates])
    return state, rollouts


def learned_from(agent: MBMA, rollout: Transition) -> Transition:
    """The rollout with the rewards that agents learn from."""
    return dataclasses.replace(rollout, reward=agent.reward_scale * rollout.reward)


def with_model(trained: MBMAState, rollouts: Transition, key: Key) -> MBMAState:
    """A model fitted to all rollouts, as many times a training's updates as there were updates."""
    num_updates = len(rollouts.reward)
    # All fitting then falls to the last event.
    agent = make("model", extras_start=(num_updates - 1) * STEPS_PER_UPDATE, first_fit=num_updates)
    return _with_model(agent, trained.params, rollouts, key)


@jax.jit
def _with_model(agent: MBMA, params: PyTree, rollouts: Transition, key: Key) -> MBMAState:
    init_key, fit_key = jax.random.split(key)

    state = dataclasses.replace(agent.init(init_key), params=params)

    def event(carry: tuple[MBMAState, Clock], rollout: Transition) -> tuple[tuple[MBMAState, Clock], None]:
        state, clock = carry
        clock = clock.advance()
        batch = agent.make_batch(state, rollout)  # which a model does not read
        learned, _ = source_of(agent).fit(state.source, rollout, batch, fit_key, clock)  # a key for the last event only
        return (dataclasses.replace(state, source=learned), clock), None

    (state, _), _ = jax.lax.scan(event, (state, Clock.start(TOTAL_STEPS, STEPS_PER_UPDATE)), rollouts)
    return state


def source_of(agent: MBMA) -> Source:
    """Where the agent's extra samples come from."""
    source = agent.extra_source()
    assert source is not None
    return source


def with_q_functions(trained: MBMAState, rollouts: Transition, key: Key) -> MBMAState:
    """Q-functions fitted to the lambda-returns of the last rollouts."""
    recent = jax.tree.map(lambda x: x[-RECENT:].reshape(-1, *x.shape[2:]), rollouts)
    minibatches = RECENT * STEPS_PER_UPDATE // Q_BATCH
    agent = make("critic", rollout_length=len(recent.reward), num_epochs=Q_EPOCHS, num_minibatches=minibatches)
    return _with_q_functions(agent, trained.params, recent, key)


@jax.jit
def _with_q_functions(agent: MBMA, params: PyTree, recent: Transition, key: Key) -> MBMAState:
    init_key, fit_key = jax.random.split(key)
    state = dataclasses.replace(agent.init(init_key), params=params)
    clock = Clock.start(TOTAL_STEPS, STEPS_PER_UPDATE).advance()  # at the learning rate of the first event
    learned, _ = source_of(agent).fit(state.source, recent, agent.make_batch(state, recent), fit_key, clock)
    return dataclasses.replace(state, source=learned)


@functools.partial(jax.jit, static_argnames=("env", "count"))
def estimates(agent: MBMA, env: Env, state: MBMAState, key: Key, count: int) -> tuple[jax.Array, jax.Array]:
    """Gradients of the actor ``[count, P]``, each from whole episodes of its own, and their mean returns ``[count]``.

    The agent's loss before its first update has a ratio of 1 everywhere: its gradient is that of the actor-critic.
    """

    def one(key: Key) -> tuple[jax.Array, jax.Array]:
        reset_key, collect_key, draw_key = jax.random.split(key, 3)
        scene = set_scene(agent, env, state, reset_key)
        _, rollout = collect(agent, env, state, scene, collect_key, Clock.start(TOTAL_STEPS, STEPS_PER_UPDATE))
        return gradient(agent, state, learned_from(agent, rollout), draw_key), rollout.reward.sum(axis=0).mean()

    return jax.lax.map(one, jax.random.split(key, count))


def all_extras(agent: MBMA, state: MBMAState, rollout: Transition, batch: Batch, key: Key) -> Extras:
    """As many and as long extra samples as there can be."""
    longest = jnp.int32(agent.num_extras + 1 if agent.source == "states" else agent.horizon)
    return source_of(agent).draw(state.source, agent.actor_critic(state), rollout, batch, key, longest)


def gradient(agent: MBMA, state: MBMAState, rollout: Transition, key: Key) -> jax.Array:
    """Gradient ``[P]`` of the actor's loss on a rollout, with as many and as long extra samples as there can be."""
    batch = agent.make_batch(state, rollout)
    extras, weights = None, jnp.zeros(0)
    if agent.source != "none":
        extras = all_extras(agent, state, rollout, batch, key)
        weights = jnp.ones(agent.num_extras)

    def loss(actor: PyTree) -> jax.Array:
        return agent.loss({**state.params, "actor": actor}, batch, extras, weights)[0]

    return ravel_pytree(jax.grad(loss)(state.params["actor"]))[0]
