"""The table of invalid action masking, from run folders with numbers made up by hand."""

import json

import numpy as np
import pytest
from papers.masking import confounders, table2
from papers.masking._regimes import curve, mean_return, run_of, scores, share_of_horizon
from papers.masking._speed import REGIMES

from rlx.reproduce import chunks
from rlx.reproduce.table import Cells, Scale

SCALE = Scale(2, "4 updates", "", {**table2.TABLE.scales["small"].options, "steps": 4 * 30_000})
STEPS = [0, 30_000, 60_000, 90_000, 120_000]


def write_run(folder, training, removed, divergence, owner=0.0, solved=0.0):
    """A run of two seeds; the second one's training returns are 1 lower, and it succeeds and solves later."""
    folder.mkdir()
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    rows = []
    for index, step in enumerate(STEPS):
        for seed in range(2):
            row = {"step": step, "member": seed, "evaluation/return_mean": removed + index}
            row |= {f"evaluation/invalid_{sort}": 0.25 * n * index for n, sort in enumerate(("null", "busy", "owner"))}
            if step:
                row |= {
                    "training/return_mean": training[index - 1] - seed,
                    "training/recent_return": training[index - 1] - seed,
                    "training/solved_at": solved * (1 + seed) if index > 1 else 0.0,
                    "training/first_success_at": 400.0 * (1 + seed),
                    "update/last_approx_kl": divergence * (-1) ** index,
                    **{f"update/invalid_{sort}": 0.25 * owner for sort in ("null", "busy")},
                    "update/invalid_owner": owner,
                    "update/avoidable_null": 0.0,
                    "update/avoidable_owner": owner if index == 2 else 0.0,
                }
            rows.append(row)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folders(tmp_path):
    found = {job.name: tmp_path / job.name for job in table2.TABLE.jobs(SCALE)}
    for name, folder in found.items():
        if name == "speed":
            folder.mkdir()
            chunks.write_outputs(
                folder, 0, {f"{m} {regime}": np.full(3, 300_000.0) for m in table2.MAPS for regime in REGIMES.values()}
            )
            chunks.write_state(folder, np.zeros(()), chunks.Position(1, 1, 0.0))
        elif "masking" in name:
            write_run(folder, [5, 30, 40, 40], removed=10.0, divergence=0.01, solved=50_000.0)
        elif "naive" in name:
            write_run(folder, [2, 20, 30, 40], removed=0.0, divergence=0.03)
        else:
            write_run(folder, [0, 1, 1, 2], removed=0.0, divergence=0.01, owner=0.5)
    return found


def test_the_papers_numbers_of_a_run(folders):
    found = scores(run_of(folders, "10x10", "masking"))
    assert found["return"].tolist() == [40, 39]
    assert found["solved"].tolist() == [10, 20]
    assert found["first reward"].tolist() == [0.08, 0.16]
    np.testing.assert_allclose(found["early KL"], [0.01, 0.01])
    np.testing.assert_allclose(found["return from 50k"], [110 / 3, 107 / 3])
    found = scores(run_of(folders, "10x10", "penalty 0"))
    assert found["invalid owner"].tolist() == [100, 100]
    assert found["invalid null"].tolist() == [25, 25]
    assert found["avoidable"].tolist() == [100, 100]
    assert found["solved"].tolist() == [100, 100]


def test_helpers(folders):
    assert share_of_horizon(np.array([0, 5_000, 500_000])).tolist() == [100, 1, 100]
    run = run_of(folders, "10x10", "masking")
    assert mean_return(run, 90_000).tolist() == [40, 39]
    assert curve(run, "training/recent_return")[0].tolist() == STEPS[1:]


def test_cells_and_claims(folders):
    cells = Cells(tuple(table2.cells(SCALE, folders)), "mean")
    assert cells.one(map="10x10", regime="masking removed", metric="return").scores.tolist() == [13.5, 13.5]
    assert cells.one(map="10x10", regime="masking removed", metric="invalid busy").scores.tolist() == [175, 175]
    assert cells.one(map="10x10", regime="masking removed", metric="invalid owner").scores.tolist() == [350, 350]
    assert cells.one(map="10x10", regime="naive", metric="early KL").published == 0.072
    assert cells.one(map="10x10", regime="naive", metric="return").published is None
    first_reward = cells.one(map="10x10", regime="penalty -0.01", metric="first reward")
    assert first_reward.published is None  # whoever never got one counts as 100 % of a budget that nobody spent
    claims = [claim for claim in table2.TABLE.claims if "small" in claim.scales]
    assert [claim.check(cells).holds for claim in claims] == [True] * 5
    assert claims[2].check(cells).measured == "naive 0.0300, masking 0.0100, ratio 3.0"
    # With the runs of naive and masking exchanged, and penalties for masking, they do not hold.
    folders["10x10-masking"], folders["10x10-naive"] = folders["10x10-penalty_0"], folders["10x10-masking"]
    folders["10x10-penalty_0"] = folders["10x10-naive"]
    cells = Cells(tuple(table2.cells(SCALE, folders)), "mean")
    assert [claim.check(cells).holds for claim in claims[:4]] == [False] * 4


def test_maps_may_have_different_regimes(folders):
    scale = Scale(2, "", "", {"steps": STEPS[-1], "rows": {"4x4": ("penalty 0",), "10x10": ("masking", "penalty 0")}})
    assert [job.name for job in table2.jobs(scale)[1:]] == ["4x4-penalty_0", "10x10-masking", "10x10-penalty_0"]
    cells = Cells(tuple(table2.cells(scale, folders)), "mean")
    figure = table2.figures(cells, folders)["return"]
    small, large = ({line.get_label(): line.get_color() for line in axes.lines} for axes in figure.axes)
    assert list(small) == ["penalty 0"]
    assert list(large) == ["masking", "masking removed", "penalty 0"]
    assert small["penalty 0"] == large["penalty 0"] != large["masking"]


def test_every_published_number_has_a_cell(folders):
    options = {**SCALE.options, "steps": 500_000}
    cells = table2.cells(Scale(2, "", "", options), folders)
    named = {(cell.setting["map"], cell.setting["regime"], cell.metric) for cell in cells}
    wanted = {
        key for key in table2.published() if key[0] in options["rows"] and key[1] not in ("penalty -0.1", "penalty -1")
    }
    assert wanted <= named
    assert len(wanted) > 30


def test_what_the_numbers_lean_on(tmp_path):
    scale = Scale(2, "4 updates", "", {"steps": STEPS[-1], "maps": ("10x10",)})
    folders = {job.name: tmp_path / job.name for job in confounders.TABLE.jobs(scale)}
    assert len(folders) == 5
    made_up = {  # return without the mask, invalid commands a step, steps to solve
        "10x10-released_code": (20.0, 0.5, 50_000.0),
        "10x10-no_entropy_term": (6.0, 0.5, 50_000.0),
        "10x10-entropy_as_bonus": (5.0, 0.5, 50_000.0),
        "10x10-standard": (4.0, 0.5, 90_000.0),
        "10x10-blocked_units_masked": (20.0, 0.0, 40_000.0),
    }
    for name, (removed, owner, solved) in made_up.items():
        write_run(folders[name], [5, 30, 40, 40], removed=removed, divergence=0.01, owner=owner, solved=solved)
    cells = Cells(tuple(confounders.cells(scale, folders)), "mean")
    assert cells.one(variant="standard", regime="masking removed", metric="return").scores.tolist() == [7.5, 7.5]
    assert cells.one(variant="standard", regime="masking", metric="solved").published is None
    assert cells.one(variant="released code", regime="masking", metric="solved").published == 12
    assert cells.one(variant="released code", metric="invalid busy, all episodes").scores.tolist() == [25, 25]
    found = [claim.check(cells) for claim in confounders.TABLE.claims]
    assert [outcome.holds for outcome in found] == [True, True, True]
    assert found[0].measured.startswith("last 10 episodes 40.0, 39.0; solved at 27.0 % of the steps")
    for name in ("10x10-standard", "10x10-blocked_units_masked"):
        swap = {"10x10-released_code": folders[name], name: folders["10x10-released_code"]}
        cells = Cells(tuple(confounders.cells(scale, folders | swap)), "mean")
        outcomes = [claim.check(cells).holds for claim in confounders.TABLE.claims]
        assert outcomes == [name != "10x10-standard", name != "10x10-standard", name == "10x10-standard"]
    assert set(confounders.figures(cells, folders)) == {"return"}
