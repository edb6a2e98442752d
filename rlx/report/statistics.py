"""Aggregate scores over runs and tasks with intervals, after Agarwal et al. (2021).

"Deep Reinforcement Learning at the Edge of the Statistical Precipice", https://arxiv.org/abs/2108.13264.
Every aggregate takes scores ``[..., runs, tasks]`` and reduces the last two axes, so a bootstrap is one call.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

Statistic = Callable[[np.ndarray], np.ndarray]


def mean(scores: ArrayLike) -> np.ndarray:
    """Mean over runs and tasks."""
    return _checked(scores).mean(axis=(-2, -1))


def median(scores: ArrayLike) -> np.ndarray:
    """Median over tasks of the mean over runs: with one task, the mean of its runs."""
    return np.median(_checked(scores).mean(axis=-2), axis=-1)


def interquartile_mean(scores: ArrayLike) -> np.ndarray:
    """Mean of the middle half of the scores, all runs and tasks pooled.

    A quarter of the values is cut at either end, rounded down to whole values: of three or fewer, none.
    """
    scores = _checked(scores)
    pooled = scores.reshape(*scores.shape[:-2], -1)
    cut, size = pooled.shape[-1] // 4, pooled.shape[-1]
    # Ordering around the two cuts suffices and is cheaper than sorting.
    return np.partition(pooled, (cut, size - cut - 1), axis=-1)[..., cut : size - cut].mean(axis=-1)


# The two that summarise the runs of one task, by the names that tables and figures take.
STATISTICS: dict[str, Statistic] = {"mean": mean, "iqm": interquartile_mean}


def optimality_gap(scores: ArrayLike, target: float) -> np.ndarray:
    """Mean amount by which scores fall short of ``target``; scores beyond it count as ``target``."""
    return target - np.minimum(_checked(scores), target).mean(axis=(-2, -1))


def stratified_bootstrap_interval(
    scores: ArrayLike,
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic, resampling runs with replacement within each task.

    Args:
        scores: ``[runs, tasks]``.
        statistic: maps ``[..., runs, tasks]`` to ``[...]``, as the aggregates of this module do.
        confidence: probability that the interval is meant to have, in (0, 1).
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        The ends ``(low, high)``; with a single run both are its score, which says nothing of its spread.
    """
    scores = _matrix(scores)
    picks = np.random.default_rng(seed).integers(len(scores), size=(resamples, *scores.shape))
    return _percentile_interval(statistic(np.take_along_axis(scores[None], picks, axis=1)), confidence)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Probability that a run of ``x`` beats a run of ``y`` on the same task, averaged over tasks.

    On each task it is the Mann-Whitney U statistic over the number of pairs; a tie counts one half.

    Args:
        x: scores ``[runs of x, tasks]``.
        y: scores ``[runs of y, tasks]``.
    """
    return float(_wins(x, y).mean())


def probability_of_improvement_interval(
    x: ArrayLike, y: ArrayLike, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of ``probability_of_improvement``, resampling the runs of both within each task."""
    wins = _wins(x, y)
    runs_x, runs_y, tasks = wins.shape
    rng = np.random.default_rng(seed)
    # How often each run is drawn says all about a resample: pairs need not be compared again.
    drawn_x = rng.multinomial(runs_x, np.full(runs_x, 1 / runs_x), size=(resamples, tasks))
    drawn_y = rng.multinomial(runs_y, np.full(runs_y, 1 / runs_y), size=(resamples, tasks))
    won = np.einsum("stx,xyt,sty->s", drawn_x, wins, drawn_y, optimize=True)
    return _percentile_interval(won / wins.size, confidence)


def _wins(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Outcome of every pair, ``[runs of x, runs of y, tasks]``: 1 if x wins, 0 if y does, 1/2 for a tie."""
    x, y = _matrix(x), _matrix(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} tasks and y has {y.shape[1]}; give both the same tasks")
    return (1 + np.sign(x[:, None] - y[None])) / 2


def _percentile_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _matrix(scores: ArrayLike) -> np.ndarray:
    scores = _checked(scores)
    if scores.ndim != 2:
        raise ValueError(f"scores have the shape {scores.shape}; give [runs, tasks]")
    return scores


def _checked(scores: ArrayLike) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim < 2 or scores.size == 0:
        raise ValueError(f"scores have the shape {scores.shape}; give [..., runs, tasks], neither of them 0")
    if not np.isfinite(scores).all():
        # Sorting puts NaN last, so a diverged run would be trimmed like the best one.
        raise ValueError("scores hold NaN or infinity; decide what a diverged run scores")
    return scores
