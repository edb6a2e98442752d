"""Bias and variance of the target difference of DQN, DecQN and ensembles, drawn and in closed form (section 4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from papers.revalued._regulator import PAPER

from rlx.ops import target_difference as difference
from rlx.reproduce.jobs import Chunked, outputs
from rlx.reproduce.table import NOTHING_PUBLISHED, Cell, Cells, Claim, Outcome, Scale, Table
from rlx.types import PyTree

CRITICS, DRAWS = 10, 40_000
COMPONENTS = (2, 6, 21)
DECQN, MAXIMA, MEAN = "DecQN", "mean of 10 critics' maxima", "maximum of 10 critics' mean"
METHODS = {DECQN: (1, "mean_of_max"), MAXIMA: (CRITICS, "mean_of_max"), MEAN: (CRITICS, "mean")}
DQN = "DQN"
SIGMAS = 5.0


def jobs(scale: Scale) -> Sequence[Chunked]:
    """One job: a chunk is a seed."""

    def advance(state: PyTree, chunk: int) -> tuple[PyTree, dict[str, np.ndarray]]:
        found: dict[str, np.ndarray] = {}
        for n in COMPONENTS:
            nvec = (3,) * n
            for method, (critics, bootstrap) in METHODS.items():
                key = jax.random.fold_in(jax.random.key(chunk), len(found))
                drawn = difference.draw_decomposed(key, nvec, 1.0, 1.0, DRAWS, critics, bootstrap)
                found[f"{n} {method}"] = np.array([difference.measured(drawn)])
            if 3**n <= 1_000:  # joint actions
                key = jax.random.fold_in(jax.random.key(chunk), len(found))
                drawn = difference.draw_joint(key, nvec, 1.0, 1.0, DRAWS)
                found[f"{n} {DQN}"] = np.array([difference.measured(drawn)])
        return state, found

    settings = {"components": COMPONENTS, "critics": CRITICS, "draws": DRAWS, "seeds": scale.seeds}
    return [Chunked("draws", settings, scale.seeds, lambda: np.zeros(()), advance)]


def cells(scale: Scale, folders: Mapping[str, Path]) -> Sequence[Cell]:
    """Measured moments, beside the closed forms where there are any."""
    rows = []
    for name, moments in outputs(folders["draws"]).items():
        n, _, method = name.partition(" ")
        exact = closed_form(int(n), method)
        for index, metric in enumerate(("bias", "variance")):
            setting: dict[str, str | int | float] = {"components": int(n), "method": method}
            rows.append(Cell(setting, metric, moments[:, index], None if exact is None else exact[index]))
    return rows


def closed_form(components: int, method: str) -> difference.Moments | None:
    """Mean and variance of a single draw; of the maximum of a mean there is none."""
    nvec = (3,) * components
    if method == MEAN:
        return None
    return (
        difference.of_joint_values(nvec)
        if method == DQN
        else difference.of_decomposed_values(nvec, num_critics=METHODS[method][0])
    )


def closed_forms_hold(cells: Cells) -> Outcome:
    """Every measured bias lies within five standard errors of its closed form."""
    off = []
    for cell in cells.where(metric="bias"):
        exact = closed_form(int(cell.setting["components"]), str(cell.setting["method"]))
        if exact is not None:
            error = (exact.variance / (DRAWS * len(cell.scores))) ** 0.5
            off.append(abs(cell.scores.mean() - exact.mean) / error)
    return Outcome(bool(max(off) <= SIGMAS), f"{len(off)} biases, at most {max(off):.1f} standard errors away")


def variance_falls_with_critics(cells: Cells) -> Outcome:
    """Ten critics whose maxima are averaged have a tenth of the variance and the same bias."""
    ratios = []
    for n in COMPONENTS:
        one, ten = (cells.one(components=n, method=m, metric="variance").scores.mean() for m in (DECQN, MAXIMA))
        ratios.append(one / ten)
    holds = max(abs(ratio / CRITICS - 1) for ratio in ratios) <= 0.05
    return Outcome(bool(holds), f"variances of one over those of ten: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


def decomposition_trades_bias_for_variance(cells: Cells) -> Outcome:
    """DecQN has less bias than DQN and more variance."""
    at = lambda method, metric: cells.one(components=2, method=method, metric=metric).scores.mean()  # noqa: E731
    holds = at(DECQN, "bias") < at(DQN, "bias") and at(DECQN, "variance") > at(DQN, "variance")
    numbers = ", ".join(f"{m} {at(m, 'bias'):.3f} and {at(m, 'variance'):.4f}" for m in (DQN, DECQN))
    return Outcome(bool(holds), f"2 components: {numbers}")


TABLE = Table(
    title="Bias and variance of the target difference: joint values, decomposed values, ensembles",
    paper=PAPER,
    source=f"closed forms, in place of {NOTHING_PUBLISHED.removeprefix('no ')}",
    scales={"small": Scale(5, "40,000 draws", "1 min on 2 cores")},
    jobs=jobs,
    cells=cells,
    claims=(
        Claim("The closed forms hold", "biases within 5 standard errors", closed_forms_hold),
        Claim(
            "An ensemble divides the variance by its size and keeps the bias",
            "variances of one critic over those of ten within 5 % of 10",
            variance_falls_with_critics,
        ),
        Claim(
            "Decomposed values have less bias and more variance than joint ones",
            "both, with 2 components",
            decomposition_trades_bias_for_variance,
        ),
    ),
    statistic="mean",
)
