"""The tables of Symphony, TD3 and DDPG: claims about numbers made up by hand."""

import json
import math

import numpy as np
import pytest
from papers.symphony import _small, ablation, brax, cartpole_falls, humanoid, pendulum, sampling

from rlx.reproduce import chunks
from rlx.reproduce.table import Cell, Cells, Scale

SCALE = Scale(2, "", "")
ROWS = {"evaluation/return_mean": -300.0, "evaluation/action_size": 0.2, "evaluation/action_above_half": 0.01,
        "evaluation/action_near_limit": 0.0, "evaluation/action_change": 0.02}  # fmt: skip
SIGMA_BETA = {"update/sigma": 0.38, "update/beta": 0.09}


def write_run(folder, rows, steps=range(0, 12_000, 1_000)):
    """Two seeds of a run; ``rows(step, seed)`` is what each row holds beside."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("agent: {}\n")
    (folder / "metadata.json").write_text("{}")
    lines = [{"step": step, "member": seed, **rows(step, seed)} for step in steps for seed in range(2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def folders_of(table, tmp_path, changes, **more):
    """A run of every training of a small table; ``changes`` are to what its rows hold, by training."""
    folders = {}
    for job in table.jobs(SCALE):
        folders[job.name] = tmp_path / job.name
        symphony = "symphony" in job.agent
        held = ROWS | more | (SIGMA_BETA if symphony else {}) | changes.get(job.name, {})
        early = {"update/sigma": 0.2, "update/beta": 0.3} if symphony else {}
        write_run(folders[job.name], lambda step, seed, held=held, early=early: held | (early if step <= 2_000 else {}))
    return folders


def verdicts(table, folders):
    cells = Cells(tuple(table.cells(SCALE, folders)), "mean")
    return [claim.check(cells).holds for claim in table.TABLE.claims]


FREE = {"S3_without_swaddling": {"update/sigma": 0.8}}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        (FREE, [True, True, True, True]),
        ({}, [True, False, True, True]),
        (FREE | {"Symphony_S3": {"update/sigma": 0.44}}, [False, True, True, True]),
        (FREE | {"Symphony_S3": {"update/beta": 0.08}}, [False, True, True, True]),
        (FREE | {"Symphony_S3": {"evaluation/action_above_half": 0.02}}, [True, True, False, True]),
        (FREE | {"Symphony_S3": {"evaluation/return_mean": -601.0}}, [True, True, True, False]),
    ],
)
def test_claims_about_pendulum(changes, holds, tmp_path):
    assert verdicts(pendulum, folders_of(pendulum, tmp_path, changes)) == holds


@pytest.mark.parametrize(
    ("change", "value", "holds"),
    [(0.11, 150.0, [True] * 5), (0.09, 149.0, [True, True, True, False, False])],
)
def test_claims_about_the_cart_pole(change, value, holds, tmp_path):
    """TD3's actions change five times as much as Symphony's, or not quite."""
    changes = FREE | {"TD3-3_updates_a_step": {"evaluation/action_change": change}}
    folders = folders_of(
        cartpole_falls, tmp_path, changes, **{"evaluation/return_mean": value, "evaluation/power": 1.0}
    )
    assert verdicts(cartpole_falls, folders) == holds


def test_every_method_has_its_sizes():
    jobs = {job.name: job.settings["agent"] for job in pendulum.jobs(SCALE)}
    assert len(jobs) == len(_small.METHODS)
    assert [jobs[f"Symphony_{name}"]["updates_per_step"] for name in ("S3", "SE", "S2", "ED")] == [3, 3, 3, 2]
    assert jobs["Symphony_S2"]["gradient_dropout"] == "all"
    assert jobs["Symphony_SE"]["noise_std"] == 1 / math.pi
    assert jobs["DDPG-3_updates_a_step"]["num_critics"] == 1
    sizes = {
        name: agent.get("replay_size", agent.get("exploration_steps", 0) * agent.get("copies", 0))
        for name, agent in jobs.items()
    }
    assert set(sizes.values()) == {20_000, 15_000}


@pytest.mark.parametrize(("spread", "worse", "holds"), [(2.0, -50.0, False), (2.0, 0.0, True)])
def test_claims_about_components(spread, worse, holds, tmp_path):
    rng = np.random.default_rng(0)
    changes = {"Pendulum-no_swaddling": {"update/sigma": 0.7}, "cart-pole-no_swaddling": {"update/sigma": 0.7}}
    folders = folders_of(ablation, tmp_path, changes)
    cells = Cells(tuple(ablation.cells(SCALE, folders)), "mean")
    varied = tuple(
        Cell(c.setting, c.metric, rng.normal(worse if c.setting["component"] == "SiLU" else 0.0, spread, 5))
        if c.metric == _small.RETURN
        else c
        for c in cells
    )
    found = [claim.check(Cells(varied, "mean")) for claim in ablation.TABLE.claims]
    assert [outcome.holds for outcome in found[:4]] == [True] * 4
    assert [outcome.holds for outcome in found[4:]] == [holds] * 2
    assert ("SiLU" in found[4].measured) != holds


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, [True, True, True]),
        (
            {"Symphony_S3": {"evaluation/action_above_half": 0.26, "evaluation/action_change": 0.4}},
            [True, False, False],
        ),
        ({"SAC-3_updates_a_step": {"evaluation/return_mean": 109.0}}, [False, True, True]),
    ],
)
def test_claims_about_the_hopper(changes, holds, tmp_path):
    """Random actions return 10; the others use half of their range in half of their steps."""
    folders = {"random_actions": tmp_path / "random_actions"}
    folders["random_actions"].mkdir()
    chunks.write_outputs(folders["random_actions"], 0, {"return": np.array([10.0])})
    chunks.write_state(folders["random_actions"], np.zeros(()), chunks.Position(1, 1, 0.0))
    for job in brax.jobs(SCALE)[1:]:
        folders[job.name] = tmp_path / job.name
        ours = job.name == "Symphony_S3"
        held = ROWS | {"evaluation/return_mean": 200.0, "evaluation/power": 3.0} | SIGMA_BETA
        held |= {} if ours else {"evaluation/action_above_half": 0.5, "evaluation/action_change": 0.3}
        held |= changes.get(job.name, {})
        write_run(folders[job.name], lambda step, seed, held=held: held)
    assert verdicts(brax, folders) == holds


def test_claims_about_the_humanoid(tmp_path):
    """Returns that rise in a straight line to 8,000, for ED and S2 to 7,500 and 7,200; two episodes a window."""
    best = {"SE": 8_400.0, "S3": 8_000.0, "ED": 7_500.0, "S2": 7_200.0}
    folders = {}
    for job in humanoid.jobs(Scale(2, "", "")):
        folders[job.name] = tmp_path / job.name
        total = job.settings["run"]["total_steps"]
        row = lambda step, seed, name=job.name, total=total: {  # noqa: E731
            "evaluation/return_mean": min(best[name], 12_000.0 * (step / total) ** 0.5),
            "evaluation/action_change": 0.1,
            "training/episodes": None if step == 0 else (2 if name == "S2" else 3),
            **({"update/sigma": 0.4, "update/beta": 0.09} if step else {}),
        }
        write_run(folders[job.name], row, range(0, total + 1, total // 60))
    cells = Cells(tuple(humanoid.cells(Scale(2, "", ""), folders)), "mean")
    assert cells.one(variant="S2", metric="episodes").scores.tolist() == [120.0, 120.0]
    assert cells.one(variant="S3", metric="thousand steps to 5000").published == 240.0
    # 12,000 sqrt(x) is 5,000 at 0.174 of the budget: the 11th of 60 evaluations, less exploration.
    np.testing.assert_allclose(cells.one(variant="S3", metric="thousand steps to 5000").scores, [541.6], atol=0.5)
    outcomes = [claim.check(cells) for claim in humanoid.TABLE.claims]
    assert [outcome.holds for outcome in outcomes[1:3]] == [True, True]
    assert outcomes[0].measured.startswith("4")


def test_a_level_that_is_never_reached():
    steps, returns = np.array([0, 10, 20]), np.array([[0.0, 50.0, 90.0], [0.0, 70.0, 80.0]])
    assert humanoid.steps_to(60, steps, returns) == 10
    assert humanoid.steps_to(85, steps, returns) == 20
    assert humanoid.steps_to(86, steps, returns) == np.inf


def test_chi_square_tells_other_weights():
    """Of 20,000 equal weights, draws that follow them and draws that do not."""
    rng = np.random.default_rng(0)
    even = np.bincount(rng.integers(0, 20_000, 200_000), minlength=20_000)
    assert 0.01 < sampling.chi_square(even, np.ones(20_000)) < 0.99
    assert sampling.chi_square(even, np.linspace(0.8, 1.2, 20_000)) < 1e-6


def test_the_replay_that_is_measured(monkeypatch):
    """Of a small one: counts sum to the draws, from the oldest on, and terminations are those that were written."""
    import jax

    monkeypatch.setattr(sampling, "ROWS", 40)
    monkeypatch.setattr(sampling, "BLOCK", 8)
    monkeypatch.setattr(sampling, "BATCHES", 3)
    replay = sampling.written(sampling.empty(8, 5), jax.random.key(0), jax.numpy.int32(0), 20)
    newest = sampling.rules.Newest(1)
    found = sampling.counts(replay, jax.random.key(1), newest)
    assert found[-1] == found.sum() == 3 * sampling.BATCH
    # The row that is overwritten next counts as the newest.
    assert replay.ring.data.reward[replay.queue.pointer[0], 0] < 20


@pytest.mark.parametrize(
    ("p", "quarter", "last", "holds"),
    [(0.3, 0.045, 0.3, [True] * 4), (1e-4, 0.25, 0.6, [False] * 4)],
)
def test_claims_about_draws(p, quarter, last, holds, tmp_path):
    folders = {name: tmp_path / name for name in ("draws-fading", "draws-uniform", "terminations")}
    scores = {
        sampling.P_VALUE: p,
        "mean age rank": 0.6218,
        "effective size": 0.8,
        "oldest quarter": quarter,
        "oldest half": 0.33,
    }
    drawn = {name: np.array([score, 0.5 if name == sampling.P_VALUE else score]) for name, score in scores.items()}
    outputs = {"draws-fading": drawn, "draws-uniform": drawn}
    outputs["terminations"] = {"share": np.linspace([0.04, 0.05], [last, last], 21).T}
    for name, folder in folders.items():
        folder.mkdir()
        chunks.write_outputs(folder, 0, outputs[name])
        chunks.write_state(folder, np.zeros(()), chunks.Position(1, 1, 0.0))
    assert verdicts(sampling, folders) == holds
