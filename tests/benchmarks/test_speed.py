"""`benchmark.py speed`: who takes which turn, what ratios are, and the rlx of which checkout it is that works."""

import shutil
import subprocess
from pathlib import Path

import pytest
from benchmarks import speed, systems
from benchmarks.cases import CASES

from rlx import registry
from rlx.errors import ConfigurationError
from rlx.runner.run import RunFailed

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "experiments" / "benchmarks" / "peers"


def measured(system, speeds):
    return speed.Measurement("ppo-64x64", system, speeds, 2.0, 1.0, 3 * 2**20, {})


def test_ratios_are_those_of_the_same_round():
    ours, theirs = speed.table([measured("rlx", [4096.0, 8192.0, 1024.0]), measured("rejax", [2048.0, 2048.0, 256.0])])
    assert (ours["env-steps/s"], ours["updates/s"]) == (4096.0, 64.0)
    assert "least" not in ours
    assert [theirs[name] for name in ("rlx is x times as fast", "least", "most")] == [4.0, 2.0, 4.0]
    assert (theirs["cold compile, s"], theirs["warm compile, s"], theirs["peak memory, MiB"]) == (2.0, 1.0, 3)


def test_members_are_1_3_and_8_of_each_of_four_agents():
    found = {(case.algorithm, case.env.partition("/")[2], case.members) for case in CASES.values()}
    for agent, env in (
        ("ppo", "CartPole-v1"), ("dqn", "CartPole-v1"), ("masked_ppo", "microrts-10x10"), ("mbma", "Pendulum-v1")
    ):  # fmt: skip
        assert {(agent, env, members) for members in (1, 3, 8)} <= found


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_one_that_rlx_knows(name):
    case = CASES[name]
    fields = registry.agent_class(case.algorithm).__dataclass_fields__
    assert set(case.hyperparameters) <= set(fields)
    assert case.iterations["rlx"] >= 1


def test_a_task_is_smaller_if_it_should_be_quick_and_never_empty():
    ppo, masked = CASES["ppo-64x64-8-seeds"], CASES["masked-ppo-10x10"]
    assert ppo.task("rejax", quick=False)["iterations"] == 10
    assert ppo.task("against", quick=False)["iterations"] == ppo.task("rlx", quick=False)["iterations"] == 24
    assert ppo.task("rlx", quick=True)["iterations"] == 2
    assert masked.iterations["rlx"] < 10
    assert masked.task("rlx", quick=True)["iterations"] == 1
    assert (ppo.task("rlx", True)["members"], ppo.task("rlx", True)["steps_per_iteration"]) == (8, 4096)


def test_a_worker_that_dies_is_named_with_its_last_words(tmp_path):
    with pytest.raises(RunFailed, match="the rlx worker ended early: KeyError: 'env'"):
        systems.Worker(systems.RLX, {}, tmp_path)


@pytest.fixture
def other(tmp_path):
    """A checkout that has its own rlx, which does nothing, and its own worker, which asks it for its name."""
    folder = tmp_path / "other"
    peers = folder / "experiments" / "benchmarks" / "peers"
    peers.mkdir(parents=True)
    (folder / "rlx").mkdir()
    (folder / "rlx" / "__init__.py").write_text("NAME = 'the other'")
    shutil.copy(PEERS / "protocol.py", peers)
    (peers / "rlx_worker.py").write_text(
        "import rlx\nfrom protocol import serve\n"
        "assert rlx.NAME == 'the other'\nserve(lambda task: lambda: lambda: print('no reply'), ('jax',))\n"
    )
    return folder


def test_another_checkout_works_with_its_own_files_beside_this_one(other):
    settings = speed.Settings(cases=("dqn",), against=str(other), repetitions=1, quick=True)
    report = speed.measure(settings)
    assert report.name == "against"
    assert [row["system"] for row in report.rows] == ["rlx", "against"]
    ours, theirs = report.rows
    assert ours["env-steps/s"] == ours["updates/s"] > 0
    assert ours["cold compile, s"] > theirs["cold compile, s"]
    assert theirs["least"] == theirs["most"] < 1.0  # it does nothing, and that fast
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    assert f"rlx is commit {head.strip()}" in report.description
    assert "against it stands no commit." in report.description
    assert "num_updates=1" in report.description


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"unknown case 'dqnn' \(did you mean 'dqn'\?\)"):
        speed.measure(speed.Settings(cases=("dqnn",)))
    with pytest.raises(ConfigurationError, match=r"has no experiments/benchmarks/peers/rlx_worker.py; name a checkout"):
        speed.measure(speed.Settings(against=str(tmp_path)))


def test_peers_that_are_not_installed_are_named(monkeypatch, capsys, tmp_path):
    there = systems.System("sbx", Path("/bin/sh"), ROOT, "sbx_worker.py")
    missing = systems.System("rejax", tmp_path / "python", ROOT, "rejax_worker.py")
    monkeypatch.setattr(speed, "PEERS", {"rejax": missing, "sbx": there})
    assert speed.installed_peers(CASES["dqn"]) == [there]
    assert "rejax: not installed; `make bench-peers` does it" in capsys.readouterr().err
    assert speed.installed_peers(CASES["mbma"]) == []


def test_peers_are_measured_unless_they_should_not_be(monkeypatch):
    def measure_case(name, chosen, repetitions, quick):
        assert (repetitions, quick) == (3, True)
        return [speed.Measurement(name, system.name, [64.0], 2.0, 1.0, 2**20, {"jax": "0.1"}) for system in chosen]

    monkeypatch.setattr(speed, "measure_case", measure_case)
    monkeypatch.setattr(
        speed, "installed_peers", lambda case: [systems.PEERS[name] for name in list(case.iterations)[1:]]
    )
    beside = speed.measure(speed.Settings(cases=("ppo-2048x32", "mbma"), repetitions=3, quick=True))
    assert [(row["case"], row["system"]) for row in beside.rows] == [
        ("ppo-2048x32", "rlx"),
        ("ppo-2048x32", "rejax"),
        ("mbma", "rlx"),
    ]
    assert beside.name == "benchmark"
    assert "rlx: jax 0.1; rejax: jax 0.1.\nMedians of 3 interleaved" in beside.description
    assert "sbx steps Gymnasium's" in beside.description
    alone = speed.measure(speed.Settings(cases=("ppo-2048x32",), peers=False, repetitions=3, quick=True))
    assert [row["system"] for row in alone.rows] == ["rlx"]
    assert "sbx" not in alone.description
