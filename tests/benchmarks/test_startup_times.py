"""`benchmark.py startup`: what ratios are, what is run, and that a run ends with its first chunk."""

import json
import subprocess
import sys

import pytest
from benchmarks import report, startup
from benchmarks.report import Settings

from rlx.errors import RunFailed


def test_a_ratio_is_that_of_the_same_round():
    seconds = {startup.JAX: [1.0, 2.0, 4.0], "help": [3.0, 2.0, 8.0]}
    assert startup.row("help", startup.train("--help"), seconds) == {
        "command": "help", "s": 3.0, "x import jax": 2.0, "target": 3.0
    }  # fmt: skip
    assert startup.row(startup.JAX, startup.AT_ONCE[startup.JAX], seconds)["target"] == ""


@pytest.mark.parametrize("quick", [True, False])
def test_commands_run_by_turns_and_each_run_in_a_folder_of_its_own(quick, monkeypatch):
    ran = []
    monkeypatch.setattr(startup, "run", lambda words, exits, scratch: ran.append((words, exits)))
    made = startup.measure(Settings(repetitions=2, quick=quick))
    names = [*startup.AT_ONCE, *([] if quick else ["a run to its first chunk"])]
    assert [row["command"] for row in made.rows] == names
    assert len(ran) == 3 * len(names)  # with the round that does not count
    folders = [words[-1] for words, _ in ran if words[-1].startswith("run_dir=")]
    assert len(folders) == len(set(folders)) == (0 if quick else 3)
    assert {exits for words, exits in ran if "agent=pop" in words} == {2}


def test_a_command_that_ends_otherwise_is_no_measurement(tmp_path):
    startup.run(["-c", "raise SystemExit(2)"], 2, tmp_path)
    with pytest.raises(RunFailed, match="ended with 1: ValueError: no"):
        startup.run(["-c", "raise ValueError('no')"], 0, tmp_path)


def test_the_run_ends_with_its_first_chunk(tmp_path):
    small = ("agent.num_envs=2", "agent.rollout_length=4", "agent.num_minibatches=1", "agent.hidden_sizes=[4]")
    budget = ("total_steps=8000", "num_evaluations=1", "eval_episodes=1", "num_checkpoints=1", "tensorboard=false")
    words = [*startup.RUN.words, *small, *budget, f"run_dir={tmp_path / 'run'}"]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0]


def test_a_machine_that_does_not_say_what_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.report.Path", lambda path: tmp_path / "none")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("benchmarks.report.num_cores", lambda: 3)
    assert report.machine().startswith("3 cores of arm64, ")
    for change in (lambda: (_ for _ in ()).throw(OSError()), None):
        monkeypatch.delattr("os.getloadavg") if change is None else monkeypatch.setattr("os.getloadavg", change)
        assert report.load() is None
    toy = report.Report("toy", "A toy", "Text.", [{"a": 1}])
    monkeypatch.undo()
    report.publish(toy, tmp_path, None)
    assert "load before the start unknown." in (tmp_path / "toy.md").read_text()


def test_a_worker_without_proc_knows_no_peak(tmp_path):
    code = "import pathlib, protocol\nprotocol.Path = lambda path: pathlib.Path('/none')\nprint(protocol._peak_bytes())"
    folder = startup.SCRIPTS / "benchmarks" / "peers"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
