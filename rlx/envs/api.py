"""`make_env`: any task of any family, or a Gymnax environment of the user's own, ready to step in parallel.

A task of one's own is a ``gymnax.environments.environment.Environment`` with ``reset_env``, ``step_env``,
``action_space`` and ``default_params``; rlx needs nothing else. Three things Gymnax has no word for:

* *Factored actions*: ``action_space(params)`` returns ``rlx.types.MultiDiscrete(nvec)``, and ``step_env``
  gets int32 vectors. (``rlx.types.Discrete`` and ``rlx.types.Box`` are understood as well.)
* *Invalid actions*: a method ``action_mask(state, params)`` returns bool ``[A]``, or ``[sum(nvec)]`` for
  factored actions, component after component: True where valid. If none is (of a component),
  any choice must be harmless: agents take one and learn nothing from it.
* *Counters*: an attribute ``counters`` names entries of ``info``, each a number, that count something in each step;
  evaluations report their mean. Those whose names begin with ``invalid_`` count invalid actions.
"""

import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import Environment

from rlx import registry
from rlx.envs.adapt import Adapted
from rlx.envs.family import Built, ResetMode, override, refusals
from rlx.envs.sticky import Sticky
from rlx.errors import ConfigurationError, suggest
from rlx.types import EnvSpec, Key, PyTree, Timestep


@dataclasses.dataclass(frozen=True, eq=False)
class Env:
    """An environment; hashed by identity, so a jitted function can close over it or take it as static.

    Attributes:
        name: full name, such as ``"brax/ant"``.
        task: the adapted task: ``reset_env``, ``step_env``, ``is_truncated`` and, where there are invalid
            actions, ``action_mask``; all pure.
        params: the task's parameters.
        spec: what an agent may know.
        reset_mode: where the start states of new episodes come from; see `rlx.envs.vector`.
        pool_size: number of start states that ``reset_mode="pool"`` holds.
        config: ``make_env(**config)`` makes it again if it was made by name.
    """

    name: str
    task: Adapted
    params: PyTree
    spec: EnvSpec
    reset_mode: ResetMode
    pool_size: int
    config: dict[str, Any]

    def simulate(self, task_state: PyTree, action: jax.Array, key: Key) -> tuple[PyTree, Timestep]:
        """One step from states ``[B]`` of the task, without time limit and auto-reset: for agents that rewind it."""
        from rlx.envs import vector  # it imports this module

        return vector.advance(self, task_state, jnp.zeros(len(action), jnp.int32), action, key)


def make_env(
    name: str | Environment,
    *,
    params: PyTree | None = None,
    max_episode_steps: int | None = None,
    discretise: int | None = None,
    reset_mode: ResetMode | None = None,
    pool_size: int = 128,
    flatten: bool = False,
    sticky_actions: float = 0.0,
    **options: Any,
) -> Env:
    """Build an environment.

    Args:
        name: ``"gymnax/CartPole-v1"``, ``"brax/halfcheetah"``, ``"rlx/probe-action"``; ``"gymnax/<id>"`` for
            a task registered with ``gymnax.register``; or a Gymnax environment object.
        params: the task's parameters; ``None`` takes its defaults.
        max_episode_steps: steps after which an episode is truncated, at least 1; ``None`` takes the task's.
        discretise: cut each dimension of continuous actions into ``n`` >= 2 evenly spaced values; a single dimension
            gives discrete actions, more give factored ones.
        reset_mode: ``"fresh"``, ``"pool"`` or ``"cached"``; ``None`` takes what suits the family.
        pool_size: start states held by ``"pool"``, at least 1.
        flatten: make a vector of each observation.
        sticky_actions: probability, at each step, of executing the action executed before instead of the chosen one;
            see `rlx.envs.sticky`.
        **options: the task's constructor arguments and fields of its parameters, by name: ``backend="mjx"``
            for Brax, ``size=20`` for DeepSea, ``gravity=12.0`` for CartPole.

    Raises:
        ConfigurationError: if a name or an option is unknown, a value is out of range, or the task cannot be
            adapted.
    """
    _check_at_least("max_episode_steps", max_episode_steps, 1)
    _check_at_least("discretise", discretise, 2)
    _check_at_least("pool_size", pool_size, 1)
    _check_reset_mode(reset_mode)
    _check_probability("sticky_actions", sticky_actions)
    with refusals(str(name), options):
        full_name, built = _build(name, params, options)
        task_params, limit = _time_limit(built.params, max_episode_steps)
        inner = Sticky(built.task, float(sticky_actions)) if sticky_actions > 0 else built.task
        task = Adapted(inner, task_params, discretise=discretise, flatten=flatten)
    spec = EnvSpec(
        name=full_name,
        obs_shape=task.obs_struct.shape,
        obs_dtype=task.obs_struct.dtype.name,
        action_space=task.space,
        max_episode_steps=limit,
        has_action_mask=task.has_action_mask,
        counters=task.counters,
    )
    config = {
        "name": full_name,
        "max_episode_steps": limit,
        "discretise": discretise,
        "reset_mode": reset_mode or built.reset_mode,
        "pool_size": pool_size,
        "flatten": flatten,
        "sticky_actions": float(sticky_actions),
        **_plain_fields(params),
        **options,
    }
    return Env(full_name, task, task_params, spec, reset_mode or built.reset_mode, pool_size, config)


def _build(name: str | Environment, params: PyTree | None, options: dict[str, Any]) -> tuple[str, Built]:
    if isinstance(name, Environment):
        params = name.default_params if params is None else params
        return name.name, Built(name, override(name.name, params, options))
    if not isinstance(name, str):
        raise ConfigurationError(f"make_env takes a name or a Gymnax environment object, not {name!r}")
    family, slash, task = name.partition("/")
    if not slash:
        hint = suggest(name, registry.environments())
        raise ConfigurationError(f"unknown environment {name!r}{hint}; --help or rlx.environments() lists all")
    return name, registry.family(family).make(task, params=params, **options)


def _time_limit(params: PyTree, max_episode_steps: int | None) -> tuple[PyTree, int | None]:
    """The parameters and the time limit, in agreement where the parameters have one."""
    own = getattr(params, "max_steps_in_episode", None)
    if own is None:
        return params, max_episode_steps
    if max_episode_steps is None:
        return params, int(own)
    return params.replace(max_steps_in_episode=type(own)(max_episode_steps)), max_episode_steps


def _plain_fields(params: PyTree | None) -> dict[str, Any]:
    """The fields of ``params`` as options that make them again; the time limit goes by its own name."""
    if not dataclasses.is_dataclass(params):
        return {}
    fields = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    return {name: np.asarray(x).tolist() for name, x in fields.items() if name != "max_steps_in_episode"}


def _check_at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise ConfigurationError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_reset_mode(mode: str | None) -> None:
    modes = get_args(ResetMode)
    if mode is not None and mode not in modes:
        raise ConfigurationError(f"unknown reset_mode {mode!r}{suggest(mode, modes)}; modes: {', '.join(modes)}")


def _check_probability(name: str, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ConfigurationError(f"{name} must be a probability, from 0 to 1, not {value!r}")
