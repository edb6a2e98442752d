"""Tables 3 and 4: returns in dm_control tasks of PPO, and with simulated actions or states, or actions by a critic."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.mbma._pendulum import METHODS, PAPER, trained_returns

from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Training
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS = (
    "AcrobotSwingup",
    "BallInCup",
    "CartpoleSwingup",
    "CheetahRun",
    "FingerSpin",
    "FingerTurnEasy",
    "PointMass",
    "ReacherEasy",
    "ReacherHard",
    "WalkerStand",
    "WalkerWalk",
    "WalkerRun",
)
# Six times the budget, and no QMA.
HARD_TASKS = ("HumanoidStand", "HumanoidWalk")
OFF, ON = "off", "on"
# Method and whether the change of values is clipped.
PUBLISHED_ROWS = tuple((method, ON) for method in METHODS)
SMALL_ROWS = (*[(method, OFF) for method in METHODS], ("PPO", ON), ("MBMA", ON))
# One of the released code's 2048 steps a batch is one of 16 environments' 128 here.
SETTINGS = {"num_envs": 16, "rollout_length": 128}
SMALL_NETWORKS = {"hidden_sizes": [64, 64], "critic_hidden_sizes": [64, 64], "model_hidden_sizes": [128, 128]}
BEST, AVERAGE, RATIO, AVERAGE_RATIO = "best", "average", "ratio to PPO", "average, ratio to PPO"


def published() -> dict[tuple[str, str, str], float]:
    """The paper's numbers by task, method and metric."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8") as file:
        return {(row["task"], row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


def rows_of(scale: Scale) -> list[tuple[str, str, str]]:
    """Task, method, and whether the change of values is clipped."""
    usual = [(task, method, clip) for task in scale.options["tasks"] for method, clip in scale.options["rows"]]
    hard = [(task, method, ON) for task in scale.options["hard_tasks"] for method in ("PPO", "MBMA", "MBPO")]
    return usual + hard


def name_of(task: str, method: str, value_clip: str) -> str:
    """Of a training."""
    return f"{task}-{method}" + ("" if value_clip == ON else "-no_value_clip")


def training(task: str, method: str, value_clip: str, scale: Scale) -> Training:
    """All seeds of a row."""
    steps = scale.options["steps"] * (6 if task in HARD_TASKS else 1)
    agent = {
        **SETTINGS,
        **scale.options["settings"],
        "source": METHODS[method],
        # 40,000 of a million steps, as in the released code.
        "extras_start": steps * 4 // 100,
        "clip_value_loss": value_clip == ON,
    }
    run = {
        "total_steps": steps,
        "num_evaluations": scale.options["evaluations"],
        "eval_episodes": 8,
        "eval_mode": "sample",
        "num_seeds": scale.seeds,
        "num_checkpoints": 5,
        "tensorboard": False,
    }
    return Training(
        name_of(task, method, value_clip),
        agent="mbma_code",
        env=f"playground/{task}",
        agent_fields=agent,
        env_fields={"action_repeat": 4},
        run_fields=run,
        weight={"PPO": 1.0, "QMA": 1.5}.get(method, 3.0),
    )


def jobs(scale: Scale) -> Sequence[Training]:
    """A training for each row."""
    return [training(*row, scale) for row in rows_of(scale)]


def evaluations(folders: Mapping[str, Path], task: str, method: str, value_clip: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps ``[E]`` and returns ``[seeds, E]`` of the evaluations after some training."""
    return trained_returns(folders[name_of(task, method, value_clip)])


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """The best evaluation of all seeds together, the average one, and their ratios to PPO's."""
    found = []
    for task, method, clip in rows_of(scale):
        known = published() if scale.options["published"] and clip == ON else {}
        setting = {"task": task, "method": method, "value clip": clip}
        found += [
            Cell(setting, metric, values, known.get((task, method, metric)))
            for metric, values in scores(folders, task, method, clip).items()
        ]
    return found


def scores(folders: Mapping[str, Path], task: str, method: str, clip: str) -> dict[str, np.ndarray]:
    """Each summary of a method's evaluations and, of all but PPO itself, its ratio to PPO's mean; each ``[seeds]``."""
    ours, plain = (summary(evaluations(folders, task, name, clip)[1]) for name in (method, "PPO"))
    found = {}
    for metric, ratio in ((BEST, RATIO), (AVERAGE, AVERAGE_RATIO)):
        found[metric] = ours[metric]
        if method != "PPO":
            found[ratio] = ours[metric] / plain[metric].mean()
    return found


def summary(values: np.ndarray) -> dict[str, np.ndarray]:
    """The returns ``[seeds]`` where their mean over seeds is largest, and of all evaluations, from ``[seeds, E]``."""
    return {BEST: values[:, values.mean(axis=0).argmax()], AVERAGE: values.mean(axis=1)}


def ratios(cells: Cells, method: str, metric: str, value_clip: str) -> dict[str, float]:
    """Mean ratio of a method to PPO, by task."""
    return {
        str(cell.setting["task"]): float(cell.scores.mean())
        for cell in cells.where(**{"method": method, "metric": metric, "value clip": value_clip})
        if cell.setting["task"] not in HARD_TASKS
    }


def simulated_actions_help(value_clip: str) -> Callable[[Cells], Outcome]:
    """Whether MBMA learns faster than PPO, both with or both without the value clip."""

    def check(cells: Cells) -> Outcome:
        found = ratios(cells, "MBMA", AVERAGE_RATIO, value_clip)
        mean = float(np.mean(list(found.values())))
        listed = ", ".join(f"{task} {ratio:.2f}" for task, ratio in found.items())
        return Outcome(mean > 1, f"mean {mean:.2f}; {listed}")

    return check


def order_of_methods(cells: Cells) -> Outcome:
    """MBMA, then MBPO, then QMA."""
    means = {
        method: float(np.mean(list(ratios(cells, method, RATIO, ON).values()))) for method in ("MBMA", "MBPO", "QMA")
    }
    holds = means["MBMA"] > means["MBPO"] > means["QMA"]
    return Outcome(holds, ", ".join(f"{method} {mean:.2f}" for method, mean in means.items()))


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Returns against steps, a panel for each task; without the value clip as broken lines."""
    rows = [
        tuple(str(cell.setting[name]) for name in ("task", "method", "value clip")) for cell in cells.where(metric=BEST)
    ]
    tasks = list(dict.fromkeys(task for task, _, _ in rows))
    columns = min(len(tasks), 4)
    figure, axes = new_figure(-(-len(tasks) // columns), columns, width=4.2 * columns)
    colours = dict(zip(METHODS, COLOURS, strict=False))
    for task, method, clip in rows:
        panel = axes[divmod(tasks.index(task), columns)]
        steps, values = evaluations(folders, task, method, clip)
        label, style = (method, "-") if clip == ON else (f"{method}, no value clip", "--")
        draw_band(panel, steps, values.T, label, colours[method], style, statistic=cells.statistic)
        tidy(panel, task, "decisions (4 frames each)", "return of an episode")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return {"return": figure}


TABLE = Table(
    title="dm_control: PPO, and with simulated actions (MBMA) or states (MBPO), or actions valued by a critic (QMA)",
    paper=PAPER,
    source="its table 3, and 4 for the humanoid (interquartile means over 15 and 8 seeds), in MuJoCo's own dm_control",
    scales={
        "small": Scale(
            4,
            "204,800 decisions",
            "15 min on 2 cores",
            {
                "tasks": ("CartpoleSwingup", "PointMass"),
                "hard_tasks": (),
                "rows": SMALL_ROWS,
                "settings": SMALL_NETWORKS,
                "steps": 204_800,
                "evaluations": 20,
                "published": False,
            },
        ),
        "paper": Scale(
            16,
            "1,000,000 decisions; the humanoid 6,000,000",
            "GPU; not measured",
            {
                "tasks": TASKS,
                "hard_tasks": HARD_TASKS,
                "rows": PUBLISHED_ROWS,
                "settings": {},
                "steps": 1_000_000,
                "evaluations": 244,
                "published": True,
            },
        ),
    },
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "Simulated actions make PPO learn faster",
            "average return over training, MBMA to PPO, both with the value clip: ratio above 1 in the mean over tasks",
            simulated_actions_help(ON),
        ),
        Claim(
            "Simulated actions make PPO learn faster, without the value clip (rlx's own claim)",
            "the same without it",
            simulated_actions_help(OFF),
            scales=("small",),
        ),
        Claim(
            "Simulated actions help more than simulated states, and those more than a critic's actions",
            "best return, ratio to PPO in the mean over the tasks of table 3: MBMA above MBPO above QMA (paper: 1.28, "
            "1.17 and 0.88)",
            order_of_methods,
            scales=("paper",),
        ),
    ),
    figures=figures,
    statistic="iqm",
)
