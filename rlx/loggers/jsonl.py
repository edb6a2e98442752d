"""Rows as JSON lines: the record of a run that reports read."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlx.errors import ConfigurationError
from rlx.loggers.rows import Row


class JsonLines:
    """Appends one JSON object a line to ``path``.

    Every float is read back as it was. NaN and infinity, which JSON lacks, become ``null``. When ``rows``
    returns, its rows are on disk. Nothing stays open in between.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, rows: Sequence[Row]) -> None:
        """Append the rows and wait until they are on disk."""
        lines = "".join(json.dumps(_strict(row), allow_nan=False) + "\n" for row in rows)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is left open."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, but for a last line that a killed run left half-written; none if there is no file.

    Raises:
        ConfigurationError: if a line other than the last is damaged.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ConfigurationError(f"{path} is damaged in line {number}; mend or remove that line") from error
    return rows


def truncate_after(path: Path, step: int) -> None:
    """Drop the rows after ``step``, and a half-written last line, before a run goes on from a checkpoint.

    The file is replaced as a whole or not at all; where there is none, nothing happens.

    Raises:
        ConfigurationError: if a line other than the last is damaged.
    """
    if not path.exists():
        return
    kept = [row for row in read_rows(path) if row["step"] <= step]
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    JsonLines(temporary).rows(kept)
    os.replace(temporary, path)


def _strict(value: Any) -> Any:
    """``value`` in the types of strict JSON; arrays and their scalars become lists and numbers."""
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
