"""Reproduce a table of a paper: ``python experiments/reproduce.py PAPER/TABLE [scale=paper] [seeds=N]``.

Runs what the table needs, goes on with what was interrupted, and writes the table, figures and a verdict on each of
the paper's claims to results/PAPER/TABLE. ``--list`` shows every table, what it costs, and what is already there.
"""

import dataclasses
import shlex
from pathlib import Path

from rlx import cli, usage
from rlx.errors import ConfigurationError
from rlx.paths import expand
from rlx.reproduce import catalogue, write
from rlx.reproduce.listing import listing
from rlx.reproduce.perform import perform
from rlx.reproduce.table import SCALES
from rlx.settings import hyper

PAPERS = Path(__file__).with_name("papers")
RUNS, RESULTS = Path("runs/reproduce"), Path("results")
SCRIPT = "python experiments/reproduce.py"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much to compute, and where to write."""

    scale: str = hyper("small", "small fits two cores; paper is the original budget", choices=SCALES)
    seeds: int | None = hyper(None, "runs of each cell; null: as many as the scale says", within="[1, 65536]")
    results: str = hyper(str(RESULTS), "folder to write PAPER/TABLE into")


def main(words: list[str]) -> None:
    """Reproduce the table that the first word names, or list all tables."""
    if words in ([], ["--list"]):
        print(listing(PAPERS, RUNS, RESULTS))
        print(f"\n{SCRIPT} PAPER/TABLE reproduces one; --help says what else it takes")
        return
    name, *rest = words
    if "=" in name or name.startswith("-"):
        raise ConfigurationError(f"the first word names a table, as PAPER/TABLE, not {name!r}; --list shows them all")
    settings = cli.parse_settings(rest, Settings)
    try:
        reproduce(name, settings)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on: {SCRIPT} {shlex.join(words)}")
        raise


def reproduce(name: str, settings: Settings) -> None:
    """Run what the table ``name`` needs, write what was found, and say it in short."""
    entry = catalogue.find(PAPERS, name)
    table = entry.load()
    scale = catalogue.scale_of(name, table, settings.scale, settings.seeds)
    folder = write.results_folder(name, settings.scale, expand(settings.results))
    write.check(table, folder, RUNS / name)
    jobs = entry.jobs(table, scale)
    folders = perform(name, jobs, RUNS / name)
    seconds = sum(job.seconds(folders[job.name]) for job in jobs)
    command = f"{SCRIPT} {name} scale={settings.scale}" + (f" seeds={settings.seeds}" if settings.seeds else "")
    made = write.Reproduction(table, settings.scale, scale, folders, command, seconds)
    for claim, outcome in write.write(folder, made):
        print(f"{write.outcome_words(outcome)}: {claim.statement} ({outcome.measured})")
    print(f"table, figures and verdict: {folder}")


if __name__ == "__main__":
    cli.main(main, lambda: f"{__doc__}\nOptions: key=default, range, meaning\n{usage.describe(Settings)}")
