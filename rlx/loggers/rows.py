"""The row that loggers take (`rlx.runner.observers.Logger` says what a logger is)."""

from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]
"""One member at one evaluation: ``step``, ``member``, ``seed``, ``wall_time`` and ``<group>/<name>`` entries,
which are numbers or, as ``evaluation/returns`` and vectors of metrics in ``update/``, lists of numbers."""


def scalars(rows: Sequence[Row]) -> Iterator[tuple[int, str, float]]:
    """Yield ``(step, <group>/<name>/<member>, value)`` for the numbers of one evaluation.

    The entries of a metric's vector are called ``<name>_<index>``; other lists, such as raw returns, are left out. A
    member is called ``seed_<seed>``, or ``member_<member>`` where two members share a seed, as in a sweep.
    """
    seeds = [row["seed"] for row in rows]
    key = "seed" if len(set(seeds)) == len(seeds) else "member"
    for row in rows:
        for name, value in _numbers(row):
            yield int(row["step"]), f"{name}/{key}_{row[key]}", float(value)


def _numbers(row: Row) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, (list, tuple)):
            entries = value if name.startswith("update/") else ()
            yield from ((f"{name}_{index}", entry) for index, entry in enumerate(entries) if entry is not None)
        elif "/" in name and value is not None:
            yield name, value
