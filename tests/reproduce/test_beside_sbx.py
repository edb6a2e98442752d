"""The table of rlx beside sbx: what both are told, and its claim about numbers made up by hand."""

import numpy as np
import pytest
from benchmarks import systems
from papers.baselines import beside_sbx

from rlx.errors import RunFailed
from rlx.reproduce.table import Cell, Cells


@pytest.mark.parametrize("name", beside_sbx.AGENTS)
def test_both_systems_are_told_the_same(name):
    jobs = {job.name: job for job in beside_sbx.jobs(beside_sbx.TABLE.scales["small"])}
    training, other = jobs[f"{name}-rlx"], jobs[f"{name}-sbx"]
    agent, settings = training.settings["agent"], other.settings["settings"]
    same = {
        "replay_size": "buffer_size",
        "batch_size": "batch_size",
        "discount": "gamma",
        "target_rate": "tau",
        "learning_rate": "learning_rate",
        "learning_starts": "learning_starts",
        "random_steps": "learning_starts",
    }
    assert {ours: agent[ours] for ours in same} == {ours: settings[theirs] for ours, theirs in same.items()}
    assert (agent["num_envs"], agent["rollout_length"], agent["num_updates"]) == (1, 1, 1)
    assert agent.get("temperature_learning_rate", 3e-4) == 3e-4
    assert other.settings.get("noise") == agent.get("exploration_noise") == (None if name == "sac" else 0.1)
    assert training.settings["run"]["total_steps"] == other.settings["steps"]
    assert (other.settings["algorithm"], other.num_chunks) == (name.upper(), 8)


@pytest.mark.parametrize(
    ("ours", "holds"),
    [(-150.0, [True] * 4), (-203.0, [False] * 3 + [True]), (-250.0, [False] * 4)],
)
def test_the_claims(ours, holds):
    """Seeds are spread over 20; sbx's are around -200."""
    spread = np.linspace(-10.0, 10.0, 8)
    cells = Cells(
        tuple(
            Cell({"agent": agent, "system": system}, metric, mean + spread)
            for agent in beside_sbx.AGENTS
            for system, mean in (("rlx", ours), ("sbx", -200.0))
            for metric in (beside_sbx.AVERAGE, beside_sbx.FINAL)
        ),
        "mean",
    )
    outcomes = [claim.check(cells) for claim in beside_sbx.TABLE.claims]
    assert [outcome.holds for outcome in outcomes] == holds
    assert f"sac, {beside_sbx.AVERAGE}: {ours + 200:+.0f} (" in outcomes[-1].measured


def test_a_missing_peer_is_said(monkeypatch, tmp_path):
    missing = systems.System("sbx", tmp_path / "python", tmp_path, "sbx_worker.py")
    monkeypatch.setitem(beside_sbx.PEERS, "sbx", missing)
    with pytest.raises(RunFailed, match="sbx is not installed; `make bench-peers` does it"):
        beside_sbx.curve(beside_sbx.task_of("sac"))
