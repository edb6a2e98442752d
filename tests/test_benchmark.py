import csv
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(EXPERIMENTS))
    import benchmark

    yield benchmark
    sys.path.remove(str(EXPERIMENTS))


class FakeWorker:
    def __init__(self, system, diary):
        self.system, self.diary = system, diary

    def steps_per_second(self):
        self.diary.append(self.system)
        return float(len(self.diary))


def test_systems_take_turns_forwards_and_backwards(benchmark):
    diary = []
    speeds = benchmark.take_turns([FakeWorker("a", diary), FakeWorker("b", diary)], repetitions=3)
    assert "".join(diary) == "ab" + "ab" + "ba" + "ab"
    assert speeds == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_ratios_are_those_of_the_same_round(benchmark):
    def measured(system, speeds):
        return benchmark.Measurement("ppo-64x64", system, speeds, 2.0, 1.0, 3 * 2**20, {})

    ours, theirs = benchmark.table(
        [measured("rlx", [4096.0, 8192.0, 1024.0]), measured("rejax", [2048.0, 2048.0, 256.0])]
    )
    assert (ours["env-steps/s"], ours["updates/s"]) == (4096.0, 64.0)
    assert [theirs[name] for name in ("rlx is x times as fast", "least", "most")] == [4.0, 2.0, 4.0]
    assert (theirs["cold compile, s"], theirs["warm compile, s"], theirs["peak memory, MiB"]) == (2.0, 1.0, 3)


def test_a_worker_that_dies_is_named_with_its_last_words(benchmark, tmp_path):
    from rlx.runner.run import RunFailed

    with pytest.raises(RunFailed, match="the rlx worker ended early: KeyError: 'algorithm'"):
        benchmark.Worker("rlx", {}, tmp_path)


def test_rlx_alone_is_measured_and_written(tmp_path):
    words = ["peers=false", "quick=true", "repetitions=1", "cases=[dqn]", f"folder={tmp_path}"]
    command = [sys.executable, EXPERIMENTS / "benchmark.py", *words]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "benchmark.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["system"]) == ("dqn", "rlx")
    assert float(row["env-steps/s"]) == float(row["updates/s"]) > 0
    assert float(row["cold compile, s"]) > 0
    assert "num_updates=1" in (tmp_path / "benchmark.md").read_text()


def test_a_training_of_masked_ppo_is_taken_apart(benchmark):
    import masked_run_breakdown

    rows = masked_run_breakdown.table(repetitions=1, quick=True)
    shares = {name: value for name, value in rows[0].items() if name.endswith("%")}
    assert sum(shares.values()) == pytest.approx(100)
    assert all(value > 0 for name, value in shares.items() if "rest" not in name)
    minutes = rows[0]["event and evaluation, s"] * 245 / 60
    assert rows[0]["all 500k steps, min"] == pytest.approx(minutes)
    assert f"take {minutes:.1f} minutes" in masked_run_breakdown.description(rows)


def test_an_unknown_case_is_refused(benchmark, tmp_path):
    from rlx.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"unknown case 'dqnn' \(did you mean 'dqn'\?\)"):
        benchmark.benchmark(["cases=[dqnn]", f"folder={tmp_path / 'none'}"])
    assert not (tmp_path / "none").exists()
