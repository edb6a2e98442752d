"""Measure how fast something is: ``python experiments/benchmark.py NAME [key=value ...]``.

It shows a table and writes it to results/benchmark, as Markdown and exact as CSV. ``--list`` shows what can be
measured, ``NAME --help`` what a benchmark takes.
"""

import importlib
import sys
from types import ModuleType

from benchmarks import BENCHMARKS, report

from rlx import cli, usage
from rlx.errors import ConfigurationError, suggest
from rlx.paths import expand
from rlx.reproduce.write import check_folders

SCRIPT = "python experiments/benchmark.py"


def main(words: list[str]) -> None:
    """Measure what the first word names, or list what there is."""
    if words in ([], ["--list"]):
        print(listing())
        return
    name, *rest = words
    benchmark = find(name)
    settings = cli.parse_settings(rest, benchmark.Settings)
    folder = expand(settings.folder)
    check_folders(folder)
    load = report.load()
    if load is not None and load > 0.5:
        print(f"others use this machine (load {load:.1f}): read the ratios, not the speeds", file=sys.stderr)
    report.publish(benchmark.measure(settings), folder, load)


def find(name: str) -> ModuleType:
    """The module of the benchmark called ``name``.

    Raises:
        ConfigurationError: if there is none, naming the nearest or all of them.
    """
    if name not in BENCHMARKS:
        remedy = suggest(name, BENCHMARKS) or f"; benchmarks: {', '.join(BENCHMARKS)}"
        raise ConfigurationError(f"the first word names a benchmark, not {name!r}{remedy}; --list shows them all")
    return importlib.import_module(f"benchmarks.{name}")


def listing() -> str:
    """A line for each benchmark."""
    lines = [f"  {name:14} {line}" for name, line in BENCHMARKS.items()]
    return "\n".join([*lines, "", f"{SCRIPT} NAME measures one; NAME --help says what else it takes"])


def help_text(words: list[str]) -> str:
    """What the script does or, if the first word names a benchmark, what that one does and takes."""
    if not words or words[0] not in BENCHMARKS:
        return f"{__doc__}\n{listing()}"
    benchmark = find(words[0])
    options = f"Options: key=default, range, meaning\n{usage.describe(benchmark.Settings)}"
    return f"{SCRIPT} {words[0]} [key=value ...]\n\n{(benchmark.__doc__ or '').strip()}\n\n{options}"


if __name__ == "__main__":
    cli.main(main, lambda: help_text(sys.argv[1:]))
