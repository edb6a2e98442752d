"""Read what a run left in its folder."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf

from rlx.errors import ConfigurationError, suggest

FILES = ("config.yaml", "metadata.json", "metrics.jsonl")


@dataclasses.dataclass(frozen=True)
class RunRecords:
    """A run folder's records.

    Attributes:
        folder: where they were read.
        config: the configuration.
        metadata: versions, device and the like.
        rows: one per member and evaluation, in the order they were written.
    """

    folder: Path
    config: dict[str, Any]
    metadata: dict[str, Any]
    rows: list[dict[str, Any]]


def read_run(folder: Path | str) -> RunRecords:
    """Read a run folder; a last row that a killed run left half-written is ignored.

    Raises:
        ConfigurationError: if the folder lacks a record, or a row other than the last is damaged.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(f"{folder} is not a run folder: it has no {', '.join(missing)}")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True)
        config = {str(key): value for key, value in config.items()}
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    except (yaml.YAMLError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{folder}: config.yaml or metadata.json is damaged; restore it or leave that run out"
        ) from error
    return RunRecords(folder, config, metadata, _read_rows(folder))


def place_beside(folder: Path, name: str) -> Path:
    """Where to write ``name``, made from the run in ``folder``: there, or here if that cannot be written."""
    return folder / name if os.access(folder, os.W_OK) else Path(f"{folder.resolve().name}-{name}")


def learning_curves(run: RunRecords, key: str = "evaluation/return_mean") -> tuple[np.ndarray, np.ndarray]:
    """The course of one metric, member by member.

    Returns:
        Steps ``[S]``, rising, and values ``[members, S]``, NaN where a member has none.

    Raises:
        ConfigurationError: if no row has ``key``, or it is not one number a row.
    """
    values = {(row["member"], row["step"]): row[key] for row in run.rows if key in row}
    if not values:
        names = {name for row in run.rows for name in row}
        raise ConfigurationError(f"no row of {run.folder} has {key!r}{suggest(key, names)}")
    if any(isinstance(value, list) for value in values.values()):
        raise ConfigurationError(
            f"{key!r} is a list in {run.folder}; name what is one number a row, such as {key.rstrip('s')}_mean"
        )
    members = sorted({member for member, _ in values})
    steps = sorted({step for _, step in values})
    curves = [[values.get((member, step)) for step in steps] for member in members]
    return np.array(steps), np.array(curves, dtype=np.float64)


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [_row(line) for line in lines]
    if None in rows[:-1]:
        number = rows.index(None) + 1
        raise ConfigurationError(f"{folder}/metrics.jsonl is damaged in line {number}; mend or remove it")
    return [row for row in rows if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    """What a line says; None if it is damaged."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
