"""What every benchmark returns, and the one way in which it is written."""

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from rlx.devices import num_cores
from rlx.report.tables import write_table
from rlx.settings import hyper

FOLDER = "results/benchmark"
PACKAGES = ("rlx", "jax", "jaxlib")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a benchmark takes that needs nothing of its own."""

    repetitions: int = hyper(9, "timed repetitions of each program, taking turns", within="[1, inf)")
    quick: bool = hyper(False, "do a small part of the work, to see that all runs")
    folder: str = hyper(FOLDER, "where the table is written")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a benchmark found.

    Attributes:
        name: of its files, without suffix.
        title: stands above the page.
        description: what was measured and how, in Markdown.
        rows: column name -> cell.
    """

    name: str
    title: str
    description: str
    rows: Sequence[Mapping[str, Any]]


def publish(report: Report, folder: Path, load: float | None) -> None:
    """Write ``<name>.md`` and ``<name>.csv``, and show the page.

    Args:
        report: what was found.
        folder: made if it is not there.
        load: of the machine before the start, if it is known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / report.name
    write_table(report.rows, stem)
    page, exact = (stem.with_name(f"{report.name}.{suffix}") for suffix in ("md", "csv"))
    markdown = "\n\n".join(
        (
            f"# {report.title}",
            f"{machine()}; {versions()}; load before the start {'unknown' if load is None else f'{load:.1f}'}.",
            report.description.strip(),
            page.read_text(encoding="utf-8"),
        )
    )
    page.write_text(markdown, encoding="utf-8")
    Console(width=150).print(Markdown(markdown))
    print(f"written: {page}, {exact}")


def machine() -> str:
    """Processor, cores, system and Python in a few words."""
    info = Path("/proc/cpuinfo")  # on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    known = platform.processor() or platform.machine() or "CPU"
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), known)
    return f"{num_cores()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def load() -> float | None:
    """How many processes wanted to run, on average over the last minute; ``None`` where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def versions() -> str:
    """Versions of what is measured."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
