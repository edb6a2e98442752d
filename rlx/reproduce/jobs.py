"""What a table has to compute: trainings, and computations in chunks; both go on where they were stopped."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rlx import verbs
from rlx.compose import Config, compose_values
from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.loggers.jsonl import read_rows
from rlx.report.runs import learning_curves, read_run
from rlx.reproduce import chunks
from rlx.runner.folder import write_atomically
from rlx.runner.interrupt import interruptible
from rlx.runner.lock import locked
from rlx.types import Agent, PyTree

# What a run's result does not depend on.
_BESIDE = ("run_dir", "tensorboard", "wandb", "wandb_project")


class Job(Protocol):
    """One computation in a folder of its own."""

    @property
    def name(self) -> str:
        """What it is called among the jobs of its table."""
        ...

    @property
    def weight(self) -> float:
        """Expected cost, relative to the other jobs of its table."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """All its result depends on, as JSON can hold it."""
        ...

    def check(self) -> None:
        """Refuse what cannot run, before anything is compiled or written.

        Raises:
            ConfigurationError: naming what does not fit.
        """
        ...

    def run(self, folder: Path, progress: Callable[[float], None]) -> bool:
        """Compute, or go on with, what belongs into ``folder``; False if somebody pressed Ctrl-C before the end.

        Args:
            folder: of this job alone.
            progress: told the share that is done, in [0, 1].
        """
        ...

    def finished(self, folder: Path) -> bool:
        """Whether there is nothing left to do."""
        ...

    def seconds(self, folder: Path) -> float:
        """Time it has taken so far, over all interruptions."""
        ...


def job_folder(job: Job, parent: Path) -> Path:
    """The folder below ``parent`` that belongs to the job with these settings, and to no others."""
    text = json.dumps(job.settings, sort_keys=True, default=lambda number: number.item())
    return parent / f"{job.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclasses.dataclass(frozen=True)
class Training:
    """A run of ``experiments/train.py``, told in values.

    Attributes:
        name: among the jobs of its table.
        agent: a preset, as for ``agent=``.
        env: an environment's full name.
        agent_fields: hyperparameters that differ from the preset's.
        env_fields: fields of ``EnvSettings`` and options of the task.
        run_fields: those of ``RunSettings``, all but ``run_dir``.
        weight: expected cost, relative to the other jobs.
    """

    name: str
    agent: str
    env: str
    agent_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    env_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weight: float = 1.0

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Every field of agent, environment and run, given or by default."""
        config = self._config
        run = {key: value for key, value in config.run.items() if key not in _BESIDE}
        return {"agent": config.agent, "env": config.env, "run": run}

    @functools.cached_property
    def _config(self) -> Config:
        agent = {f"agent.{name}": value for name, value in self.agent_fields.items()}
        env = {f"env.{name}": value for name, value in self.env_fields.items()}
        with self._named():
            if "run_dir" in self.run_fields:
                raise ConfigurationError("it names a run_dir; leave that out")
            return compose_values({"agent": self.agent, "env": self.env, **agent, **env, **self.run_fields})

    @functools.cached_property
    def _built(self) -> tuple[Agent, Env]:
        config = self._config
        with self._named():
            return config.build()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say which training it is that is refused."""
        try:
            yield
        except ConfigurationError as error:
            raise ConfigurationError(f"training {self.name}: {error}") from error

    def check(self) -> None:
        """Compose the configuration and build agent and environment."""
        _ = self._built

    def run(self, folder: Path, progress: Callable[[float], None]) -> bool:
        """Train, or go on from the last checkpoint."""
        shown = _Share(self._config.settings.total_steps, progress)
        if (folder / "config.yaml").exists():
            trained = verbs.resume(folder, progress=shown)
        else:
            _clear(folder)
            agent, env = self._built
            settings = dataclasses.replace(self._config.settings, run_dir=str(folder))
            trained = verbs.train_checked([agent], env, settings, progress=shown)
        if trained.finished:
            (folder / "finished").touch()
        return trained.finished

    def finished(self, folder: Path) -> bool:
        """Whether the budget is spent."""
        return (folder / "finished").exists()

    def seconds(self, folder: Path) -> float:
        """Wall time up to the last logged evaluation."""
        return max((row["wall_time"] for row in read_rows(folder / "metrics.jsonl")), default=0.0)


@dataclasses.dataclass(frozen=True)
class Chunked:
    """A computation in equal chunks; after each, what it needs to go on is saved.

    Attributes:
        name: among the jobs of its table.
        settings: all the result depends on; whoever changes the computation itself changes something here, too.
        num_chunks: at least 1.
        init: the state before the first chunk: a pytree of NumPy or JAX arrays and typed PRNG keys.
        advance: from the state and the chunk's number, the next state and that chunk's outputs by name, arrays
            whose first axis the chunks follow each other on.
        weight: expected cost, relative to the other jobs.
    """

    name: str
    settings: Mapping[str, Any]
    num_chunks: int
    init: Callable[[], PyTree]
    advance: Callable[[PyTree, int], tuple[PyTree, dict[str, np.ndarray]]]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.num_chunks < 1:
            raise ValueError(f"{self.name} has num_chunks={self.num_chunks}; give at least 1")

    def check(self) -> None:
        """There is nothing to refuse."""

    def run(self, folder: Path, progress: Callable[[float], None]) -> bool:
        """Compute the chunks that are missing."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.settings, indent=2, default=lambda number: number.item())
        state, at = self.init(), chunks.Position(0, self.num_chunks, 0.0)
        with locked(folder), interruptible() as interrupted:
            write_atomically(folder / "settings.json", text + "\n")
            if self._position(folder).done:
                state, at = chunks.read_state(folder, state)
            while at.done < self.num_chunks and not interrupted.is_set():
                progress(at.done / self.num_chunks)
                began = time.perf_counter()
                state, outputs = self.advance(chunks.as_restored(state), at.done)
                chunks.write_outputs(folder, at.done, outputs)
                at = chunks.Position(at.done + 1, self.num_chunks, at.seconds + time.perf_counter() - began)
                chunks.write_state(folder, state, at)
        progress(at.done / self.num_chunks)
        return at.done == self.num_chunks

    def finished(self, folder: Path) -> bool:
        """Whether every chunk is there."""
        return self._position(folder).done == self.num_chunks

    def seconds(self, folder: Path) -> float:
        """Time that the saved chunks have taken."""
        return self._position(folder).seconds

    def _position(self, folder: Path) -> chunks.Position:
        """How far the computation in ``folder`` is; one that was cut into another number of chunks is none."""
        position = chunks.read_position(folder)
        return position if position.num_chunks == self.num_chunks else chunks.Position(0, self.num_chunks, 0.0)


def _clear(folder: Path) -> None:
    """Remove what a run left that was killed before it had begun, unless another process is just beginning it."""
    if folder.exists():
        with locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def outputs(folder: Path) -> dict[str, np.ndarray]:
    """What a finished ``Chunked`` computed: by name, the outputs of all chunks joined along their first axis."""
    return chunks.read_outputs(folder)


def returns(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean returns at the evaluations of a finished ``Training``: steps ``[S]`` and values ``[members, S]``."""
    return learning_curves(read_run(folder))


class _Share:
    """Tells the share of a run that is done, and nothing else."""

    def __init__(self, total_steps: int, progress: Callable[[float], None]) -> None:
        self._total_steps, self._progress = total_steps, progress

    def phase(self, name: str) -> None:
        """Not shown."""

    def progress(self, step: int, training_return: float | None = None) -> None:
        """Tell the share; the last iteration may overshoot the budget."""
        self._progress(min(1.0, step / self._total_steps))

    def evaluation(self, step: int, mean: float, low: float, high: float) -> None:
        """Not shown."""

    def message(self, text: str) -> None:
        """Not shown."""
