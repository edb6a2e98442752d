"""Figures of section 4, and its ablation: SAC, SAC with resets, causal SAC and ACE at the released code's budget."""

from papers.ace import _comparison
from papers.ace.identification import PAPER

from rlx.reproduce.table import NOTHING_PUBLISHED, Scale, Table

BRAX = ("brax/halfcheetah", "brax/walker2d", "brax/hopper", "brax/ant")
TASKS = {**{task: {} for task in BRAX}, "rlx/staged-reach": {"action_size": 19}}

TABLE = Table(
    title="Brax and staged reach at full budget: SAC, SAC with resets, causal SAC and ACE",
    paper=PAPER,
    source=NOTHING_PUBLISHED,
    scales={
        "paper": Scale(
            6,
            "1,000,000 steps",
            "GPU; not measured",
            {
                "tasks": TASKS,
                "agent": "ace_released",
                "settings": {},
                "steps": 1_000_000,
                "evaluations": 40,
                "episodes": 10,
            },
        )
    },
    jobs=_comparison.jobs,
    cells=_comparison.cells,
    claims=_comparison.CLAIMS,
    figures=_comparison.figures,
    statistic="mean",
)
