"""Simulated trainers, and the place where a person's presses come in (COACH, sections 7 and 8 of our notes on it).

* ``task``: the task's reward.
* ``action``: a rule that knows good actions, by task (`rlx.envs.advice`); ``action_author``: the cliff grid's, as it
  was printed.
* ``improvement``: the advantage of the action under the learner's policy; ``sign_improvement``: its sign.
* ``differential``: the advantage in five levels; strong feedback is kept for what changes much.
* ``diminishing``: the rule, but praise fades as the learner takes the action anyway.
* ``shaping``: whether the action is better than what the trainer has got used to.
* ``person``: nothing but what is put into its memory.

Those in `POLICY_DEPENDENT` ask the learner how it behaves, by ``extras["probabilities"]`` of its ``act``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs import vector
from rlx.envs.advice import Rule, author_rule_of, rule_of
from rlx.envs.grid import Grid, Process
from rlx.envs.gymnax_api import Environment
from rlx.envs.teacher import Behaviour, Lesson, Trainer, Word
from rlx.errors import ConfigurationError
from rlx.types import Discrete, EnvSpec, Key, PyTree

DISCOUNT = 0.99
SWEEPS = 20  # of policy evaluation after each step, from where the last one ended
ROLLOUTS, HORIZON = 8, 32  # by which an advantage is estimated where states cannot be counted
SILENCE = 0.02  # advantages within this are not worth a word
STRONG = 0.5  # and those beyond this are worth 4
FADING = 1.0  # power of 1 - pi by which praise diminishes
HABIT = 0.02  # share by which a trainer gets used to what it sees


def trainer_of(kind: str, spec: EnvSpec, task: Environment) -> Trainer:
    """The trainer called ``kind`` for a task, which is bare, below all wrappers.

    Raises:
        ConfigurationError: if it cannot judge that task.
    """
    if kind in _BY_ADVANTAGE:
        return _by_advantage(spec, task, _BY_ADVANTAGE[kind])
    if kind == "task":
        return _stateless(lambda lesson: lesson.reward)
    if kind == "person":
        return Trainer(Word.nothing, lambda inbox, lesson: (Word.nothing(len(lesson.reward)), inbox))
    if kind == "shaping":
        return _shaping(task)
    rule = author_rule_of(task) if kind == "action_author" else rule_of(task)
    return _diminishing(rule) if kind == "diminishing" else _stateless(lambda lesson: judged(rule, lesson))


def judged(rule: Rule, lesson: Lesson) -> jax.Array:
    """What a rule says of each copy's step, ``[N]``."""
    return jax.vmap(rule)(lesson.before, lesson.action, lesson.after, lesson.reward)


def _said(value: jax.Array) -> Word:
    return Word.nothing(len(value)).replace(value=value.astype(jnp.float32))  # type: ignore[attr-defined]


def _stateless(judge: Callable[[Lesson], jax.Array]) -> Trainer:
    return Trainer(lambda num_envs: None, lambda memory, lesson: (memory, _said(judge(lesson))))


def _diminishing(rule: Rule) -> Trainer:
    def judge(lesson: Lesson) -> jax.Array:
        value, probabilities = judged(rule, lesson), policy_in(lesson, lesson.before)
        taken = jnp.take_along_axis(probabilities, lesson.action[:, None], axis=-1)[:, 0]
        return jnp.where(value > 0, value * (1.0 - taken) ** FADING, value)

    return _stateless(judge)


def _sign(advantage: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(advantage) > SILENCE, jnp.sign(advantage), 0.0)


_BY_ADVANTAGE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "improvement": lambda advantage: advantage,
    "sign_improvement": _sign,
    "differential": lambda advantage: jnp.where(jnp.abs(advantage) > STRONG, 4.0, 1.0) * _sign(advantage),
}
POLICY_DEPENDENT = (*_BY_ADVANTAGE, "diminishing")


def _by_advantage(spec: EnvSpec, task: Environment, say: Callable[[jax.Array], jax.Array]) -> Trainer:
    if not isinstance(spec.action_space, Discrete):
        raise ConfigurationError(f"{spec.name}: advantages are told of discrete actions only; take teacher=task")
    if isinstance(task, Grid):
        return _exact(task, say)
    return _stateless(lambda lesson: say(taken_of(rollout_advantages(lesson, ROLLOUTS, HORIZON), lesson.action)))


def _exact(task: Grid, say: Callable[[jax.Array], jax.Array]) -> Trainer:
    """Solves the grid for the learner's policy, sweep by sweep; remembers the values of all cells."""

    def judge(value: jax.Array, lesson: Lesson) -> tuple[jax.Array, Word]:
        cells = task.state_of(jnp.arange(task.num_states, dtype=jnp.int32))
        policy = policy_in(lesson, cells)
        value = swept(task.process, policy, value, SWEEPS)
        return value, _said(say(taken_of(advantages(task.process, policy, value)[lesson.before.cell], lesson.action)))

    return Trainer(lambda num_envs: jnp.zeros(task.num_states), judge)


def taken_of(values: jax.Array, action: jax.Array) -> jax.Array:
    """The entries of ``[N, A]`` that belong to actions ``[N]``."""
    return jnp.take_along_axis(values, action[:, None], axis=-1)[:, 0]


def policy_in(lesson: Lesson, task_states: PyTree) -> jax.Array:
    """The learner's probabilities ``[B, A]`` in states ``[B]`` of the task.

    Raises:
        ConfigurationError: if the learner does not tell them.
    """
    return _acting_in(lesson.env, lesson.behaviour, task_states, lesson.key)[1]


def _acting_in(env: Any, behaviour: Behaviour, task_states: PyTree, key: Key) -> tuple[jax.Array, jax.Array]:
    """Actions that the learner would take in states ``[B]``, and its probabilities."""
    observe_key, act_key = jax.random.split(key)
    observe = lambda state: env.task.observe(observe_key, state, None, env.params)  # noqa: E731
    timestep = vector.first_timestep(env, jax.vmap(observe)(task_states), task_states)
    action, extras = behaviour(timestep, act_key)
    if "probabilities" not in extras:
        raise ConfigurationError(
            f"this teacher of {env.name} judges by the learner's policy, which this agent does not tell; "
            "coach, deep_coach and tamer do"
        )
    return action, extras["probabilities"]


def swept(process: Process, policy: jax.Array, value: jax.Array, sweeps: int, discount: float = DISCOUNT) -> jax.Array:
    """``value`` ``[S]`` after sweeps of policy evaluation under ``policy`` ``[S, A]``."""
    sweep = lambda _, value: jnp.sum(policy * _action_values(process, value, discount), axis=-1)  # noqa: E731
    return jax.lax.fori_loop(0, sweeps, sweep, value)


def advantages(process: Process, policy: jax.Array, value: jax.Array, discount: float = DISCOUNT) -> jax.Array:
    """``Q(s, a) - sum_b pi(b|s) Q(s, b)`` with Q from the values ``[S]`` of the next states, ``[S, A]``."""
    q = _action_values(process, value, discount)
    return q - jnp.sum(policy * q, axis=-1, keepdims=True)


def _action_values(process: Process, value: jax.Array, discount: float) -> jax.Array:
    following = jnp.where(process.ends, 0.0, value)
    return jnp.asarray(process.reward) + discount * following[process.next_state]


def optimal_advantages(process: Process, discount: float = DISCOUNT) -> np.ndarray:
    """``Q*(s, a) - V*(s)``, float64 ``[S, A]``, by value iteration to the last digits."""
    value = np.zeros(len(process.ends))
    while True:
        q = process.reward + discount * np.where(process.ends, 0.0, value)[process.next_state]
        previous, value = value, q.max(axis=1)
        if np.allclose(value, previous, rtol=1e-14, atol=0.0):
            return q - value[:, None]


def _shaping(task: Environment) -> Trainer:
    if not isinstance(task, Grid):
        raise ConfigurationError(
            "teacher=shaping must know the best actions: it judges grids only; take teacher=action"
        )
    loss = jnp.asarray(optimal_advantages(task.process), jnp.float32)

    def judge(habit: jax.Array, lesson: Lesson) -> tuple[jax.Array, Word]:
        quality = loss[lesson.before.cell, lesson.action]
        return (1.0 - HABIT) * habit + HABIT * quality, _said(_sign(quality - habit))

    return Trainer(jnp.zeros, judge)


def rollout_advantages(lesson: Lesson, rollouts: int, horizon: int) -> jax.Array:
    """Estimated advantages ``[N, A]`` of all actions under the learner's policy, by branching the task's state.

    Every action is followed ``rollouts`` times by ``horizon`` steps of the learner's behaviour, the same draws for
    each action; what lies beyond is worth nothing.
    """
    env, (policy_key, first_key, key) = lesson.env, jax.random.split(lesson.key, 3)
    policy = policy_in(lesson._replace(key=policy_key), lesson.before)
    num_envs, num_actions = policy.shape
    spread = lambda x: jnp.broadcast_to(x[:, None, None], (num_envs, num_actions, rollouts, *x.shape[1:]))  # noqa: E731
    flat = lambda x: x.reshape(-1, *x.shape[3:])  # noqa: E731
    states = jax.tree.map(lambda x: flat(spread(x)), lesson.before)
    actions = jnp.broadcast_to(jnp.arange(num_actions)[None, :, None], (num_envs, num_actions, rollouts))
    states, timestep = vector.advance(env, states, flat(spread(lesson.episode_step)), flat(actions), first_key)

    def step(carry: PyTree, key: Key) -> tuple[PyTree, jax.Array]:
        states, count, over = carry
        act_key, env_key = jax.random.split(key)
        action, _ = _acting_in(env, lesson.behaviour, states, act_key)
        states, timestep = vector.advance(env, states, count, action, env_key)
        paid = jnp.where(over, 0.0, timestep.reward)
        return (states, count + 1, over | timestep.terminated | timestep.truncated), paid

    carry = (states, timestep.episode_step, timestep.terminated | timestep.truncated)
    _, rewards = jax.lax.scan(step, carry, jax.random.split(key, horizon))
    returns = timestep.reward + DISCOUNT * jnp.tensordot(DISCOUNT ** jnp.arange(horizon), rewards, 1)
    q = returns.reshape(num_envs, num_actions, rollouts).mean(axis=-1)
    return q - jnp.sum(policy * q, axis=-1, keepdims=True)
