"""The tables of REValueD: claims about numbers made up by hand, and closed forms."""

import json

import numpy as np
import pytest
from papers.revalued import dmc, factor_regulator, regularisation, stochastic, sub_action_scaling, target_variance

from rlx.reproduce import chunks
from rlx.reproduce.table import Cell, Cells, Scale


def write_run(folder, finals, values=None):
    """A run whose seeds rise to these returns and end there for three evaluations; the critics' values rise as well."""
    folder.mkdir()
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    rows = [
        {"step": 1_000 * index, "member": seed, "evaluation/return_mean": 1.0 if index < 3 else final}
        | ({"update/q_value": values[seed] * index / 5} if values and index else {})
        for index in range(6)
        for seed, final in enumerate(finals)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_folders(table, scale, parent):
    """Of the table's trainings, by name."""
    return {job.name: parent / job.name for job in table.jobs(scale)}


def checked(table, scale, folders, scale_name="small"):
    """The cells, and the outcomes of the claims that are checked at that scale."""
    cells = Cells(tuple(table.cells(scale, folders)), "mean")
    return cells, [claim.check(cells) for claim in table.claims if scale_name in claim.scales]


@pytest.fixture
def folders(tmp_path):
    scale = factor_regulator.TABLE.scales["small"]
    found = run_folders(factor_regulator.TABLE, scale, tmp_path)
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
    cells, outcomes = checked(factor_regulator.TABLE, *folders)
    assert cells.one(components=24, method="DecQN").scores.tolist() == [20, 20, 20, 20, 30]
    assert [outcome.holds for outcome in outcomes] == [True, True, True]
    assert outcomes[0].measured == "28.2 to 22.0, higher for 4 of 5 seeds"
    scale, found = folders
    swapped = found | {"REValueD-5_critics-24": found["BDQ-24"], "BDQ-24": found["DecQN-24"], "BDQ-6": found["BDQ-24"]}
    _, outcomes = checked(factor_regulator.TABLE, scale, swapped)
    assert [outcome.holds for outcome in outcomes] == [False, False, False]


def test_every_size_of_the_ensemble_is_in_the_table(folders):
    cells, _ = checked(factor_regulator.TABLE, *folders)
    methods = {cell.setting["method"] for cell in cells.where(components=24)}
    assert {f"REValueD, {number} critics" for number in (1, 2, 3, 5, 10)} <= methods


def test_claims_about_sizes_of_sub_actions(tmp_path):
    """REValueD keeps 40 of 47, where DecQN keeps 30 of 40; averages are of five evaluations, two of them 1."""
    scale = Scale(2, "", "")
    finals = {
        "REValueD-5_critics-6x3": 47,
        "REValueD-5_critics-6x31": 40,
        "DecQN-6x3": 40,
        "DecQN-6x31": 30,
        "BDQ-6x3": 44,
        "BDQ-6x31": 26,
        "REValueD-5_critics-24x3": 30,
        "DecQN-12x3": 30,
        "DecQN-24x3": 20,
        "BDQ-12x3": 24,
        "BDQ-24x3": 4,
    }
    found = run_folders(sub_action_scaling.TABLE, scale, tmp_path)
    assert len(found) == 18
    assert set(finals) <= set(found)
    for name, folder in found.items():
        write_run(folder, [finals.get(name, 35)] * 2)
    cells, outcomes = checked(sub_action_scaling.TABLE, scale, found)
    assert cells.one(components=6, bins=3, method="DecQN", metric="average return").scores.tolist() == [24.4, 24.4]
    assert [outcome.holds for outcome in outcomes] == [True, True, True, True]
    assert [outcome.measured for outcome in outcomes] == [
        "REValueD keeps 0.853, DecQN 0.754",
        "BDQ 26.0, DecQN 30.0",
        "REValueD to DecQN: 1.18, 1.17, 1.50",
        "BDQ to DecQN: 1.10, 0.80, 0.20",
    ]
    swapped = found | {
        "DecQN-6x31": found["DecQN-6x3"],
        "REValueD-5_critics-24x3": found["DecQN-24x3"],
        "BDQ-24x3": found["DecQN-24x3"],
    }
    _, outcomes = checked(sub_action_scaling.TABLE, scale, swapped)
    assert [outcome.holds for outcome in outcomes] == [False, False, False, False]


def test_claims_about_the_regulariser(tmp_path):
    """2,800 updates of 0.005 and the lead of 1, times e / (e - 1), are 23.73."""
    assert regularisation.UPDATES == 2_800
    np.testing.assert_allclose(regularisation.speed_limit(0.005, 0.5), 15 * np.e / (np.e - 1))
    np.testing.assert_allclose(regularisation.speed_limit(0.02, 0.05), 570 * np.e / (np.e - 1))
    scale = Scale(2, "", "")
    found = run_folders(regularisation.TABLE, scale, tmp_path)
    assert {job.agent_fields["regulariser"] for job in regularisation.jobs(scale)} == {0.0, 0.05, 0.5}
    values = {"tau0.005-beta0": [30, 32], "tau0.005-beta0.5": [12, 14], "tau0.02-beta0.5": [20, 24]}
    for name, folder in found.items():
        write_run(folder, [18.5, 20.5] if "beta0.5" in name else [30, 30], values.get(name, [31, 31]))
    cells, (held, freed, helps) = checked(regularisation.TABLE, scale, found)
    assert cells.one(tau=0.005, beta=0.5, metric="value at the end").scores.tolist() == [12, 14]
    assert (held.holds, held.measured) == (True, "13.0 to 31.0, at most 14.0 of 23.7")
    assert (freed.holds, freed.measured) == (True, "22.0 to 13.0")
    assert helps.holds is None
    assert helps.measured.endswith("tau 0.005: 30.0, 30.0, 19.5; tau 0.02: 30.0, 30.0, 19.5")
    # One seed above the limit, though below what it is without; and targets that follow faster but free nothing.
    above = found | {"tau0.005-beta0.5": found["tau0.02-beta0.5"], "tau0.02-beta0.5": found["tau0.005-beta0.5"]}
    assert [outcome.holds for outcome in checked(regularisation.TABLE, scale, above)[1]] == [False, False, None]
    same = found | {"tau0.005-beta0": found["tau0.005-beta0.5"]}
    assert [outcome.holds for outcome in checked(regularisation.TABLE, scale, same)[1]] == [False, True, None]


def test_claims_about_noise(tmp_path):
    scale = Scale(3, "", "")
    noisy = {job.name: dict(job.env_fields) for job in stochastic.jobs(scale)}
    assert noisy["rewards-DecQN"] == {"num_components": 24, "reward_noise": 0.1}
    assert noisy["observations-REValueD-5_critics"] == {"num_components": 24, "obs_noise": 0.1}
    found = run_folders(stochastic.TABLE, scale, tmp_path)
    finals = {"rewards-DecQN": [10, 12, 20], "observations-DecQN": [20, 20, 20]}
    for name, folder in found.items():
        write_run(folder, finals.get(name, [14, 15, 16]))
    _, outcomes = checked(stochastic.TABLE, scale, found)
    assert [outcome.holds for outcome in outcomes] == [True, False]
    assert outcomes[0].measured == "15.0 to 14.0, higher for 2 of 3 seeds"


@pytest.fixture
def suite(tmp_path):
    """Runs of all rows at the paper's scale: DecQN 600, BDQ 500, REValueD 950, but 590 on WalkerRun."""
    scale = dmc.TABLE.scales["paper"]
    found = run_folders(dmc.TABLE, scale, tmp_path)
    returns = {"REValueD": 950, "DecQN": 600, "BDQ": 500}
    for name, folder in found.items():
        final = {"WalkerRun-3-REValueD": 590, "FingerSpin-75-DecQN": 500}.get(name, returns[name.rpartition("-")[2]])
        write_run(folder, [final - 20, final + 20])
    return scale, found


def test_claims_about_dm_control(suite):
    scale, found = suite
    cells, outcomes = checked(dmc.TABLE, scale, found, "paper")
    assert len(found) == 36
    assert cells.one(task="HumanoidRun", method="BDQ", metric="return of the last three").setting["components"] == 21
    # 590 is within one standard error, 28, of 600, but no expert's return.
    assert [outcome.holds for outcome in outcomes] == [True, True, False, True]
    assert outcomes[0].measured.startswith("8 of 9; FingerSpin 950, 600, 500; ")
    assert "WalkerRun -10 (least -28)" in outcomes[1].measured
    assert "WalkerRun 590 of 701" in outcomes[2].measured
    assert outcomes[3].measured == "REValueD keeps 1.00, DecQN 0.83"


def test_claims_about_dm_control_that_fail(suite):
    """DecQN as good as REValueD everywhere, and nothing learned on one task."""
    scale, found = suite
    swapped = found | {name: found["FingerSpin-3-DecQN"] for name in found if name.endswith("3-REValueD")}
    swapped["FingerSpin-75-REValueD"] = found["FingerSpin-75-DecQN"]
    cells, outcomes = checked(dmc.TABLE, scale, swapped, "paper")
    assert [outcome.holds for outcome in outcomes] == [False, False, False, False]
    assert dmc.learns(cells).holds
    untrained = Cells(tuple(c for c in cells if c.metric == dmc.UNTRAINED or c.setting["task"] != "HopperHop"))
    nothing = tuple(Cell(c.setting, dmc.FINAL, c.scores + 99) for c in untrained if c.setting["task"] == "HopperHop")
    assert not dmc.learns(Cells((*untrained, *nothing))).holds


def test_dm_control_at_the_papers_scale_is_its_protocol():
    """Ten seeds, a million steps and an evaluation every 25,000; K = 10 with the regulariser."""
    table = dmc.TABLE.scales["paper"]
    trainings = {job.name: job for job in dmc.jobs(table)}
    walker, humanoid = trainings["WalkerWalk-3-REValueD"].settings, trainings["HumanoidRun-3-DecQN"].settings
    run = walker["run"]
    assert (run["num_seeds"], run["total_steps"], run["num_evaluations"]) == (10, 1_000_000, 40)
    assert (humanoid["run"]["total_steps"], humanoid["run"]["num_evaluations"]) == (2_000_000, 80)
    agent = walker["agent"]
    chosen = {name: agent[name] for name in ("num_critics", "regularise", "regulariser", "prioritise", "hidden_size")}
    assert list(chosen.values()) == [10, True, 0.5, True, 512]
    assert humanoid["agent"]["prioritise"]


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


def test_disagreement_is_read_for_each_component_as_a_mean_over_seeds(tmp_path):
    rows = [
        {"step": 0, "member": 0, "evaluation/return_mean": 1.0},
        *({"step": step, "member": m, "update/disagreement": [0.1 * step, m]} for step in (1, 2) for m in (0, 1)),
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps, shares = dmc.disagreement(tmp_path)
    assert steps.tolist() == [1, 2]
    np.testing.assert_allclose(shares, [[0.1, 0.5], [0.2, 0.5]])
