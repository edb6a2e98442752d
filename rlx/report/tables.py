"""Write tables that people and programs read."""

import csv
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_table(rows: Sequence[Mapping[str, Any]], path_stem: Path) -> None:
    """Write ``<path_stem>.md``, rounded for reading, and ``<path_stem>.csv``, exact.

    Args:
        rows: column name -> cell; the columns stand in the order in which they first appear, and a row
            leaves empty what it lacks.
        path_stem: path of both files without their suffixes.
    """
    write_csv(rows, path_stem.with_name(path_stem.name + ".csv"))
    path_stem.with_name(path_stem.name + ".md").write_text(markdown(rows), encoding="utf-8")


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as they are, in the columns of ``write_table``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table of Markdown, rounded, in the columns of ``write_table``."""
    columns = _columns(rows)
    numeric = [all(_is_number(row.get(name, "")) or row.get(name, "") == "" for row in rows) for name in columns]
    lines = [columns, ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(row.get(name, "")) for name in columns] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    """A cell of Markdown; real numbers have four digits, or all those before the point."""
    if _is_number(value) and not isinstance(value, numbers.Integral):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "\\|")
