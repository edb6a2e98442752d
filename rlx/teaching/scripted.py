"""A script in a person's place: it presses by a rule, through the same lines that a person's presses make."""

import random
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs import render
from rlx.envs.advice import rule_of
from rlx.teaching.recording import Recording
from rlx.teaching.session import Session
from rlx.types import PyTree


def teach(session: Session, recording: Recording, steps: int, probability: float) -> None:
    """Take steps, and press after each by the task's rule, with ``probability``; all of it is recorded.

    Raises:
        ConfigurationError: if no rule is known for the task.
    """
    judge, chance = _judge(session), random.Random(session.seed)
    for line in _lines(session, judge, steps, probability, chance):
        recording.add(line)
        session.take(line)


def _lines(
    session: Session, judge: Any, steps: int, probability: float, chance: random.Random
) -> Iterator[dict[str, Any]]:
    for step in range(session.steps, session.steps + steps):
        before = session.state.scene.env.task_state
        yield {"kind": "step", "step": step}
        value = float(judge(before, session.state.scene.env.teacher.action))  # type: ignore[union-attr]
        if value != 0 and chance.random() < probability:
            yield {"kind": "press", "id": step, "value": value, "trace": 0, "shown": step}


def _judge(session: Session) -> Any:
    """From states ``[1, ...]`` and the action taken there to the rule's word; chance in the task plays no role."""
    env = session.env
    rule = rule_of(render.bare_task(env))

    @jax.jit
    def judge(states: PyTree, action: jax.Array) -> jax.Array:
        before = jax.tree.map(lambda x: x[0], states)
        _, after, reward, _, _ = env.task.step_env(jax.random.key(0), before, action[0], env.params)
        return jnp.asarray(rule(before, action[0], after, reward))

    return judge
