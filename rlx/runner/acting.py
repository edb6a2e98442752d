"""Acting, wherever it happens: which part of an agent's state acts, and the memory that it carries along."""

import dataclasses

from rlx.errors import ConfigurationError
from rlx.types import Agent, PyTree, Timestep


def acting_part(agent: Agent, agent_state: PyTree) -> PyTree:
    """The agent's state with only what acting reads (``agent.needs.acting``), and ``None`` for the rest.

    Raises:
        ConfigurationError: if the state is no dataclass, or has no field of that name.
    """
    if not dataclasses.is_dataclass(agent_state) or isinstance(agent_state, type):
        raise ConfigurationError(
            f"the state of {type(agent).__name__} is a {type(agent_state).__name__}; make it a flax.struct dataclass"
        )
    fields = [field.name for field in dataclasses.fields(agent_state)]
    unknown = [name for name in agent.needs.acting if name not in fields]
    if unknown:
        raise ConfigurationError(
            f"{type(agent).__name__} acts by {', '.join(unknown)}, which its state lacks; it has: {', '.join(fields)}"
        )
    return dataclasses.replace(agent_state, **{name: None for name in fields if name not in agent.needs.acting})


def start_memory(agent: Agent, agent_state: PyTree, num_envs: int) -> PyTree:
    """The memory before any timestep of ``num_envs`` environments; ``None`` for an agent without one."""
    memory = agent.needs.memory
    return None if memory is None else memory.start(agent_state, num_envs)


def remember(
    agent: Agent, agent_state: PyTree, carried: PyTree, timestep: Timestep, learning: bool
) -> tuple[PyTree, Timestep]:
    """Take a timestep into the memory, before the agent sees it.

    Args:
        agent: whose memory it is.
        agent_state: its state.
        carried: the memory so far.
        timestep: what comes next.
        learning: whether the agent learns from this; if not, a memory that is part of its state is held still.

    Returns:
        The memory, and the timestep that holds it.
    """
    memory = agent.needs.memory
    if memory is None:
        return None, timestep
    if learning or not memory.of_state:
        carried = memory.observe(agent_state, carried, timestep)
    return carried, dataclasses.replace(timestep, memory=carried)
