"""From names and plain values to checked agents."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax

from rlx import registry
from rlx.choose import AgentChoice, choose_agent
from rlx.errors import ConfigurationError
from rlx.settings import checked, environment_steps, settings_of
from rlx.types import Agent, Box, Discrete, EnvSpec, Key, MultiDiscrete, PyTree, Timestep

_SPACE_NAMES = {Discrete: "discrete", MultiDiscrete: "factored", Box: "continuous"}
# What the protocol asks of every agent, its fields first.
_MEMBERS = tuple(dict.fromkeys([*Agent.__annotations__, *(name for name in vars(Agent) if not name.startswith("_"))]))


@runtime_checkable
class Steppable(Protocol):
    """An environment as far as agents go: what they may know of it, and its pure step."""

    @property
    def spec(self) -> EnvSpec:
        """What an agent may know."""
        ...

    def simulate(self, task_state: PyTree, action: jax.Array, key: Key) -> tuple[PyTree, Timestep]:
        """One step from states ``[B]`` of the task, without time limit and auto-reset."""
        ...


def make_agent(name: str, spec: EnvSpec | Steppable, **hyperparameters: Any) -> Agent:
    """Build the agent ``name`` for an environment; no other agent is imported.

    Args:
        name: one of ``rlx.agents()``.
        spec: the environment, from ``make_env``, or its ``EnvSpec`` alone.
        **hyperparameters: fields to change from their defaults.

    Raises:
        ConfigurationError: for an unknown name, a wrong type, a value out of range, or an agent that cannot act in
            that environment.
    """
    return build_agent(choose_agent(name, hyperparameters), spec)


def build_agent(choice: AgentChoice, env: EnvSpec | Steppable) -> Agent:
    """The agent of that choice for an environment or its spec.

    Raises:
        ConfigurationError: if it cannot act there, or that is no environment.
    """
    if isinstance(env, EnvSpec):
        return _fitting(choice.cls(spec=env, **choice.hyperparameters))
    if not isinstance(env, Steppable):
        name = registry.agent_name(choice.cls)
        raise ConfigurationError(f"make_agent needs the environment, not {env!r}: make_agent({name!r}, make_env(...))")
    steps = {field: env.simulate for field in environment_steps(choice.cls)}
    return _fitting(choice.cls(spec=env.spec, **steps, **choice.hyperparameters))


def validate(agent: Agent) -> Agent:
    """Return ``agent``, which somebody built by hand, with every field checked and converted.

    Raises:
        ConfigurationError: see ``make_agent``; or if it is no agent.
    """
    if isinstance(agent, type) or not dataclasses.is_dataclass(agent):
        raise ConfigurationError(
            f"{agent!r} is no agent; build one with rlx.make_agent, or from a flax.struct dataclass"
        )
    missing = [member for member in _MEMBERS if not hasattr(agent, member)]
    if missing:
        name = type(agent).__name__
        raise ConfigurationError(f"{name} is no agent: it has no {', '.join(missing)}; see docs/writing_an_agent.md")
    values = {name: checked(setting, vars(agent)[name], "agent.") for name, setting in settings_of(type(agent)).items()}
    return dataclasses.replace(_fitting(agent), **values)


def agent_name(agent: Agent) -> str:
    """The name the agent is registered under, or its class's."""
    return registry.agent_name(type(agent))


def _fitting(agent: Agent) -> Agent:
    """The same agent, if it can act in the environment it was built for."""
    space = type(agent.spec.action_space)
    if space not in agent.accepts:
        wanted = " or ".join(_SPACE_NAMES[accepted] for accepted in agent.accepts)
        raise ConfigurationError(
            f"{agent_name(agent)} needs a {wanted} action space, {agent.spec.name} has a {_SPACE_NAMES[space]} one; "
            f"{_remedy(agent)}"
        )
    if agent.needs.feedback and not agent.spec.has_feedback:
        raise ConfigurationError(
            f"{agent_name(agent)} learns from a teacher's feedback, and {agent.spec.name} has no teacher; "
            "add env.teacher=task, or another teacher"
        )
    return agent


def _remedy(agent: Agent) -> str:
    space = type(agent.spec.action_space)
    one_dimension = agent.spec.action_space == Box(1)
    if space is Box and (Discrete if one_dimension else MultiDiscrete) in agent.accepts:
        return "add env.discretise=3"
    fitting = [name for name in registry.agents() if space in registry.agent_class(name).accepts]
    return f"agents that can act there: {', '.join(fitting)}"
