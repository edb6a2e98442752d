"""What the page shows, in words and numbers that JSON can hold."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlx.envs import render
from rlx.envs.grid import Grid
from rlx.teaching import learners
from rlx.teaching.presses import Press, lag_of
from rlx.teaching.session import Outcome, Session
from rlx.types import Box, Discrete, EnvSpec, MultiDiscrete

STRIP, CURVE = 300, 500  # steps and episodes that are kept to be drawn
_NAMES = {
    "CartPole-v1": ("push left", "push right"),
    "MountainCar-v0": ("push left", "coast", "push right"),
    "Acrobot-v1": ("turn left", "let go", "turn right"),
}
_GRID = ("north", "south", "east", "west")


def action_names(session: Session) -> list[str]:
    """A name for each row of `policy_rows`."""
    spec, task = session.env.spec, render.bare_task(session.env)
    match spec.action_space:
        case Discrete(n):
            known = _GRID if isinstance(task, Grid) else _NAMES.get(task.name, ())
            return [known[i] if i < len(known) else f"action {i}" for i in range(n)]
        case MultiDiscrete(nvec):
            return [f"component {i}" for i in range(len(nvec))]
        case Box(size):
            return [f"dimension {i}" for i in range(size)]


def policy_rows(spec: EnvSpec, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each bar shows: a share in [0, 1] of an action, the likeliest choice of a component, or an interval."""
    match spec.action_space:
        case Discrete():
            return [{"share": _number(share)} for share in told["probabilities"][0]]
        case MultiDiscrete(nvec):
            parts = np.split(told["probabilities"][0], np.cumsum(nvec)[:-1])
            return [{"share": _number(part.max()), "choice": int(part.argmax())} for part in parts]
        case Box():
            low, high = (told["mean"][0] + sign * told["std"][0] for sign in (-1, 1))
            return [{"low": _number(a), "high": _number(b)} for a, b in zip(low, high, strict=True)]


def _number(value: Any) -> float | None:
    """As JSON can hold it: ``None`` for what is no number."""
    return round(float(value), 4) if np.isfinite(value) else None


class Account:
    """Episodes and feedback so far, for the curve and the strip.

    Attributes:
        curve: number, steps and return of ended episodes.
        strip: step and feedback of the last steps.
        presses: heard so far.
        running: steps and return of the running episode.
        episodes: that have ended.
    """

    def __init__(self) -> None:
        self.curve: deque[tuple[int, int, float]] = deque(maxlen=CURVE)
        self.strip: deque[tuple[int, float]] = deque(maxlen=STRIP)
        self.presses, self.episodes, self.running = 0, 0, (0, 0.0)

    def add(self, step: int, outcome: Outcome) -> None:
        """Take in what step number ``step`` did; all of ``outcome`` is on the host."""
        taken = outcome.transition
        feedback, reward = float(taken.reward[0]), float(outcome.reward[0])
        self.strip.append((step, feedback))
        self.presses += feedback != 0
        self.running = (self.running[0] + 1, self.running[1] + reward)
        if taken.terminated[0] or taken.truncated[0]:
            self.episodes += 1
            self.curve.append((self.episodes, self.running[0], _number(self.running[1]) or 0.0))
            self.running = (0, 0.0)

    def whole(self) -> dict[str, Any]:
        """All that there is to draw."""
        return {"curve": list(self.curve), "strip": list(self.strip)}


def credited(session: Session, press: Press, step: int) -> list[list[float]]:
    """Pairs of a step and the share of credit that ``press`` gives it, if step number ``step`` hears it."""
    pairs = learners.credit(session.agent, press.trace, lag_of(press, step))
    return [[step - ago, round(weight, 3)] for ago, weight in pairs if step - ago >= 0]


def credit_of(session: Session, presses: Sequence[Press], step: int) -> list[list[float]]:
    """The same of several presses that one step hears: that of the strongest."""
    return credited(session, max(presses, key=lambda press: abs(press.value)), step) if presses else []


def shown(session: Session, account: Account, outcome: Outcome, credit: list[list[float]]) -> dict[str, Any]:
    """The message on a step that has just been taken; all of ``outcome`` is on the host."""
    taken, step = outcome.transition, session.steps - 1
    ended = bool(taken.terminated[0] or taken.truncated[0])
    return {
        "kind": "state",
        "step": step,
        "action": np.asarray(taken.action[0]).tolist(),
        "feedback": float(taken.reward[0]),
        "credit": credit,
        "policy": policy_rows(session.env.spec, outcome.told),
        "episode": account.episodes + (not ended),
        "episode_step": int(outcome.episode_step[0]) + 1,
        "ended": list(account.curve[-1]) if ended else None,
        "presses": account.presses,
    }
