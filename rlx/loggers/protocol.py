"""What a logger is, and the row it takes."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

Row = dict[str, Any]
"""One member at one evaluation: ``step``, ``member``, ``seed``, ``wall_time`` and ``<group>/<name>`` entries,
which are numbers or, as ``evaluation/returns``, lists of numbers."""


class Logger(Protocol):
    """Takes the rows of a run; one call holds one evaluation, a row for every member."""

    def rows(self, rows: Sequence[Row]) -> None:
        """Log the rows of one evaluation."""
        ...

    def close(self) -> None:
        """Finish writing; the logger takes no more rows."""
        ...


def scalars(rows: Sequence[Row]) -> Iterator[tuple[int, str, float]]:
    """Yield ``(step, <group>/<name>/<member>, value)`` for the numbers of one evaluation, leaving lists out.

    A member is called ``seed_<seed>``, or ``member_<member>`` where two members share a seed, as in a sweep.
    """
    seeds = [row["seed"] for row in rows]
    key = "seed" if len(set(seeds)) == len(seeds) else "member"
    for row in rows:
        for name, value in row.items():
            if "/" in name and value is not None and not isinstance(value, (list, tuple)):
                yield int(row["step"]), f"{name}/{key}_{row[key]}", float(value)
