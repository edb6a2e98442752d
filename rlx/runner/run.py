"""The host's side of a run: compile, then alternate between chunks of training, evaluations and saves."""

import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs.api import Env
from rlx.runner import population
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import Evaluation, acting_part
from rlx.runner.interrupt import interruptible
from rlx.runner.loop import RunState
from rlx.runner.observers import Logger, Progress
from rlx.runner.plan import Plan
from rlx.runner.rows import evaluation_rows
from rlx.runner.settings import RunSettings
from rlx.types import Agent, Clock

# Long enough to hide dispatch, short enough for a live display and a prompt Ctrl-C.
CHUNK_SECONDS = 0.5


class RunFailed(RuntimeError):
    """A run that cannot go on; what it saved before stays as it was."""


class Outcome(NamedTuple):
    """The state a run ended in, and whether its budget is spent."""

    state: RunState
    finished: bool


class Run:
    """One population's run in its folder; ``train`` starts it, or goes on from its newest checkpoint."""

    def __init__(
        self,
        agents: Agent,
        env: Env,
        settings: RunSettings,
        plan: Plan,
        folder: Path,
        checkpoints: Checkpoints,
        loggers: Sequence[Logger],
        progress: Progress,
        seconds_before: float = 0.0,
    ) -> None:
        self.seeds, self.plan, self.folder = settings.seeds, plan, folder
        self.mesh = population.mesh_for(len(self.seeds))
        self.agents = population.place(agents, self.mesh)
        self.programs = population.programs(env, self.mesh, settings.eval_episodes, settings.eval_mode)
        self.clock = Clock.start(settings.total_steps)
        self.loggers, self.progress = loggers, progress
        self.checkpoints = checkpoints
        self.policies = Checkpoints(folder / "policy", keep=1)
        self.started = time.perf_counter() - seconds_before
        self.chunk_length, self.score = 1, -math.inf

    def train(self) -> Outcome:
        """Run until the budget is spent or somebody presses Ctrl-C.

        Raises:
            RunFailed: if a loss or a return is no longer finite.
        """
        state, resumed = self._first_state()
        self._compile(state)
        iteration = int(state.clock.iterations)
        self.progress.progress(int(state.clock.env_steps))
        with interruptible() as interrupted:
            if not resumed:
                self._evaluate(state, {})
                self._save(state)
            elif iteration in self.plan.evaluations:
                self._save_policy(state)  # which a run killed between the two saves lacks
            for target in self.plan.stops(after=iteration):
                state, window = self._advance(state, iteration, target, interrupted)
                iteration = int(state.clock.iterations)
                if iteration == target and target in self.plan.evaluations:
                    self._evaluate(state, window)
                if iteration in self.plan.checkpoints or interrupted.is_set():
                    self._save(state)
                if interrupted.is_set():
                    break
        self.progress.phase("saving")
        self.checkpoints.close()
        self.policies.close()
        return Outcome(state, finished=iteration == self.plan.iterations)

    def _first_state(self) -> tuple[RunState, bool]:
        inputs = (self.agents, population.keys_for(self.seeds, population.INIT_STREAM), self.clock)
        shapes = jax.eval_shape(self.programs.init, *inputs)
        self.progress.message(population.memory_plan(shapes, self.mesh))
        if self.checkpoints.steps():
            self.progress.phase("reading the checkpoint")
            _, state = self.checkpoints.restore(shapes)
            return population.place(state, self.mesh, population.RUN_STATE), True
        self.progress.phase("compiling initialisation")
        return self.programs.init(*inputs), False

    def _compile(self, state: RunState) -> None:
        """Compile ahead, so that the phases have names and speeds leave compilation out."""
        began = time.perf_counter()
        self.progress.phase("compiling training loop")
        self.chunk = self.programs.chunk.lower(self.agents, state, jnp.int32(1), jnp.bool_(True)).compile()
        self.progress.phase("compiling evaluation")
        arguments = (self.agents, acting_part(state.agent), self._evaluation_keys(state))
        self.evaluate = self.programs.evaluate.lower(*arguments).compile()
        self.progress.message(f"compiled in {time.perf_counter() - began:.1f} s")

    def _advance(
        self, state: RunState, start: int, target: int, interrupted: threading.Event
    ) -> tuple[RunState, dict[str, Any]]:
        """Train up to iteration ``target`` in chunks, looking at each while the next one runs."""
        self.progress.phase("training")
        iteration, pending, window = start, None, {}
        clocked = time.perf_counter()
        while iteration < target and not interrupted.is_set():
            length = min(self.chunk_length, target - iteration)
            new_window = iteration == start and start in self.plan.evaluations
            state, healthy, following = self.chunk(self.agents, state, jnp.int32(length), jnp.bool_(new_window))
            iteration += length
            if pending is not None:
                window = self._look(*pending, state)
                now = time.perf_counter()
                self._set_pace(pending[0], now - clocked)
                clocked = now
            pending = (length, iteration, healthy, following)
        if pending is not None:
            window = self._look(*pending, state)
        return state, window

    def _set_pace(self, length: int, seconds: float) -> None:
        wanted = length * CHUNK_SECONDS / max(seconds, 1e-6)
        self.chunk_length = max(1, min(round(wanted), 4 * self.chunk_length))

    def _look(
        self, length: int, iteration: int, healthy: jax.Array, window: dict[str, jax.Array], state: RunState
    ) -> dict[str, Any]:
        """Wait for a chunk, show how far it got, and refuse to go on if its numbers are not finite."""
        self._require_finite(np.asarray(healthy), "a loss or an episode return", state)
        values = {name: np.asarray(value) for name, value in window.items()}
        returns = values["training/return_mean"]
        self.progress.progress(
            iteration * self.plan.steps_per_iteration,
            None if np.isnan(returns).all() else float(np.nanmean(returns)),
        )
        return values

    def _evaluate(self, state: RunState, window: dict[str, Any]) -> None:
        self.progress.phase("evaluating")
        result: Evaluation = self.evaluate(self.agents, acting_part(state.agent), self._evaluation_keys(state))
        returns = np.asarray(result.returns)
        self._require_finite(np.isfinite(returns).all(axis=1), "an evaluation return", state)
        step = int(state.clock.env_steps)
        self.score = float(returns.mean())
        rows = evaluation_rows(step, self.seeds, time.perf_counter() - self.started, result, window)
        for logger in self.loggers:
            logger.rows(rows)
        means = returns.mean(axis=1)
        self.progress.evaluation(step, float(means.mean()), float(means.min()), float(means.max()))
        self._save_policy(state)

    def _save_policy(self, state: RunState) -> None:
        self.policies.save(int(state.clock.env_steps), acting_part(state.agent))

    def _save(self, state: RunState) -> None:
        self.progress.phase("saving")
        self.checkpoints.save(int(state.clock.env_steps), state, self.score)

    def _evaluation_keys(self, state: RunState) -> jax.Array:
        return population.place(population.evaluation_keys(self.seeds, state.clock.env_steps), self.mesh)

    def _require_finite(self, healthy: np.ndarray, what: str, state: RunState) -> None:
        if healthy.all():
            return
        failed = Checkpoints(self.folder / "failed", keep=1)
        failed.save(int(state.clock.env_steps), state)
        failed.close()
        self.checkpoints.close()
        self.policies.close()
        seeds = ", ".join(str(seed) for seed, good in zip(self.seeds, healthy, strict=True) if not good)
        step, good_ones = int(state.clock.env_steps), self.checkpoints.steps()
        raise RunFailed(
            f"{what} of seed {seeds} is infinite or NaN by step {step}; that state is in {self.folder / 'failed'}"
            + (f", the last good one in {self.folder / 'checkpoints'}" if good_ones else "")
            + ("; lower agent.learning_rate, or" if step else ";")
            + " check the environment's rewards and observations"
        )
