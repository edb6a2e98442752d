"""The host's side of a run: compile, then alternate between chunks of training, evaluations and saves.

A `Run` is something to iterate over: it yields what happened, and goes on when asked for more. Whoever drives it shows,
logs and decides; to stop early it sets ``run.stop``.
"""

import math
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlx.errors import ConfigurationError, Diverged, RunFailed
from rlx.runner.acting import acting_part
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import Evaluation
from rlx.runner.failures import from_outside
from rlx.runner.interrupt import interruptible
from rlx.runner.loop import RunState
from rlx.runner.memory_plan import readable
from rlx.runner.plan import Plan
from rlx.runner.population import Population
from rlx.runner.waiting import wait
from rlx.runner.window import Totals, summary
from rlx.types import Clock, PyTree

# Long enough to hide dispatch, short enough for a live display and a prompt Ctrl-C.
CHUNK_SECONDS = 0.5


class Phase(NamedTuple):
    """What happens from now on: ``"training"``, ``"evaluating"``, ``"saving"``, ``"compiling ..."``."""

    name: str


class Note(NamedTuple):
    """Something a person wants to read once."""

    text: str


class Progressed(NamedTuple):
    """A chunk of training is over.

    Attributes:
        step: environment steps of each member so far.
        window: of the logging window, ``[M]`` or ``[M, k]`` by name, from `rlx.runner.window.summary`.
    """

    step: int
    window: dict[str, np.ndarray]


class Evaluated(NamedTuple):
    """An evaluation is over.

    Attributes:
        step: environment steps of each member so far.
        result: of the episodes ``[M, n]``.
        window: that of the training before it; empty at the start.
        seconds: wall time of the run so far.
    """

    step: int
    result: Evaluation
    window: dict[str, np.ndarray]
    seconds: float


class Stopped(NamedTuple):
    """The run is over, for now.

    Attributes:
        step: environment steps of each member.
        acting: the acting part of the agents' states, leaves ``[M, ...]``, on the host.
        finished: whether the budget is spent.
    """

    step: int
    acting: PyTree
    finished: bool


Event = Phase | Note | Progressed | Evaluated | Stopped


class Run:
    """One population's run in its folder, from its newest checkpoint if there is one.

    Attributes:
        stop: set it to save and stop at the next good moment, as the first Ctrl-C does.
        diverged: bool ``[M]``, members whose numbers are no longer finite.
    """

    def __init__(
        self,
        members: Population,
        plan: Plan,
        total_steps: int,
        folder: Path,
        checkpoints: Checkpoints,
        seconds_before: float = 0.0,
        tolerant: bool = False,
    ) -> None:
        """``tolerant``: go on as long as the numbers of any member are finite; else of all."""
        self.population, self.plan, self.folder, self.checkpoints = members, plan, folder, checkpoints
        self.clock = Clock.start(total_steps, plan.steps_per_iteration)
        self.policies = Checkpoints(folder / "policy", keep=1)
        self.started = time.perf_counter() - seconds_before
        self.stop = threading.Event()
        self.tolerant, self.diverged = tolerant, np.zeros(len(members.members), bool)
        self._chunk_length, self._score = 1, -math.inf

    def __iter__(self) -> Generator[Event, None, None]:
        """Run until the budget is spent or somebody wants to stop.

        Raises:
            RunFailed: if a loss or a return is no longer finite.
        """
        try:
            yield from self._events()
        finally:  # whatever happened: the end of the process would break off what is being written
            for saves in (self.checkpoints, self.policies):
                saves.close()

    def _events(self) -> Iterator[Event]:
        states, resumed = yield from self._first_states()
        yield from self._compile(states)
        with interruptible(self.stop):
            states, iteration = yield from self._train(states, resumed)
        yield Phase("saving")
        self.checkpoints.close()
        self.policies.close()
        acting = self.population.gather(self.population.acting(states))
        yield Stopped(self._step(iteration), acting, finished=iteration == self.plan.iterations)

    def _first_states(self) -> Any:
        if self.checkpoints.steps():
            yield Phase("reading the checkpoint")
            _, state = self.checkpoints.restore(self.population.member_shapes(self.clock))
            return self.population.scatter_states(state), True
        yield Phase("compiling initialisation")
        return self.population.start(self.clock), False

    def _compile(self, states: list[RunState]) -> Iterator[Event]:
        """Compile ahead, so that speeds leave compilation out."""
        began = time.perf_counter()
        yield Phase("compiling training and evaluation")
        beside = self.population.compile(states)
        yield Note(f"compiled in {time.perf_counter() - began:.1f} s; takes {readable(beside)} beside the state")

    def _train(self, states: list[RunState], resumed: bool) -> Any:
        """The states after the last iteration, and its number."""
        iteration = int(states[0].clock.iterations)
        yield Progressed(self._step(iteration), {})
        if not resumed:
            yield from self._evaluate(states, iteration, {})
            yield from self._save(states, iteration)
        elif iteration in self.plan.evaluations and max(self.policies.steps(), default=-1) < self._step(iteration):
            # Stopped in that evaluation, or killed before its policy was saved. No iterations give the window again.
            states, _, totals = self.population.advance(states, 0, new_window=False)
            yield from self._evaluate(states, iteration, summary(self.population.gather(totals)) if iteration else {})
        for target in self.plan.stops(after=iteration):
            states, iteration, window = yield from self._advance(states, iteration, target)
            self._score = -math.inf  # of a state that nobody has evaluated
            if iteration == target and target in self.plan.evaluations:
                yield from self._evaluate(states, iteration, window)
            if iteration in self.plan.checkpoints or self.stop.is_set():
                yield from self._save(states, iteration)
            if self.stop.is_set():
                break
        return states, iteration

    def _advance(self, states: list[RunState], start: int, target: int) -> Any:
        """Train up to iteration ``target`` in chunks, looking at each while the next one runs."""
        yield Phase("training")
        iteration, pending, window = start, None, {}
        clocked = time.perf_counter()
        while iteration < target and not self.stop.is_set():
            length = min(self._chunk_length, target - iteration)
            new_window = iteration == start and start in self.plan.evaluations
            states, healthy, following = self.population.advance(states, length, new_window)
            iteration += length
            if pending is not None:
                window = yield from self._look(*pending[1:], states)
                now = time.perf_counter()
                self._set_pace(pending[0], now - clocked)
                clocked = now
            pending = (length, iteration, healthy, following)
        if pending is not None:
            window = yield from self._look(*pending[1:], states)
        return states, iteration, window

    def _set_pace(self, length: int, seconds: float) -> None:
        wanted = length * CHUNK_SECONDS / max(seconds, 1e-6)
        self._chunk_length = max(1, min(round(wanted), 4 * self._chunk_length))

    def _look(self, iteration: int, healthy: list[Any], totals: list[Totals], states: list[RunState]) -> Any:
        """Wait for a chunk, say how far it got, and refuse to go on if its numbers are not finite."""
        self._require_finite(self.population.gather(healthy), "a loss or an episode return", states)
        window = summary(self.population.gather(totals))
        yield Progressed(self._step(iteration), window)
        return window

    def _evaluate(self, states: list[RunState], iteration: int, window: dict[str, Any]) -> Iterator[Event]:
        """Evaluate, log and save what acted; nothing of it if somebody wants to stop meanwhile."""
        yield Phase("evaluating")
        step = self._step(iteration)
        playing = self.population.play(self.population.acting(states), step)
        if not wait(playing, unless=self.stop):
            return
        result = self.population.gather(playing)
        finite = np.all(np.isfinite(result.returns), axis=1)
        self._require_finite(finite, "an evaluation return", states)
        self._score = float(result.returns[finite].mean())
        yield Evaluated(step, result, window, time.perf_counter() - self.started)
        self._save_policy(states, iteration)

    def _save(self, states: list[RunState], iteration: int) -> Iterator[Event]:
        yield Phase("saving")
        self.checkpoints.save(self._step(iteration), self.population.join_states(states), self._score)

    def _save_policy(self, states: list[RunState], iteration: int) -> None:
        self.policies.save(self._step(iteration), self.population.join(self.population.acting(states)))

    def _step(self, iteration: int) -> int:
        return iteration * self.plan.steps_per_iteration

    def _require_finite(self, healthy: Any, what: str, states: list[RunState]) -> None:
        self.diverged |= ~healthy
        if healthy.all() or (self.tolerant and not self.diverged.all()):
            return
        step = self._step(int(states[0].clock.iterations))
        failed = Checkpoints(self.folder / "failed", keep=1)
        failed.save(step, self.population.join_states(states))
        for saves in (failed, self.checkpoints, self.policies):
            saves.close()
        members = zip(self.population.members, healthy, strict=True)
        seeds = ", ".join(str(member.seed) for member, good in members if not good)
        good_ones = self.checkpoints.steps()
        raise Diverged(
            f"{what} of seed {seeds} is infinite or NaN by step {step}; that state is in {self.folder / 'failed'}"
            + (f", the last good one in {self.folder / 'checkpoints'}" if good_ones else "")
            + ("; lower agent.learning_rate, or" if step else ";")
            + " check the environment's rewards and observations"
        )


@contextmanager
def failing_in_one_line(folder: Path) -> Iterator[None]:
    """Of the run in ``folder``, say in one line what ended it from outside, what is safe and how to go on.

    Raises:
        RunFailed: if the disk cannot be written or memory runs out.
    """
    try:
        yield
    except Exception as error:
        what = from_outside(error)
        if what is None:
            raise
        raise RunFailed(f"{what}; {_how_to_go_on(folder)}") from error


def _how_to_go_on(folder: Path) -> str:
    steps = [int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]
    if not steps:
        return "nothing was saved yet, so start a new run"
    return f"what was saved at step {max(steps)} is safe, and resume={folder} goes on from there"


def load_acting(folder: Path, members: Population, clock: Clock) -> tuple[int, PyTree]:
    """The newest policy of the run in ``folder`` and its step, leaves ``[M, ...]``, on the host.

    Raises:
        ConfigurationError: if there is none, or it is damaged.
    """
    if not (folder / "policy").is_dir():
        raise ConfigurationError(f"nothing is saved in {folder}/policy yet; resume={folder} goes on with the run")
    policies = Checkpoints(folder / "policy", keep=1, read_only=True)
    try:
        return policies.restore(acting_part(members.members[0].agent, members.member_shapes(clock).agent))
    finally:
        policies.close()
