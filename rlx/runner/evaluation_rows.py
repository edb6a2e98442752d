"""What a run records at an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlx.runner.action_use import CHANGE
from rlx.runner.evaluate import Evaluation


def evaluation_rows(
    step: int,
    seeds: Sequence[int],
    values: Sequence[Mapping[str, float]],
    seconds: float,
    result: Evaluation,
    window: Mapping[str, np.ndarray],
) -> list[dict[str, Any]]:
    """One row a member: where it stands, its evaluation with the raw returns, and the logging window before it.

    Args:
        step: environment steps each member has taken.
        seeds: one a member.
        values: of each member, the hyperparameters in which members differ.
        seconds: wall time of the run so far.
        result: of the episodes ``[M, n]``.
        window: ``[M]`` or ``[M, k]`` by name, from `rlx.runner.window.summary`.
    """
    returns, lengths = np.asarray(result.returns), np.asarray(result.lengths)
    return [
        {
            "step": step,
            "member": member,
            "seed": seed,
            "wall_time": seconds,
            **{f"agent/{name}": value for name, value in values[member].items()},
            "evaluation/return_mean": float(returns[member].mean(dtype=np.float64)),
            "evaluation/return_std": float(returns[member].std(dtype=np.float64)),
            "evaluation/length_mean": float(lengths[member].mean()),
            "evaluation/returns": returns[member].tolist(),
            **{
                f"evaluation/{name}": float(np.sum(counts[member]) / lengths[member].sum())
                for name, counts in result.counters.items()
            },
            **{
                # The first step of an episode has none before it.
                f"evaluation/{name}": float(np.sum(sums[member]) / max(1, (lengths[member] - (name == CHANGE)).sum()))
                for name, sums in result.actions.items()
            },
            **({} if result.unfinished is None else {"evaluation/unfinished": int(np.sum(result.unfinished[member]))}),
            **{name: _number_or_list(series[member]) for name, series in window.items()},
        }
        for member, seed in enumerate(seeds)
    ]


def _number_or_list(value: np.ndarray) -> float | list[float]:
    return value.astype(float).tolist()
