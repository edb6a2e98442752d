"""`make_env`: any task of any family, or a Gymnax environment of the user's own, ready to step in parallel.

A task of one's own is a ``gymnax.environments.environment.Environment`` with ``reset_env``, ``step_env``,
``action_space`` and ``default_params``; rlx needs nothing else. It counts the steps of episodes itself: a time limit is
``max_episode_steps``, a field ``max_steps_in_episode`` of the parameters, or the task's own method ``is_truncated``.
Rewards and all the rest may be Python numbers; what cannot work is refused when the task is made. Where a method
``observation_space`` says that an observation, or a part of it in a ``Dict`` or ``Tuple``, is ``Discrete``, agents see
it one-hot. Bytes (uint8) are brightness from 0 to 255, which networks scale to [0, 1]. Large arrays belong in the
parameters: there they cost no time to compile. Three things Gymnax has no word for:

* *Factored actions*: ``action_space(params)`` returns ``rlx.types.MultiDiscrete(nvec)``, and ``step_env``
  gets int32 vectors. (``rlx.types.Discrete`` and ``rlx.types.Box`` are understood as well.)
* *Invalid actions*: a method ``action_mask(state, params)`` returns bool ``[A]``, or ``[sum(nvec)]`` for
  factored actions, component after component: True where valid. If none is (of a component),
  any choice must be harmless: agents take one and learn nothing from it.
* *Counters*: an attribute ``counters`` names entries of ``info``, each a number, that count something in each step;
  evaluations report their mean. Those whose names begin with ``invalid_`` count invalid actions.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rlx import registry
from rlx.envs import contract, parameters
from rlx.envs.adapt import Adapted
from rlx.envs.family import Built, override, refusals
from rlx.envs.gymnax_api import Environment
from rlx.envs.noisy import Noisy
from rlx.envs.settings import EnvSettings, ResetMode, read_settings
from rlx.envs.sticky import Sticky
from rlx.envs.teacher import Channel, Teacher
from rlx.errors import ConfigurationError, suggest
from rlx.switches import in_32_bits
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
        teacher: whose feedback takes the place of the reward in training, if anybody's (`rlx.envs.teacher`).
        config: ``make_env(**config)`` makes it again if it was made by name.
    """

    name: str
    task: Adapted
    params: PyTree
    spec: EnvSpec
    reset_mode: ResetMode
    pool_size: int
    config: dict[str, Any]
    teacher: Teacher | None = None

    @property
    def arrays(self) -> tuple[jax.Array, ...]:
        """The large arrays among `params`: a compiled program takes them as an argument (`with_arrays`)."""
        return parameters.large_arrays(self.params)

    def with_arrays(self, arrays: Sequence[jax.Array]) -> "Env":
        """The environment with these in place of its `arrays`, inside the program that received them."""
        return dataclasses.replace(self, params=parameters.with_arrays(self.params, arrays)) if arrays else self

    def simulate(self, task_state: PyTree, action: jax.Array, key: Key) -> tuple[PyTree, Timestep]:
        """One step from states ``[B]`` of the task, without time limit and auto-reset: for agents that rewind it."""
        from rlx.envs import vector  # it imports this module

        return vector.advance(self, task_state, jnp.zeros(len(action), jnp.int32), action, key)


def make_env(name: str | Environment, *, params: PyTree | None = None, **settings: Any) -> Env:
    """Build an environment; of the families only its own is imported.

    Args:
        name: ``"gymnax/CartPole-v1"``, ``"brax/halfcheetah"``, ``"rlx/probe-action"``; ``"gymnax/<id>"`` for
            a task registered with ``gymnax.register``; or a Gymnax environment object.
        params: the task's parameters; ``None`` takes its defaults.
        **settings: fields of `rlx.envs.settings.EnvSettings`: ``max_episode_steps``, after which an episode is
            truncated; ``discretise``, which makes discrete actions of a single continuous dimension and factored ones
            of more; ``one_hot``, ``reset_mode``, ``pool_size``, ``flatten``, ``sticky_actions``, ``teacher`` and what
            becomes of its feedback. All others are the task's own options, its constructor's arguments and the fields
            of its parameters, by name: ``backend="mjx"`` for Brax, ``size=20`` for DeepSea, ``gravity=12.0`` for
            CartPole.

    Raises:
        ConfigurationError: if a name or an option is unknown, a value is out of range, or the task cannot be
            adapted.
    """
    return build_env(name, *read_settings(settings), params)


@in_32_bits
def build_env(
    name: str | Environment, settings: EnvSettings, options: Mapping[str, Any], params: PyTree | None = None
) -> Env:
    """What ``make_env`` does, from checked settings and the task's own options.

    Raises:
        ConfigurationError: see ``make_env``.
    """
    with refusals(str(name.name if isinstance(name, Environment) else name), options):
        full_name, built = _build(name, params, options)
        contract.require_methods(full_name, built.task)
        task_params, limit = _time_limit(full_name, built.params, settings.max_episode_steps)
        task_params = parameters.jax_arrays(task_params)
        inner = Sticky(built.task, settings.sticky_actions) if settings.sticky_actions > 0 else built.task
        if settings.reward_noise > 0 or settings.obs_noise > 0:
            inner = Noisy(inner, task_params, settings.reward_noise, settings.obs_noise)
        task = Adapted(
            inner,
            task_params,
            discretise=settings.discretise,
            flatten=settings.flatten,
            one_hot=settings.one_hot,
            twice=isinstance(name, Environment),
        )
    spec = EnvSpec(
        name=full_name,
        obs_shape=task.obs_struct.shape,
        obs_dtype=task.obs_struct.dtype.name,
        action_space=task.space,
        max_episode_steps=limit,
        has_action_mask=task.has_action_mask,
        counters=task.counters,
        has_feedback=settings.teacher is not None,
    )
    reset_mode = settings.reset_mode or built.reset_mode
    made = dataclasses.replace(settings, max_episode_steps=limit, reset_mode=reset_mode)
    fields = parameters.kept_fields(params)
    if isinstance(name, Environment):
        fields = parameters.notes(parameters.kept_fields(built.params)) | fields
    config = {"name": full_name, **dataclasses.asdict(made), **fields, **parameters.kept_options(options)}
    teacher = _teacher(settings, spec, built.task)
    return Env(full_name, task, task_params, spec, reset_mode, settings.pool_size, config, teacher)


def _teacher(settings: EnvSettings, spec: EnvSpec, task: Environment) -> Teacher | None:
    """The teacher that the settings ask for."""
    channel = Channel(
        settings.feedback_probability,
        settings.feedback_flips,
        settings.feedback_lag,
        settings.feedback_spread,
        slots=settings.feedback_lag + settings.feedback_spread + 1,
    )
    if settings.teacher in (None, "person"):
        if channel != Channel():
            raise ConfigurationError(
                f"feedback_* is of simulated teachers, and teacher={settings.teacher or 'null'}; leave it out"
            )
        channel = None  # type: ignore[assignment]
    if settings.teacher is None:
        return None
    if settings.sticky_actions > 0 and settings.teacher not in ("task", "person"):
        raise ConfigurationError(f"teacher={settings.teacher} judges chosen actions; leave sticky_actions out")
    from rlx.envs.trainers import trainer_of  # it imports this module

    return Teacher(trainer_of(settings.teacher, spec, task), channel)


def _build(name: str | Environment, params: PyTree | None, options: Mapping[str, Any]) -> tuple[str, Built]:
    if isinstance(name, Environment):
        with contract.calling("default_params"):
            params = name.default_params if params is None else params
        return str(name.name), Built(name, override(name.name, params, options))
    if not isinstance(name, str):
        raise ConfigurationError(f"make_env takes a name or a Gymnax environment object, not {name!r}")
    family, slash, task = name.partition("/")
    if not slash:
        hint = suggest(name, registry.environments())
        raise ConfigurationError(f"unknown environment {name!r}{hint}; --help or rlx.environments() lists all")
    return name, registry.family(family).make(task, params=params, **options)


def _time_limit(name: str, params: PyTree, max_episode_steps: int | None) -> tuple[PyTree, int | None]:
    """The parameters and the time limit, in agreement where the parameters have one."""
    own = getattr(params, "max_steps_in_episode", None)
    if own is None:
        return params, max_episode_steps
    try:
        if max_episode_steps is None:
            return params, int(own) if math.isfinite(own) else None
        return params.replace(max_steps_in_episode=type(own)(max_episode_steps)), max_episode_steps
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{name}: max_steps_in_episode={own!r} of its parameters must be a number, in a flax.struct.dataclass"
        ) from error
