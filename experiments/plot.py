"""Plot learning curves of run folders: ``python experiments/plot.py runs=[runs/A,runs/B] out=curve.png``.

The line is the interquartile mean over seeds, the band its 95 % bootstrap interval. With ``actions=true`` there are
more plots beside the return: how large actions are, how much they change, how often they are near their limits, and the
power they take where the task tells.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import rlx
from rlx import cli, usage
from rlx.report.curves import panels_figure, plot_learning_curves
from rlx.report.figures import save_as
from rlx.report.runs import RunRecords, learning_curves, place_beside, read_run
from rlx.settings import hyper

RETURN = "evaluation/return_mean"
SUFFIXES = (".png", ".svg", ".pdf")
ACTIONS = {
    "evaluation/action_size": "mean |a|",
    "evaluation/action_change": "mean |a_t - a_(t-1)|",
    "evaluation/action_near_limit": "share of |a| above 0.95",
    "evaluation/power": "power",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which runs to plot, and how."""

    run: str | None = hyper(None, "one run's folder")
    runs: tuple[str, ...] = hyper((), "folders of several runs, one curve each")
    out: str | None = hyper(
        None, "file to write, .png, .svg or .pdf; null: curve.png in the first run's folder, or here"
    )
    key: str = hyper(RETURN, "what to plot, a name in the run's metrics.jsonl")
    actions: bool = hyper(False, "plot beside it how continuous actions are used")
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
    draw(runs, out, settings.key, settings.title, settings.actions)
    print(f"learning curve: {out}")


def draw(
    runs: Sequence[RunRecords], out: Path, key: str = RETURN, title: str | None = None, actions: bool = False
) -> None:
    """Draw one curve a run into ``out``, each under its agent's name and whatever tells it from the others."""
    labels, envs = labelled(runs)
    title = title or ", ".join(dict.fromkeys(envs))
    curves_of = lambda key: {label: learning_curves(run, key) for label, run in zip(labels, runs, strict=True)}  # noqa: E731
    ylabel = "return" if key == RETURN else key
    if not actions:
        plot_learning_curves(curves_of(key), out, title=title, ylabel=ylabel)
        return
    logged = [name for name in ACTIONS if all(name in run.rows[-1] for run in runs if run.rows)]
    if not logged:
        raise rlx.ConfigurationError("a run has no measures of continuous actions; leave actions=true out")
    panels = {ylabel: curves_of(key)} | {ACTIONS[name]: curves_of(name) for name in logged}
    save_as(panels_figure(panels, title), out)


def labelled(runs: Sequence[RunRecords]) -> tuple[list[str], list[str]]:
    """What tells each run from the others, and the environment of each.

    Raises:
        ConfigurationError: if two cannot be told apart.
    """
    envs = [run.config["env"]["name"] for run in runs]
    labels = [run.config["agent"]["name"] for run in runs]
    if len(set(envs)) > 1:
        labels = [f"{label} on {env}" for label, env in zip(labels, envs, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label}, {run.folder.resolve().name}" for label, run in zip(labels, runs, strict=True)]
    if len(set(labels)) < len(labels):
        raise rlx.ConfigurationError("a run is named twice, or two folders share a name; name each once")
    return labels, envs


if __name__ == "__main__":
    cli.main(plot, lambda: f"{__doc__}\nOptions: key=default, range, meaning\n{usage.describe(Settings)}")
