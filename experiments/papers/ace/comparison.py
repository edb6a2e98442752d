"""Figures of section 4, and its ablation: SAC, SAC with resets, causal SAC and ACE in Brax, small."""

from papers.ace import _comparison
from papers.ace.identification import PAPER

from rlx.reproduce.table import NOTHING_PUBLISHED, Cells, Claim, Outcome, Scale, Table

SETTINGS = {
    "num_envs": 8,
    "num_updates": 8,
    "hidden_sizes": [64, 64],
    "batch_size": 128,
    "replay_size": 100_000,
    "reset_period": 20_000,
}


def uniform_where_predicted(cells: Cells) -> Outcome:
    """Weights hardly differ from uniform in hopper and walker2d, and do in halfcheetah."""
    found = {
        task: float(cells.one(task=task, method=_comparison.ACE, metric=_comparison.DISTANCE).scores.mean())
        for task in dict.fromkeys(str(cell.setting["task"]) for cell in cells)
    }
    cheetah = found["brax/halfcheetah"]
    holds = all(share < 0.03 for task, share in found.items() if task != "brax/halfcheetah") and cheetah > 0.03
    return Outcome(holds, ", ".join(f"{task} {share:.3f}" for task, share in found.items()))


TABLE = Table(
    title="Brax: SAC, SAC with resets, causal SAC and ACE",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={
        "small": Scale(
            5,
            "100,000 steps",
            "50 min on 2 cores",
            {
                "tasks": {"brax/halfcheetah": {}, "brax/hopper": {}, "brax/walker2d": {}},
                "agent": "ace",
                "settings": SETTINGS,
                "steps": 100_000,
                "evaluations": 20,
                "episodes": 4,
            },
        )
    },
    jobs=_comparison.jobs,
    cells=_comparison.cells,
    claims=(
        *_comparison.CLAIMS,
        Claim(
            "Weights are nearly uniform but in halfcheetah (seen before with random actions, not in the paper)",
            "mean share of the weight that would have to move: below 0.03 in hopper and walker2d, above in halfcheetah",
            uniform_where_predicted,
        ),
    ),
    figures=_comparison.figures,
    statistic="mean",
)
