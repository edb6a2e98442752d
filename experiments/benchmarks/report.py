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


def publish(report: Report, folder: Path, load: float) -> None:
    """Write ``<name>.md`` and ``<name>.csv``, and show the page.

    Args:
        report: what was found.
        folder: made if it is not there.
        load: of the machine before the start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / report.name
    write_table(report.rows, stem)
    page, exact = (stem.with_name(f"{report.name}.{suffix}") for suffix in ("md", "csv"))
    markdown = "\n\n".join(
        (
            f"# {report.title}",
            f"{machine()}; {versions()}; load before the start {load:.1f}.",
            report.description.strip(),
            page.read_text(encoding="utf-8"),
        )
    )
    page.write_text(markdown, encoding="utf-8")
    Console(width=150).print(Markdown(markdown))
    print(f"written: {page}, {exact}")


def machine() -> str:
    """Processor, cores, system and Python in a few words."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "CPU")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def versions() -> str:
    """Versions of what is measured."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
