"""The table of rlx beside sbx: what both are told, and its claim about numbers made up by hand."""

import numpy as np
import pytest
from benchmarks import systems
from papers.baselines import beside_sbx

from rlx.errors import RunFailed
from rlx.reproduce.table import Cell, Cells


def test_both_systems_are_told_the_same():
    training, other = beside_sbx.jobs(beside_sbx.TABLE.scales["small"])
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
    assert agent["temperature_learning_rate"] == settings["learning_rate"]
    assert training.settings["run"]["total_steps"] == other.settings["steps"]
    assert (other.settings["algorithm"], other.num_chunks) == ("SAC", 8)


@pytest.mark.parametrize(("ours", "holds"), [(-300.0, True), (-403.0, True), (-500.0, False)])
def test_the_claim(ours, holds):
    """sbx's seeds are at -410 to -390."""
    spread = np.linspace(-10.0, 10.0, 8)
    cells = Cells(
        tuple(
            Cell({"agent": "sac", "system": system}, metric, mean + spread)
            for system, mean in (("rlx", ours), ("sbx", -400.0))
            for metric in (beside_sbx.AVERAGE, beside_sbx.FINAL)
        ),
        "mean",
    )
    outcome = beside_sbx.TABLE.claims[0].check(cells)
    assert outcome.holds is holds
    assert f"sac, {beside_sbx.AVERAGE}: {ours + 400:+.0f} (" in outcome.measured


def test_a_missing_peer_is_said(monkeypatch, tmp_path):
    missing = systems.System("sbx", tmp_path / "python", tmp_path, "sbx_worker.py")
    monkeypatch.setitem(beside_sbx.PEERS, "sbx", missing)
    with pytest.raises(RunFailed, match="sbx is not installed; `make bench-peers` does it"):
        beside_sbx.curve(beside_sbx.task_of("sac"))
