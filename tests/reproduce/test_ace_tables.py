"""The tables of ACE: claims about numbers made up by hand."""

import json

import numpy as np
import pytest
from papers.ace import entropy_allocation, identification, online_weights, reset

from rlx.reproduce import chunks
from rlx.reproduce.table import Cell, Cells, Scale


def found(**changes):
    """Two seeds whose weights are the expected ones, but for some."""
    sink = {f"{data}, sink": expected for data, expected in identification.EXPECTED.items()}
    search = {
        "random actions, lingam": identification.EXPECTED[identification.RANDOM],
        "a policy that has arrived, lingam": [1.2, 1.2, 0.9, *[0.94] * 5],
    }
    return {name: np.array([weights] * 2) for name, weights in (sink | search | changes).items()}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, [True, True, True]),
        ({"a policy that has arrived, sink": [1.10, 1.09, 1.70, *[0.77] * 5]}, [False, True, True]),
        ({"random actions, sink": [1.0] * 8}, [False, True, False]),
        ({"a policy that has arrived, sink": [2.0, *[1.0] * 7]}, [False, False, False]),
    ],
)
def test_claims_about_the_weights(changes, holds, tmp_path):
    chunks.write_outputs(tmp_path, 0, found(**changes))
    chunks.write_state(tmp_path, np.zeros(()), chunks.Position(1, 1, 0.0))
    cells = Cells(tuple(identification.cells(Scale(2, "", ""), {"weights": tmp_path})), "mean")
    assert len(cells) == 32
    assert [claim.check(cells).holds for claim in identification.TABLE.claims] == holds


@pytest.mark.parametrize(
    ("causal", "holds"),
    [((0.16, 0.25, 2.15), [True, True, True]), ((0.11, 0.35, 2.0), [False, False, False])],
)
def test_claims_about_the_bandit(causal, holds):
    """SAC's returns are 2.0 to 2.4: their standard error is 0.08."""
    numbers = {"SAC": (0.08, 0.3, 2.2), "causal SAC": causal}
    spread = {entropy_allocation.RETURN: np.linspace(-0.2, 0.2, 4)}
    metrics = (entropy_allocation.MATTERS, entropy_allocation.INERT, entropy_allocation.RETURN)
    cells = Cells(
        tuple(
            Cell({"method": method}, metric, value + spread.get(metric, np.zeros(4)))
            for method, values in numbers.items()
            for metric, value in zip(metrics, values, strict=True)
        ),
        "mean",
    )
    assert [claim.check(cells).holds for claim in entropy_allocation.TABLE.claims] == holds


@pytest.mark.parametrize("table", [entropy_allocation, online_weights])
def test_the_trainings_can_be_built(table):
    for job in table.jobs(table.TABLE.scales["small"]):
        job.check()


@pytest.mark.parametrize(
    ("second", "last", "causal", "holds"),
    [
        ([1.0, 1.0, 1.5, *[0.9] * 5], [1.0] * 8, 97.5, [True, True, True, True]),
        ([1.0, 1.2, 1.2, *[0.9] * 5], [1.0, 1.0, 1.3, *[0.94] * 5], 96.0, [True, False, False, False]),
    ],
)
def test_claims_about_weights_while_learning(second, last, causal, holds, tmp_path):
    """Two seeds of eight windows; SAC's return is always 100."""
    windows = [[1.9, 1.9, *[0.7] * 6], second, *[[1.0] * 8] * 5, last]
    folders = {"SAC": tmp_path / "SAC", "causal_SAC": tmp_path / "causal_SAC"}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "config.yaml").write_text("agent: {}\n")
        (folder / "metadata.json").write_text("{}")
        value = 100.0 if name == "SAC" else causal
        rows = [
            {"step": 1_000 * step, "member": seed, "evaluation/return_mean": value}
            | ({"update/causal_weights": windows[step - 1]} if step else {})
            for step in range(9)
            for seed in range(2)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = Cells(tuple(online_weights.cells(Scale(2, "", ""), folders)), "mean")
    assert [claim.check(cells).holds for claim in online_weights.TABLE.claims] == holds


@pytest.mark.parametrize(
    ("before", "after", "holds"),
    [([0.31, 0.30], [0.01, 0.05], [True, True]), ([0.31, 0.2], [0.01, 0.2], [False, False])],
)
def test_claims_about_a_reset(before, after, holds, tmp_path):
    chunks.write_outputs(tmp_path, 0, {"before": np.array(before), "after a reset": np.array(after)})
    chunks.write_state(tmp_path, np.zeros(()), chunks.Position(1, 1, 0.0))
    cells = Cells(tuple(reset.cells(Scale(2, "", ""), {"dormancy": tmp_path})), "mean")
    assert [claim.check(cells).holds for claim in reset.TABLE.claims] == holds
