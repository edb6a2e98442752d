"""Variance and bias of many-actions gradients on a linear-quadratic task, where all of it has closed forms."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from papers.mbma import _gradients as lq

from rlx.envs.linear_quadratic import Solution
from rlx.report.figures import COLOURS, draw_band, new_figure, tidy
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import Cell, Cells, Claim, Outcome, Scale, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = "Nauman and Cygan, ICML 2023, https://arxiv.org/abs/2210.13011"
TRANSITIONS = (256, 512, 2048, 8192)
GAINS = (0.0, -0.4, -0.8, -1.2)
BIAS, VARIANCE, RATIO, RIGHT = "relative bias", "relative variance", "variance over closed form", "diagnosis is right"
PROTOTYPE = {
    (256, "MBMA"): 0.09,
    (256, "MBPO"): 0.42,
    (256, "QMA"): 0.27,
    (512, "MBMA"): 0.04,
    (512, "MBPO"): 0.48,
    (512, "QMA"): 0.28,
    (2048, "MBMA"): 0.04,
    (2048, "MBPO"): 0.48,
    (2048, "QMA"): 0.07,
    (8192, "MBMA"): 0.01,
    (8192, "MBPO"): 0.47,
    (8192, "QMA"): 0.07,
}


def fits(num_transitions: int, seeds: int) -> Chunked:
    """A fit a chunk, each with relative bias and variance of every method."""

    def advance(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rng = np.random.default_rng((3, num_transitions, chunk))
        fitted = lq.fit(num_transitions, rng)
        means, variances = lq.expected_gradients(*fitted), lq.estimate_variances(*fitted, rng)
        truth = lq.MODELLED.gradient
        return state, {
            "bias": np.array([[abs(means[method] / truth - 1) for method in lq.BIASED]]),
            "variance": np.array([[variances[method] / truth**2 for method in lq.METHODS]]),
        }

    settings = {"transitions": num_transitions, "estimates": lq.ESTIMATES, "fits": seeds}
    return Chunked(f"fits-{num_transitions}", settings, seeds, lambda: np.zeros(()), advance)


def jobs(scale: Scale) -> Sequence[Chunked]:
    """Simulated trajectories, fits by number of transitions, and diagnoses of batches by policy."""

    def simulate(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return state, {"variance": lq.simulated_variances(chunk)[None]}

    def judge(state: np.ndarray, chunk: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return state, {"right": lq.diagnoses(GAINS[chunk], scale.seeds)[None]}

    batches = scale.options["batches"]
    simulated = {"trajectories": lq.TRAJECTORIES, "batches": batches, "sizes": lq.SIZES}
    judged = {
        "batch": lq.BATCH,
        "lags": lq.LAGS,
        "averaged": lq.AVERAGED,
        "gains": GAINS,
        "factors": lq.FACTORS,
        "seeds": scale.seeds,
    }
    return [
        Chunked("variance", simulated, batches, lambda: np.zeros(()), simulate),
        *[fits(num_transitions, scale.seeds) for num_transitions in TRANSITIONS],
        Chunked("diagnosis", judged, len(GAINS), lambda: np.zeros(()), judge),
    ]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Variances over their closed forms; bias and variance of each method by fit; how often a diagnosis is right."""
    variances = outputs(folders["variance"])["variance"]
    found = [
        Cell({"N": n, "T": t}, RATIO, variances[:, index] / lq.exact_variance(lq.SIMULATED, n, t), 1.0)
        for index, (n, t) in enumerate(lq.SIZES)
    ]
    actions = {"single action": 1, "true many actions": lq.NUM_ACTIONS + 1}
    truth = lq.MODELLED.gradient**2
    exact = {name: lq.exact_variance(lq.MODELLED, count, lq.NUM_STEPS) / truth for name, count in actions.items()}
    for size in TRANSITIONS:
        fitted = outputs(folders[f"fits-{size}"])
        found += [
            Cell({"method": method, "transitions": size}, BIAS, scores, PROTOTYPE.get((size, method)))
            for method, scores in zip(lq.BIASED, fitted["bias"].T, strict=True)
        ]
        found += [
            Cell({"method": method, "transitions": size}, VARIANCE, scores, exact.get(method))
            for method, scores in zip(lq.METHODS, fitted["variance"].T, strict=True)
        ]
    right = outputs(folders["diagnosis"])["right"]
    for (row, gain), (column, factor), (kind, batches) in itertools.product(
        enumerate(GAINS), enumerate(lq.FACTORS), enumerate((1, lq.AVERAGED))
    ):
        setting = {"K": gain, "price over break-even": factor, "batches": batches}
        found.append(Cell(setting, RIGHT, right[row, :, column, kind]))
    return found


def median(cells: Cells, method: str, metric: str) -> float:
    """Median over fits to 512 transitions."""
    return float(np.median(cells.one(method=method, metric=metric, transitions=512).scores))


def closed_form(cells: Cells) -> Outcome:
    """Simulation agrees with the decomposition."""
    off = np.array([abs(cell.scores.mean() - 1) for cell in cells.where(metric=RATIO)])
    return Outcome(bool(off.max() < 0.03), f"{off.max():.2%} off at most, of {len(off)} sizes")


def smaller(method: str, other: str, metric: str, factor: float) -> Claim:
    """One method has less bias or variance than a share of another's."""

    def check(cells: Cells) -> Outcome:
        ours, theirs = median(cells, method, metric), median(cells, other, metric)
        return Outcome(ours < factor * theirs, f"{ours:.3f} against {theirs:.3f}")

    word = "less biased" if metric == BIAS else "less noisy"
    return Claim(
        f"{method} is {word} than {other}", f"512 transitions: median {metric} below {factor} of the other's", check
    )


def little_bias(cells: Cells) -> Outcome:
    """A model from few transitions is good enough."""
    found = median(cells, "MBMA", BIAS)
    return Outcome(found < 0.15, f"{found:.3f}")


def diagnosed(batches: int, words: str) -> Claim:
    """Agents can tell what pays from their own batches."""

    def check(cells: Cells) -> Outcome:
        shares = [cell.scores.mean() for cell in cells.where(metric=RIGHT, batches=batches)]
        return Outcome(min(shares) >= 0.9, f"{min(shares):.3f} at least, {np.mean(shares):.3f} on average")

    return Claim(
        f"{words} whether more actions or longer trajectories pay (rlx's own claim)",
        "right in 90 % of cases, with each policy, at half and at twice the break-even price",
        check,
    )


def figures(cells: Cells, folders: Mapping[str, Path]) -> "Mapping[str, Figure]":
    """Simulated and exact variance; bias against transitions; up to what price another action pays."""
    figure, axes = new_figure(1, 3, width=13, height=3.8)
    left, middle, right = axes[0]
    for colour, actions in zip(COLOURS, (1, 2, 4), strict=False):
        simulated = cells.where(metric=RATIO, N=actions)
        steps = [int(cell.setting["T"]) for cell in simulated]
        exact = np.array([lq.exact_variance(lq.SIMULATED, actions, step) for step in steps])
        left.plot(steps, exact, color=colour, label=f"N = {actions}")
        left.plot(steps, exact * [cell.scores.mean() for cell in simulated], "o", color=colour)
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    tidy(left, "exact (lines) and simulated (dots)", "states T", "variance V(N, T)")
    for colour, method in zip(COLOURS, lq.BIASED, strict=False):
        scores = np.stack([cell.scores for cell in cells.where(metric=BIAS, method=method)])
        draw_band(middle, TRANSITIONS, scores, method, colour, statistic=cells.statistic)
    middle.set_xscale("log", base=2)
    middle.set_ylim(0)
    tidy(middle, "learned from few transitions", "transitions", BIAS)
    gains = np.linspace(-1.6, 0.0, 33)
    for colour, actions in zip(COLOURS, (1, 2, 8), strict=False):
        prices = [lq.break_even(Solution(gain, lq.DEVIATION, lq.DISCOUNT), actions, lq.NUM_STEPS) for gain in gains]
        right.plot(gains, prices, color=colour, label=f"N = {actions}")
    right.set_yscale("log")
    tidy(right, "another action pays below the line", "gain K of the policy", "price delta of an action a state")
    for panel in axes[0]:
        panel.legend(fontsize=8, frameon=False)
    return {"variance_and_bias": figure}


TABLE = Table(
    title="Linear-quadratic task: variance and bias of many-actions gradients, and when another action pays",
    paper=PAPER,
    source="nothing by the paper, the task is ours; the column has what closed forms say (ratio 1, variance of single "
    "and true many actions) and the medians over 8 fits of an independent implementation (relative bias)",
    scales={"small": Scale(64, "8 x 200,000 trajectories; 64 fits a size", "1 min on 2 cores", {"batches": 8})},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim(
            "The variance decomposes as Lemma 3.1 says",
            "V(N, T) within 3 % of the closed form for N up to 4 and T up to 16",
            closed_form,
        ),
        Claim(
            "Simulated actions are nearly unbiased",
            "512 transitions: median relative bias of MBMA below 0.15",
            little_bias,
        ),
        smaller("MBMA", "MBPO", BIAS, 0.4),
        smaller("MBMA", "QMA", BIAS, 0.6),
        smaller("MBMA", "single action", VARIANCE, 0.65),
        diagnosed(1, "A single batch tells"),
        diagnosed(lq.AVERAGED, f"{lq.AVERAGED} batches tell"),
    ),
    figures=figures,
    statistic="mean",
)
