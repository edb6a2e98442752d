"""A sweep among a table's jobs, as the search of a paper's step sizes is."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlx.errors import ConfigurationError
from rlx.reproduce.jobs import Training
from rlx.sweeps import segments
from rlx.sweeps.define import Definition, define
from rlx.sweeps.results import curves
from rlx.sweeps.sweep import sweep

_FINISHED = "finished"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep of ``experiments/sweep.py``, told in values.

    Attributes:
        name: among the jobs of its table.
        values: by key, as for ``rlx.sweep``, all but ``sweep_dir``.
        weight: expected cost, relative to the other jobs.
    """

    name: str
    values: Mapping[str, Any]
    weight: float = 1.0

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What is swept, and every field of one of its points, given or by default."""
        definition, config = self._defined
        return {**definition.written(), **config}

    @functools.cached_property
    def _defined(self) -> tuple[Definition, dict[str, Any]]:
        try:
            definition, builder = define(self.values)
        except ConfigurationError as error:
            raise ConfigurationError(f"sweep {self.name}: {error}") from error
        config = next(iter(builder.parts.values())).config
        return definition, {"agent": config.agent, "env": config.env, "run": config.run}

    def check(self) -> None:
        """Define it."""
        _ = self._defined

    def run(self, folder: Path, progress: Callable[[float], None]) -> bool:
        """Sweep, or go on where it was stopped."""
        try:
            sweep({**self.values, "sweep_dir": str(folder)}, progress=progress)
        except KeyboardInterrupt:
            return False
        (folder / _FINISHED).touch()
        return True

    def finished(self, folder: Path) -> bool:
        """Whether every point is there."""
        return (folder / _FINISHED).exists()

    def seconds(self, folder: Path) -> float:
        """What its finished segments have taken."""
        sheets = [segments.sheet_of(folder, segment.number) for segment in segments.read_all(folder)]
        return sum(sheet.seconds for sheet in sheets if sheet is not None)


def swept(training: Training, axes: Mapping[str, Sequence[Any]]) -> Sweep:
    """The sweep that has ``training`` as one of its points.

    Args:
        training: whose name and weight it takes.
        axes: values by key, such as ``"agent.learning_rate"``.
    """
    fields = {f"agent.{name}": value for name, value in training.agent_fields.items()}
    fields |= {f"env.{name}": value for name, value in training.env_fields.items()}
    base = {"agent": training.agent, "env": training.env, **fields, **training.run_fields}
    space = {f"sweep.{key}": list(values) for key, values in axes.items()}
    return Sweep(training.name, {key: v for key, v in base.items() if key not in axes} | space, training.weight)


def point_returns(folder: Path, values: Mapping[str, Any]) -> np.ndarray:
    """Mean returns ``[seeds, S]`` at the evaluations of a finished sweep's point of these values.

    Raises:
        ConfigurationError: if it has none.
    """
    everything = [(segment, slot) for segment in segments.read_all(folder) for slot in range(len(segment.points))]
    found = [(segment, slot) for segment, slot in everything if segment.points[slot].values == values]
    if found:
        segment, slot = found[-1]
        return curves(folder, segment)[1][slot]
    raise ConfigurationError(f"{folder} has no point {json.dumps(dict(values))}; remove it to sweep again")
