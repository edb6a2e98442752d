"""Rules of thumb by which somebody who knows a task tells good actions from bad ones, at the learner's pace."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs.grid import CliffGrid, Grid
from rlx.envs.gymnax_api import Environment
from rlx.errors import ConfigurationError

# From a state, an action, the state it led to and the reward to feedback, a float32 scalar.
Rule = Callable[[Any, jax.Array, Any, jax.Array], jax.Array]


def rule_of(task: Environment) -> Rule:
    """The rule for a bare task.

    Raises:
        ConfigurationError: if none is known.
    """
    if isinstance(task, Grid):
        return task.advice
    if task.name not in _RULES:
        known = ", ".join(["rlx/cliff-grid", "rlx/four-rooms", *(f"gymnax/{name}" for name in _RULES)])
        raise ConfigurationError(
            f"{task.name}: no rule tells its good actions from its bad ones (there are rules for {known}); "
            "take teacher=task or teacher=improvement"
        )
    return _RULES[task.name]


def author_rule_of(task: Environment) -> Rule:
    """The rule of the author's program, as printed.

    Raises:
        ConfigurationError: if the task is not the cliff grid.
    """
    if not isinstance(task, CliffGrid):
        raise ConfigurationError(f"{task.name}: teacher=action_author is for rlx/cliff-grid; take teacher=action")
    return task.author_advice


def _cart_pole(before: Any, action: jax.Array, after: Any, reward: jax.Array) -> jax.Array:
    """Push to where the pole falls and the cart drifts."""
    right = before.theta + 0.25 * before.theta_dot + 0.02 * before.x + 0.06 * before.x_dot > 0
    return jnp.where((action == 1) == right, 1.0, -1.0)


def _mountain_car(before: Any, action: jax.Array, after: Any, reward: jax.Array) -> jax.Array:
    """Push the way the car moves; actions are left, nothing, right."""
    return jnp.where((action == 2) == (before.velocity >= 0), 1.0, -1.0) * (action != 1)


_RULES: dict[str, Rule] = {"CartPole-v1": _cart_pole, "MountainCar-v0": _mountain_car}
