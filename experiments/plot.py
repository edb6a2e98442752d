"""Plot learning curves of run folders: ``python experiments/plot.py runs=[runs/A,runs/B] out=curve.png``.

The line is the interquartile mean over seeds, the band its 95 % bootstrap interval.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import rlx
from rlx import cli, usage
from rlx.report.curves import plot_learning_curves
from rlx.report.runs import RunRecords, learning_curves, place_beside, read_run
from rlx.settings import hyper

RETURN = "evaluation/return_mean"
SUFFIXES = (".png", ".svg", ".pdf")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which runs to plot, and how."""

    run: str | None = hyper(None, "one run's folder")
    runs: tuple[str, ...] = hyper((), "folders of several runs, one curve each")
    out: str | None = hyper(
        None, "file to write, .png, .svg or .pdf; null: curve.png in the first run's folder, or here"
    )
    key: str = hyper(RETURN, "what to plot, a name in the run's metrics.jsonl")
    title: str | None = hyper(None, "stands above the plot; null: the environment")


def plot(words: list[str]) -> None:
    """Read the runs, draw their curves into one file and name it."""
    settings = cli.parse_settings(words, Settings)
    folders = [*([settings.run] if settings.run else []), *settings.runs]
    if not folders:
        raise rlx.ConfigurationError("name what to plot: run=RUN_FOLDER or runs=[RUN_FOLDER,RUN_FOLDER]")
    runs = [read_run(folder) for folder in folders]
    out = Path(settings.out) if settings.out else place_beside(Path(folders[0]), "curve.png")
    if out.suffix not in SUFFIXES or not out.absolute().parent.is_dir():
        raise rlx.ConfigurationError(
            f"cannot write out={out}; choose a {', '.join(SUFFIXES)} file in a folder that exists"
        )
    draw(runs, out, settings.key, settings.title)
    print(f"learning curve: {out}")


def draw(runs: Sequence[RunRecords], out: Path, key: str = RETURN, title: str | None = None) -> None:
    """Draw one curve a run into ``out``, each under its agent's name and whatever tells it from the others."""
    envs = [run.config["env"]["name"] for run in runs]
    labels = [run.config["agent"]["name"] for run in runs]
    if len(set(envs)) > 1:
        labels = [f"{label} on {env}" for label, env in zip(labels, envs, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label}, {run.folder.resolve().name}" for label, run in zip(labels, runs, strict=True)]
    if len(set(labels)) < len(labels):
        raise rlx.ConfigurationError("a run is named twice, or two folders share a name; name each once")
    curves = {label: learning_curves(run, key) for label, run in zip(labels, runs, strict=True)}
    ylabel = "return" if key == RETURN else key
    plot_learning_curves(curves, out, title=title or ", ".join(dict.fromkeys(envs)), ylabel=ylabel)


if __name__ == "__main__":
    cli.main(plot, lambda: f"{__doc__}\nOptions: key=default, range, meaning\n{usage.describe(Settings)}")
