"""The tables of REValueD: claims about numbers made up by hand, and closed forms."""

import json

import numpy as np
import pytest
from papers.revalued import factor_regulator, target_variance

from rlx.reproduce import chunks
from rlx.reproduce.table import Cells, Scale


def write_run(folder, finals):
    """A run whose seeds rise to these returns and end there for three evaluations."""
    folder.mkdir()
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    rows = [
        {"step": 1_000 * index, "member": seed, "evaluation/return_mean": 1.0 if index < 3 else final}
        for index in range(6)
        for seed, final in enumerate(finals)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folders(tmp_path):
    scale = factor_regulator.TABLE.scales["small"]
    found = {job.name: tmp_path / job.name for job in factor_regulator.jobs(scale)}
    finals = {
        "DecQN-24": [20, 20, 20, 20, 30],
        "REValueD-5_critics-24": [28, 28, 28, 28, 29],
        "BDQ-24": [5] * 5,
        "BDQ-6": [44] * 5,
    }
    for name, folder in found.items():
        write_run(folder, finals.get(name, [47] * 5))
    return scale, found


def test_claims_about_the_factor_regulator(folders):
    cells = Cells(tuple(factor_regulator.cells(*folders)), "mean")
    assert cells.one(components=24, method="DecQN").scores.tolist() == [20, 20, 20, 20, 30]
    outcomes = [claim.check(cells) for claim in factor_regulator.TABLE.claims]
    assert [outcome.holds for outcome in outcomes] == [True, True, True]
    assert outcomes[0].measured == "28.2 to 22.0, higher for 4 of 5 seeds"
    scale, found = folders
    swapped = found | {"REValueD-5_critics-24": found["BDQ-24"], "BDQ-24": found["DecQN-24"], "BDQ-6": found["BDQ-24"]}
    cells = Cells(tuple(factor_regulator.cells(scale, swapped)), "mean")
    assert [claim.check(cells).holds for claim in factor_regulator.TABLE.claims] == [False, False, False]


def moments(mean, variance):
    return np.array([[mean, variance]] * 2)


@pytest.mark.parametrize(("shift", "holds"), [(0.0, [True, True, True]), (0.05, [False, True, True])])
def test_claims_about_the_target_difference(tmp_path, shift, holds):
    """The closed forms themselves, moved."""
    found = {"2 DQN": moments(0.8 + shift, 0.0327273)}
    for n, variance in ((2, 0.075), (6, 0.025), (21, 0.15 / 21)):
        found |= {
            f"{n} DecQN": moments(0.5 + shift, variance),
            f"{n} mean of 10 critics' maxima": moments(0.5 + shift, variance / 10),
            f"{n} maximum of 10 critics' mean": moments(0.155, variance / 8),
        }
    chunks.write_outputs(tmp_path, 0, found)
    chunks.write_state(tmp_path, np.zeros(()), chunks.Position(1, 1, 0.0))
    cells = Cells(tuple(target_variance.cells(Scale(2, "", ""), {"draws": tmp_path})), "mean")
    assert [claim.check(cells).holds for claim in target_variance.TABLE.claims] == holds
    np.testing.assert_allclose(cells.one(components=6, method="DecQN", metric="variance").published, 0.025)
