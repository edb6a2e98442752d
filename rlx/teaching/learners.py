"""What a teacher's page must know of each learner: which steps a press is credited to, and what a press changes."""

import dataclasses
from typing import Any

from rlx.agents.coach import COACH
from rlx.agents.deep_coach import DeepCOACH
from rlx.agents.tamer import TAMER
from rlx.types import Agent, PyTree

FAINT = 0.05  # shares of credit below this are not shown
_DEEP = ("params", "opt_state", "windows")


def credit(agent: Agent, trace: int, lag: int) -> list[tuple[int, float]]:
    """How many steps ago what was done that a word in this step is about, and how much of it counts, newest first.

    In a window of Deep COACH it ends with the press before, which is left out of account here.
    """
    if isinstance(agent, TAMER) and agent.credit == "window":
        first = round(agent.shortest_delay)
        last = first + max(1, round(agent.delay_spread))
        return [(age + lag, 1.0 / (last - first)) for age in range(first, last)]
    first = round(getattr(agent, "delay", 0.0)) + lag
    if isinstance(agent, COACH):
        decay, longest = agent.trace_decays[min(trace, len(agent.trace_decays) - 1)], 60
    elif isinstance(agent, DeepCOACH):
        decay, longest = agent.trace_decay, agent.window_length
    else:
        return [(first, 1.0)]
    weights = [decay**age for age in range(longest)]
    return [(first + age, weight) for age, weight in enumerate(weights) if weight >= FAINT]


def learned(agent: Agent, state: PyTree) -> dict[str, Any]:
    """The part of the agent's state that feedback changes, by field: what undoing a press puts back."""
    names = _DEEP if isinstance(agent, DeepCOACH) else agent.needs.acting
    return {name: getattr(state, name) for name in names}


def with_learned(state: PyTree, part: dict[str, Any]) -> PyTree:
    """The agent's state with that part put back, and all else as it is now."""
    return dataclasses.replace(state, **part)
