"""N copies of an environment in parallel, as pure functions, with and without auto-reset.

Where the start states of new episodes come from (``Env.reset_mode``):

* ``fresh``: each copy draws a new start state whenever its episode ends. Exact. Every step computes N resets.
* ``pool``: P start states are drawn beforehand; every step draws one new state in place of the oldest, and
  each ended episode takes one of the P at random. Every step computes one reset.
* ``cached``: each copy goes back to its own first start state for ever, as Brax's training wrapper does. That
  is another problem than the task's, with N start states only; it is here for comparisons.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.api import Env
from rlx.envs.teacher import Behaviour, Lesson, TeacherState, Word
from rlx.types import Key, PyTree, Timestep


@struct.dataclass
class VectorState:
    """The state of N copies.

    Attributes:
        task_state: states of the tasks, leading axis ``[N]``.
        episode_step: int32 ``[N]``, steps taken in the running episodes.
        pool: observations and states to start from, ``[P]`` (``[N]`` for ``cached``); ``None`` for ``fresh``.
        slot: int32, the oldest entry of the pool; ``None`` unless ``reset_mode="pool"``.
        teacher: what the teacher carries along, which no reset touches; ``None`` without one.
    """

    task_state: PyTree
    episode_step: jax.Array
    pool: tuple[jax.Array, PyTree] | None
    slot: jax.Array | None
    teacher: TeacherState | None = None


def reset(env: Env, key: Key, num_envs: int) -> tuple[VectorState, Timestep]:
    """Start ``num_envs`` copies."""
    pooled = env.reset_mode == "pool"
    starts = _draw_starts(env, key, num_envs + (env.pool_size if pooled else 0))
    obs, task_state = jax.tree.map(lambda x: x[:num_envs], starts)
    pool = None
    if pooled:
        pool = jax.tree.map(lambda x: x[num_envs:], starts)
    elif env.reset_mode == "cached":
        pool = (obs, task_state)
    state = VectorState(
        task_state=task_state,
        episode_step=jnp.zeros(num_envs, jnp.int32),
        pool=pool,
        slot=jnp.zeros((), jnp.int32) if pooled else None,
        teacher=None if env.teacher is None else env.teacher.start(env.spec, num_envs),
    )
    first = first_timestep(env, obs, task_state)
    if env.teacher is not None:
        first = dataclasses.replace(first, info=first.info | _about(Word.nothing(num_envs)))
    return state, first


def step(
    env: Env, state: VectorState, action: jax.Array, key: Key, behaviour: Behaviour | None = None
) -> tuple[VectorState, Timestep]:
    """Act once in every copy, and start a new episode where one has ended.

    Args:
        env: the environment.
        state: the copies.
        action: ``[N, ...]``, of ``env.spec.action_space``.
        key: random key.
        behaviour: of the learner, for a teacher to look at; needed only where there is one.
    """
    step_key, reset_key = jax.random.split(key)
    task_state, last = advance(env, state.task_state, state.episode_step, action, step_key)
    if env.teacher is not None:
        reset_key, teacher_key = jax.random.split(reset_key)
        state, last = _taught(env, state, (action, task_state, last), behaviour, teacher_key)
    pool_key, start_key = jax.random.split(reset_key) if env.reset_mode == "pool" else (reset_key, reset_key)
    state = _with_new_pool_entry(env, state, pool_key)
    ended = last.terminated | last.truncated

    def restart() -> tuple[jax.Array, PyTree, jax.Array | None]:
        starts = _starts(env, state, start_key)
        obs, states = _select(ended, starts, (last.final_obs, task_state))
        return obs, states, _action_mask(env, states)

    # In most steps no episode ends. Where members make this a batch, it is computed in every step all the same.
    obs, task_state, mask = jax.lax.cond(
        ended.any(), restart, lambda: (last.final_obs, task_state, last.final_action_mask)
    )
    episode_step = jnp.where(ended, 0, last.episode_step)
    timestep = dataclasses.replace(last, obs=obs, action_mask=mask, episode_step=episode_step)
    return dataclasses.replace(state, task_state=task_state, episode_step=episode_step), timestep


def start(env: Env, key: Key, num_envs: int) -> tuple[PyTree, Timestep]:
    """Draw ``num_envs`` start states, for episodes that `advance` carries on without auto-reset."""
    obs, task_state = _draw_starts(env, key, num_envs)
    return task_state, first_timestep(env, obs, task_state)


def advance(
    env: Env, task_state: PyTree, episode_step: jax.Array, action: jax.Array, key: Key
) -> tuple[PyTree, Timestep]:
    """Act once in every copy without auto-reset; beyond an episode's end the outcome has no meaning.

    Args:
        env: the environment.
        task_state: states ``[N]``.
        episode_step: int32 ``[N]``, steps taken before this one.
        action: ``[N, ...]``, of ``env.spec.action_space``.
        key: random key.

    Returns:
        The states after the step, and a timestep whose ``obs`` is ``final_obs``.
    """
    keys = jax.random.split(key, episode_step.shape[0])

    def step_one(key: Key, state: PyTree, action: jax.Array) -> tuple[Any, ...]:
        obs, state, reward, terminated, info = env.task.step_env(key, state, action, env.params)
        return obs, state, reward, terminated, env.task.is_truncated(state, env.params), info

    obs, task_state, reward, terminated, truncated, info = jax.vmap(step_one)(keys, task_state, action)
    episode_step = episode_step + 1
    if env.spec.max_episode_steps is not None:
        truncated |= episode_step >= env.spec.max_episode_steps
    mask = _action_mask(env, task_state)
    return task_state, Timestep(
        obs=obs,
        reward=reward,
        terminated=terminated,
        truncated=truncated & ~terminated,
        final_obs=obs,
        action_mask=mask,
        final_action_mask=mask,
        episode_step=episode_step,
        info=info,
    )


def _draw_starts(env: Env, key: Key, number: int) -> tuple[jax.Array, PyTree]:
    return jax.vmap(lambda key: env.task.reset_env(key, env.params))(jax.random.split(key, number))


def _with_new_pool_entry(env: Env, state: VectorState, key: Key) -> VectorState:
    """The state with a new start in place of the pool's oldest, if there is such a pool."""
    if env.reset_mode != "pool":
        return state
    assert state.slot is not None
    new = env.task.reset_env(key, env.params)
    pool = jax.tree.map(lambda old, x: old.at[state.slot].set(x), state.pool, new)
    return dataclasses.replace(state, pool=pool, slot=(state.slot + 1) % env.pool_size)


def _starts(env: Env, state: VectorState, key: Key) -> tuple[jax.Array, PyTree]:
    """A start for every copy, used or not."""
    num_envs = state.episode_step.shape[0]
    if env.reset_mode == "fresh":
        return _draw_starts(env, key, num_envs)
    assert state.pool is not None
    if env.reset_mode == "cached":
        return state.pool
    entries = jax.random.randint(key, (num_envs,), 0, env.pool_size)
    return jax.tree.map(lambda x: x[entries], state.pool)


def first_timestep(env: Env, obs: jax.Array, task_state: PyTree) -> Timestep:
    """The timestep of an episode that begins with these observations and states ``[N]``."""
    num_envs = obs.shape[0]
    mask = _action_mask(env, task_state)
    info = jax.tree.map(lambda x: jnp.zeros((num_envs, *x.shape), x.dtype), env.task.info_struct)
    return Timestep(
        obs=obs,
        reward=jnp.zeros(num_envs),
        terminated=jnp.zeros(num_envs, bool),
        truncated=jnp.zeros(num_envs, bool),
        final_obs=obs,
        action_mask=mask,
        final_action_mask=mask,
        episode_step=jnp.zeros(num_envs, jnp.int32),
        info=info,
    )


def _taught(
    env: Env,
    state: VectorState,
    outcome: tuple[jax.Array, PyTree, Timestep],
    behaviour: Behaviour | None,
    key: Key,
) -> tuple[VectorState, Timestep]:
    """The copies after their teacher has seen a step, and its timestep with feedback in place of the reward."""
    assert env.teacher is not None
    assert state.teacher is not None
    if behaviour is None:
        raise ValueError(f"{env.name} has a teacher, who has to see how the learner behaves")
    action, task_state, last = outcome
    lesson = Lesson(env, behaviour, state.task_state, state.episode_step, action, task_state, last.reward, key)
    teacher, word = env.teacher.teach(state.teacher, lesson)
    taught = dataclasses.replace(last, reward=word.value, info=last.info | _about(word))
    return dataclasses.replace(state, teacher=teacher), taught


def _about(word: Word) -> dict[str, jax.Array]:
    return {"trace": word.trace, "lag": word.lag}


def _action_mask(env: Env, task_state: PyTree) -> jax.Array | None:
    if not env.spec.has_action_mask:
        return None
    return jax.vmap(lambda state: env.task.action_mask(state, env.params))(task_state)


def _select(condition: jax.Array, yes: PyTree, no: PyTree) -> PyTree:
    """Leaf by leaf ``yes[i]`` where ``condition[i]``, else ``no[i]``."""
    return jax.vmap(lambda c, y, n: jax.tree.map(lambda a, b: jnp.where(c, a, b), y, n))(condition, yes, no)
