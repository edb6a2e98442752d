"""The tables of ACE: claims about numbers made up by hand."""

import json

import numpy as np
import pytest
from papers.ace import (
    _comparison,
    comparison,
    entropy_allocation,
    full,
    identification,
    learning,
    online_weights,
    reset,
)

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


def test_those_of_the_comparisons_can_be_composed():
    small, paper = (
        _comparison.jobs(scale) for scale in (*comparison.TABLE.scales.values(), full.TABLE.scales["paper"])
    )
    assert (len(small), len(paper)) == (12, 20)
    methods = {job.name: (job.settings["agent"]["weights"], job.settings["agent"]["reset"]) for job in small[:4]}
    assert methods == {
        "halfcheetah-SAC": ("none", False),
        "halfcheetah-SAC_and_reset": ("none", True),
        "halfcheetah-causal_SAC": ("lingam", False),
        "halfcheetah-ACE": ("lingam", True),
    }
    assert {job.settings["agent"]["reset_period"] for job in small} == {20_000}
    assert {job.settings["agent"]["batch_size"] for job in paper} == {512}
    assert paper[-1].settings["env"]["action_size"] == 19
    trained = {job.name: job.settings["agent"] for job in learning.jobs(learning.TABLE.scales["small"])}
    assert {name: fields.get("reset_period") for name, fields in trained.items()} == {
        "sac-Pendulum-v1": None,
        "ace-Pendulum-v1": 3_000,
        "sac-inverted_pendulum": None,
        "ace-inverted_pendulum": 4_000,
        "sac-halfcheetah": None,
        "ace-halfcheetah": 20_000,
    }


def written_run(folder, values, distance=0.0):
    """A run of seeds with these returns at evaluations, ``[seeds, E]``; from the second on, weights have a distance."""
    folder.mkdir()
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    rows = [
        {"step": 1_000 * index, "member": seed, "evaluation/return_mean": value}
        | ({"update/weights_from_uniform": distance if index > 1 else 0.0} if index else {})
        for seed, curve in enumerate(values)
        for index, value in enumerate(curve)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("means", "distances", "holds"),
    [
        # SAC, with resets, causal, ACE; the seeds of each differ by 10.
        ((100, 100, 130, 160), (0.05, 0.01), [True, True, True, True]),
        ((100, 100, 95, 104), (0.05, 0.01), [None, False, True, True]),
        ((100, 100, 130, 60), (0.05, 0.04), [False, False, False, False]),
    ],
)
def test_claims_of_the_comparison(means, distances, holds, tmp_path):
    scale, folders = comparison.TABLE.scales["small"], {}
    for job in _comparison.jobs(scale):
        method = next(
            name for name in _comparison.METHODS if job.name.endswith(f"-{_comparison.job_name('/', name)[1:]}")
        )
        mean = means[list(_comparison.METHODS).index(method)]
        distance = distances[0 if job.name.startswith("halfcheetah") else 1]
        folders[job.name] = written_run(tmp_path / job.name, [[0.0, *[mean + at] * 5] for at in (-5.0, 5.0)], distance)
    cells = Cells(tuple(_comparison.cells(scale, folders)), "mean")
    assert cells.one(task="brax/hopper", method="ACE", metric="mean return of all evaluations").scores.tolist() == [
        means[3] - 5,
        means[3] + 5,
    ]
    assert cells.one(task="brax/hopper", method="ACE", metric="weights from uniform").scores.tolist() == pytest.approx(
        [distances[1]] * 2
    )
    assert [claim.check(cells).holds for claim in comparison.TABLE.claims] == holds


@pytest.mark.parametrize(("falls", "holds"), [(1, [True] * 6), (2, [False, False, False, False, True, True])])
def test_claims_about_learning(falls, holds, tmp_path):
    """Of five seeds so many end badly; in halfcheetah all gain 600."""
    ends = {learning.PENDULUM: (-150.0, -900.0), learning.BALANCE: (1000.0, 300.0), learning.RUN: (600.0, 600.0)}
    folders = {}
    for task, (good, bad) in ends.items():
        for agent in learning.AGENTS:
            name = learning.job_name(agent, task)
            finals = [bad] * falls + [good] * (5 - falls)
            folders[name] = written_run(tmp_path / name, [[0.0, *[final] * 3] for final in finals])
    cells = Cells(tuple(learning.cells(learning.TABLE.scales["small"], folders)), "mean")
    assert [claim.check(cells).holds for claim in learning.TABLE.claims] == holds


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
