"""Tables that take no time, with numbers that can be worked out by hand."""

import importlib

# After c chunks the seed with number i has c * (step + i): with 4 chunks and 2 seeds 4 and 8, or 8 and 12.
COUNT = """
import signal
from pathlib import Path

import numpy as np

from rlx.report.figures import COLOURS, draw_band, new_figure
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import Cell, Claim, Outcome, Scale, Table

STEPS = (1, 2)


def advance(total, chunk, step):
    with Path("calls").open("a") as calls:
        calls.write(f"{step}:{chunk} ")
    if Path("interrupt").exists():
        Path("interrupt").unlink()
        signal.raise_signal(signal.SIGINT)
    total = total + step + np.arange(len(total))
    return total, {"total": total[None]}


def job(step, seeds):
    settings = {"step": step, "seeds": seeds}
    return Chunked(f"count{step}", settings, 4, lambda: np.zeros(seeds), lambda s, c: advance(s, c, step))


def jobs(scale):
    return [job(step, scale.seeds) for step in STEPS]


def cells(scale, folders):
    last = {step: outputs(folders[f"count{step}"])["total"][-1] for step in STEPS}
    return [Cell({"step": 1}, "total", last[1], 5.5), Cell({"step": 2}, "total", last[2])]


def grows(cells):
    one, two = cells.centre()
    return Outcome(two > one, f"{one:g} and {two:g}")


def figures(cells, folders):
    figure, axes = new_figure()
    draw_band(axes[0, 0], np.arange(4), outputs(folders["count1"])["total"], "one", COLOURS[0])
    return {"count": figure}


CLAIMS = (
    Claim("larger steps go further", "2 is above 1", grows),
    Claim("steps go backwards", "a total is negative", lambda cells: Outcome((cells.centre() < 0).any(), "none is")),
    Claim("steps go on for ever", "they do", lambda cells: Outcome(None, "4 chunks")),
    Claim("only far away", "at the paper's scale", grows, scales=("paper",)),
)
SCALES = {"small": Scale(2, "4 steps", "nothing"), "paper": Scale(3, "4 steps", "hardly more")}
TABLE = Table("Counting", "Toy, 2020", "Table 1", SCALES, jobs, cells, CLAIMS, figures, "mean", "Nothing is reduced.")
"""

CART = """
from rlx.reproduce.jobs import Training, returns
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Scale, Table

AGENT = {"hidden_sizes": [8], "learning_starts": 64, "batch_size": 8, "replay_size": 256}
RUN = {"total_steps": 400, "num_evaluations": 2, "num_checkpoints": 4, "eval_episodes": 2, "tensorboard": False}


def training(agent={}, env={}, run={}):
    return Training("dqn", "dqn", "gymnax/CartPole-v1", AGENT | agent, {"max_episode_steps": 20} | env, RUN | run)


def jobs(scale):
    return [training(run={"num_seeds": scale.seeds})]


def cells(scale, folders):
    steps, values = returns(folders["dqn"])
    return [Cell({"step": int(step)}, "return", values[:, i]) for i, step in enumerate(steps)]


TABLE = Table("Balancing", "Toy, 2020", NOTHING_PUBLISHED, {"small": Scale(2, "400 steps", "seconds")}, jobs, cells)
"""


def write_table(papers, name, text):
    """Make ``text`` the module of the table ``name``."""
    file = papers / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def load(papers, name):
    """The module of a table that was found."""
    return importlib.import_module(f"{papers.name}.{name.replace('/', '.')}")
