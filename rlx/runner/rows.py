"""What a run records at an evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlx.runner.evaluate import Evaluation


def evaluation_rows(
    step: int, seeds: Sequence[int], seconds: float, result: Evaluation, window: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """One row a member: where it stands, its evaluation with the raw returns, and the logging window before it.

    Args:
        step: environment steps each member has taken.
        seeds: one a member.
        seconds: wall time of the run so far.
        result: of the episodes ``[M, n]``.
        window: values ``[M]`` by name, from `rlx.runner.loop.window`.
    """
    returns, lengths = np.asarray(result.returns), np.asarray(result.lengths)
    return [
        {
            "step": step,
            "member": member,
            "seed": seed,
            "wall_time": seconds,
            "evaluation/return_mean": float(returns[member].mean()),
            "evaluation/return_std": float(returns[member].std()),
            "evaluation/length_mean": float(lengths[member].mean()),
            "evaluation/returns": returns[member].tolist(),
            **{
                f"evaluation/{name}": float(np.sum(counts[member]) / lengths[member].sum())
                for name, counts in result.invalid.items()
            },
            **{name: float(values[member]) for name, values in window.items()},
        }
        for member, seed in enumerate(seeds)
    ]
