"""What tables there are, what they cost, and what is already there of them."""

from pathlib import Path

from rlx.errors import ConfigurationError
from rlx.reproduce import catalogue
from rlx.reproduce.jobs import Job, job_folder
from rlx.reproduce.table import Table
from rlx.reproduce.write import results_folder


def listing(papers: Path, runs: Path, results: Path) -> str:
    """A line for each table and one for each of its scales; a table that cannot be read has its error.

    Args:
        papers: folder of the tables.
        runs: folder of all jobs, below ``PAPER/TABLE``.
        results: folder of all results.
    """
    lines = []
    for entry in catalogue.entries(papers):
        try:
            table = entry.load()
            scales = [_scale(entry, table, scale, runs, results) for scale in catalogue.ordered_scales(table)]
            lines += [f"{entry.name}: {table.title}", *scales]
        except ConfigurationError as error:
            lines.append(f"{entry.name}: {error}")
    return "\n".join(lines or [f"no tables in {papers} yet"])


def _scale(entry: catalogue.Entry, table: Table, name: str, runs: Path, results: Path) -> str:
    scale = table.scales[name]
    jobs = entry.jobs(table, scale)
    finished = sum(_finished(job, runs / entry.name) for job in jobs)
    written = results_folder(entry.name, name, results)
    there = [f"{finished} of {len(jobs)} runs"] if finished else []
    there += [f"results in {written}"] if (written / "table.md").exists() else []
    seeds = f"{scale.seeds} seed{'s' if scale.seeds > 1 else ''}"
    return f"  scale={name}: {scale.budget}, {seeds}; cost: {scale.cost}; there: {', '.join(there) or 'nothing yet'}"


def _finished(job: Job, parent: Path) -> bool:
    # Without a folder of that name there is no need of the settings, which take a training some time to compose.
    begun = any(path.name.startswith(f"{job.name}-") for path in parent.glob("*"))
    return begun and job.finished(job_folder(job, parent))
