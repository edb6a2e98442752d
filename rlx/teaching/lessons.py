"""Recorded lessons as arrays, to learn from without a person and without the environment."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlx.errors import ConfigurationError
from rlx.switches import in_32_bits
from rlx.teaching.session import Outcome
from rlx.types import Agent, Clock, Key, PyTree, Transition

_FIELDS = ("obs", "action", "reward", "terminated", "truncated", "next_obs", "action_mask", "next_action_mask")
_EXTRAS, _INFO = "policy_", "feedback_"


def write_lessons(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the steps of a session as an ``.npz`` file, each array ``[T, ...]``.

    ``reward`` is feedback, ``feedback_trace`` and ``feedback_lag`` what belongs to it, ``policy_...`` what the learner
    told of its policy before the step, and ``task_reward`` what it did not see.
    """
    rows = jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get([o.transition for o in outcomes]))
    arrays = {name: getattr(rows, name) for name in _FIELDS if getattr(rows, name) is not None}
    arrays |= {_EXTRAS + name: value for name, value in rows.extras.items()}
    arrays |= {_INFO + name: value for name, value in rows.info.items()}
    task_reward = np.concatenate(jax.device_get([outcome.reward for outcome in outcomes]))
    np.savez_compressed(path, **arrays, task_reward=task_reward)


def read_lessons(path: Path) -> Transition:
    """What `write_lessons` wrote, as a rollout ``[T, 1, ...]``.

    Raises:
        ConfigurationError: if it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: jnp.asarray(file[name])[:, None] for name in file.files}
        named = lambda prefix: {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}  # noqa: E731
        fields = {name: arrays.get(name) for name in _FIELDS}
        return Transition(**fields, extras=named(_EXTRAS), info=named(_INFO))  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{path} holds no recorded lessons ({error})") from error


@in_32_bits
def study(agent: Agent, lessons: Transition, key: Key, passes: int = 1) -> PyTree:
    """The state of a new agent that has learned from recorded lessons, step by step.

    Whoever it was that gave the feedback saw another learner: what depends on the learner's policy is that one's.

    Args:
        agent: any that learns from feedback.
        lessons: a rollout ``[T, 1, ...]``.
        key: of the agent's randomness.
        passes: how often to go through them.
    """
    steps = len(lessons.reward)
    lessons = with_log_prob(lessons)
    clock = Clock.start(passes * steps, 1)

    def event(state: PyTree, number: jax.Array) -> tuple[PyTree, None]:
        step = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, number % steps, 1), lessons)
        then = dataclasses.replace(clock, iterations=number + 1)
        return agent.update(state, step, jax.random.fold_in(learn_key, number), then)[0], None

    init_key, learn_key = jax.random.split(key)
    return jax.jit(lambda: jax.lax.scan(event, agent.init(init_key), jnp.arange(passes * steps))[0])()


def with_log_prob(lessons: Transition) -> Transition:
    """With the log-probability of discrete actions when they were taken, among ``extras``, where that can be told."""
    probabilities = lessons.extras.get("probabilities")
    if probabilities is None or lessons.action.ndim > 2:
        return lessons
    taken = jnp.take_along_axis(probabilities, lessons.action[..., None], axis=-1)[..., 0]
    return dataclasses.replace(lessons, extras=lessons.extras | {"log_prob": jnp.log(taken)})
