"""Find tables: files ``<paper>/<table>.py`` with a ``TABLE``; those that start with ``_`` help their paper's tables."""

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from rlx.errors import ConfigurationError, suggest
from rlx.reproduce.jobs import Job
from rlx.reproduce.table import SCALES, Scale, Table


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a table is.

    Attributes:
        name: ``"paper/table"``.
        file: its module; notes may stand beside it, as ``<table>.md``.
    """

    name: str
    file: Path

    def load(self) -> Table:
        """Import the table, as ``<root>.<paper>.<table>``, with the notes beside it.

        Raises:
            ConfigurationError: if that fails, naming the file and the cause.
        """
        paper = self.file.parent
        _as_package(paper.parent)
        importlib.invalidate_caches()
        with self._blamed():
            found = importlib.import_module(f"{paper.parent.name}.{paper.name}.{self.file.stem}").TABLE
            if not isinstance(found, Table):
                raise TypeError(f"TABLE is of type {type(found).__name__}, not Table")
            notes = self.file.with_suffix(".md")
            return dataclasses.replace(found, notes=notes.read_text("utf-8").strip()) if notes.exists() else found

    def jobs(self, table: Table, scale: Scale) -> Sequence[Job]:
        """What ``table`` has to compute at ``scale``.

        Raises:
            ConfigurationError: if the table cannot say so, naming the file and the cause.
        """
        with self._blamed():
            return table.jobs(scale)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Any error as one line that names the file."""
        try:
            yield
        except Exception as error:
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigurationError(f"{os.path.relpath(self.file)} gives no table ({cause}); mend it") from error


def entries(root: Path) -> list[Entry]:
    """All tables below ``root``, by name."""
    files = sorted(root.glob("[!_.]*/[!_.]*.py"))
    return [Entry(f"{file.parent.name}/{file.stem}", file) for file in files]


def find(root: Path, name: str) -> Entry:
    """The table called ``name``.

    Raises:
        ConfigurationError: if there is none, naming the nearest or all of them.
    """
    known = {entry.name: entry for entry in entries(root)}
    if name not in known:
        of_paper = [other for other in known if other.startswith(f"{name}/")]
        hint = "" if of_paper else suggest(name, known)
        remedy = hint or f"; tables: {', '.join(of_paper or known) or 'none yet'}"
        raise ConfigurationError(f"unknown table {name!r}{remedy}; --list shows them all")
    return known[name]


def scale_of(name: str, table: Table, scale: str, seeds: int | None) -> Scale:
    """The scale of ``table`` called ``scale``, with another number of seeds where one is given.

    Raises:
        ConfigurationError: if the table has no such scale.
    """
    if scale not in table.scales:
        raise ConfigurationError(f"{name} has no scale={scale}; it has {', '.join(table.scales)}")
    chosen = table.scales[scale]
    return chosen if seeds is None else dataclasses.replace(chosen, seeds=seeds)


def ordered_scales(table: Table) -> Sequence[str]:
    """The names of the table's scales, the small one first."""
    return [scale for scale in SCALES if scale in table.scales]


def _as_package(root: Path) -> None:
    """Let ``<root>.<paper>.<table>`` be imported from wherever the folder of all papers lies."""
    if root.name not in sys.modules:
        spec = ModuleSpec(root.name, None, is_package=True)
        spec.submodule_search_locations = [str(root.absolute())]
        sys.modules[root.name] = importlib.util.module_from_spec(spec)
