"""Write what a reproduction found: the table, its figures, and a verdict on each claim."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlx.errors import ConfigurationError, RunFailed
from rlx.loggers.console import duration
from rlx.report import figures
from rlx.report.tables import markdown, write_csv
from rlx.reproduce.table import NOTHING_PUBLISHED, Cells, Claim, Outcome, Scale, Table
from rlx.runner import folder as run_folder

_STATISTICS = {"iqm": ("IQM", "interquartile mean"), "mean": ("mean", "mean")}
_PACKAGES = ("rlx", "jax", "jaxlib", "numpy", "flax", "optax", "gymnax", "brax")

Checked = Sequence[tuple[Claim, Outcome]]


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A table whose jobs are all finished.

    Attributes:
        table: which one.
        scale_name: ``"small"`` or ``"paper"``.
        scale: what that was.
        folders: of the jobs, by name.
        command: that does all this again.
        seconds: that computing took.
    """

    table: Table
    scale_name: str
    scale: Scale
    folders: Mapping[str, Path]
    command: str
    seconds: float


def results_folder(name: str, scale_name: str, results: Path) -> Path:
    """Where the results of the table ``name`` belong, below the folder of all results."""
    return results / name if scale_name == "small" else results / name / scale_name


def check(table: Table, *folders: Path) -> None:
    """Refuse, before anything is computed, what could not be written in the end.

    Raises:
        ConfigurationError: if one of ``folders`` cannot be made or written, or figures need a package that is missing.
    """
    check_folders(*folders)
    if table.figures:
        figures.require_matplotlib()


def check_folders(*folders: Path) -> None:
    """Refuse folders that cannot be made or written.

    Raises:
        ConfigurationError: naming the first of them.
    """
    for folder in folders:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise ConfigurationError(f"cannot write {folder}: {nearest} is no folder to write into; choose another")


def write(folder: Path, made: Reproduction) -> Checked:
    """Write ``table.md``, ``table.csv``, ``verdict.md`` and the figures into ``folder``.

    Everything is made beside it first, so an error on the way leaves the former files as they were.

    Returns:
        Each claim that is checked at this scale, and what became of it.

    Raises:
        RunFailed: if a score is not finite.
    """
    table = made.table
    cells = Cells(tuple(table.cells(made.scale, made.folders)), table.statistic)
    _require_finite(cells)
    checked = [(claim, claim.check(cells)) for claim in table.claims if made.scale_name in claim.scales]
    drawn = table.figures(cells, made.folders) if table.figures else {}
    provenance = _provenance(made)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch)
        write_csv(_exact_rows(cells, made.scale), new / "table.csv")
        (new / "table.md").write_text(_heading(made) + _table_text(table, cells, drawn) + provenance, "utf-8")
        (new / "verdict.md").write_text(_heading(made) + _verdict_text(checked) + provenance, "utf-8")
        (new / "figures").mkdir()
        for name, figure in drawn.items():
            figures.save(figure, new / "figures" / name)
        _replace(folder, new)
    return checked


def outcome_words(outcome: Outcome) -> str:
    """``"holds"``, ``"does not hold"`` or ``"not decidable at this budget"``."""
    if outcome.holds is None:
        return "not decidable at this budget"
    return "holds" if outcome.holds else "does not hold"


def _require_finite(cells: Cells) -> None:
    for cell in cells:
        if not np.isfinite(cell.scores).all():
            setting = ", ".join(f"{name}={value}" for name, value in cell.setting.items())
            raise RunFailed(f"{cell.metric} of {setting} is infinite or NaN; its table must say what such a run scores")


def _exact_rows(cells: Cells, scale: Scale) -> list[dict[str, Any]]:
    """A row a cell, for programs."""
    return [
        {
            **cell.setting,
            "metric": cell.metric,
            "published": "" if cell.published is None else cell.published,
            "ours": float(centre),
            "low": "" if np.isnan(low) else float(low),
            "high": "" if np.isnan(high) else float(high),
            "budget": scale.budget,
            "seeds": len(cell.scores),
        }
        for cell, centre, (low, high) in zip(cells, cells.centre(), cells.interval(), strict=True)
    ]


def _rounded_rows(cells: Cells) -> list[dict[str, Any]]:
    """A row a cell, for people; published numbers have a column where there are any."""
    ours = f"ours ({_STATISTICS[cells.statistic][0]})"
    published = not np.isnan(cells.published()).all()
    return [
        {
            **cell.setting,
            "metric": cell.metric,
            **({"published": "" if cell.published is None else cell.published} if published else {}),
            ours: float(centre),
            "95 % interval": "" if np.isnan(low) else f"{low:.4g} to {high:.4g}",
            "seeds": len(cell.scores),
        }
        for cell, centre, (low, high) in zip(cells, cells.centre(), cells.interval(), strict=True)
    ]


def _heading(made: Reproduction) -> str:
    seeds = f"{made.scale.seeds} seed{'s' if made.scale.seeds > 1 else ''}"
    return f"# {made.table.title}\n\n{made.table.paper}\n\nScale `{made.scale_name}`: {made.scale.budget}, {seeds}.\n\n"


def _table_text(table: Table, cells: Cells, figure_names: Iterable[str]) -> str:
    plots = "\n".join(f"![{name}](figures/{name}.png)" for name in figure_names)
    parts = [
        f"Ours: {_STATISTICS[table.statistic][1]} over seeds, with its 95 % stratified bootstrap interval. "
        f"{_source(table)}",
        markdown(_rounded_rows(cells)).rstrip(),
        table.notes,
        plots,
        "Claims: [verdict.md](verdict.md). Exact numbers: [table.csv](table.csv).",
    ]
    return "".join(f"{part}\n\n" for part in parts if part)


def _source(table: Table) -> str:
    if table.source == NOTHING_PUBLISHED:
        return "The paper has no numbers of this."
    return f"Published: {table.source}."


def _verdict_text(checked: Checked) -> str:
    if not checked:
        return "No claim is checked at this scale.\n\n"
    rows = [
        {
            "claim": claim.statement,
            "criterion": claim.criterion,
            "measured": outcome.measured,
            "outcome": outcome_words(outcome),
        }
        for claim, outcome in checked
    ]
    outcomes = [row["outcome"] for row in rows]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return f"{markdown(rows)}\nClaims: {counts}.\n\n"


def _provenance(made: Reproduction) -> str:
    """What trainings wrote down when they began; of other jobs, which write nothing down, this process."""
    files = [file for folder in made.folders.values() if (file := folder / "metadata.json").is_file()]
    began = [json.loads(file.read_text()) for file in files] or [run_folder.metadata()]
    versions = [f"Python {job['python']}, {_listed(job['versions'])}" for job in began]
    lines = [
        f"Command: `{made.command}`",
        f"Versions: {_distinct(versions)}",
        f"Commit: {_distinct(job['git_commit'] or 'unknown' for job in began)}",
        f"Device: {_distinct(job['device'] for job in began)}",
        f"Computing time: {duration(made.seconds)}",
    ]
    return "## How it was made\n\n" + "".join(f"- {line}\n" for line in lines)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in _PACKAGES)


def _distinct(words: Iterable[str]) -> str:
    """Each of ``words`` once, in their order."""
    return "; ".join(dict.fromkeys(words))


def _replace(folder: Path, new: Path) -> None:
    """Put what is in ``new`` in the place of what had those names; figures that are no longer drawn go."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    if any((new / "figures").iterdir()):
        os.replace(new / "figures", folder / "figures")
    for file in ("table.csv", "table.md", "verdict.md"):
        os.replace(new / file, folder / file)
