"""experiments/benchmark.py: what it lists, refuses and writes."""

import csv
import importlib
import re
from types import SimpleNamespace

import benchmark
import pytest
from benchmarks import BENCHMARKS
from benchmarks.report import Report, Settings

from rlx.errors import ConfigurationError


@pytest.mark.parametrize("words", [[], ["--list"]])
def test_every_benchmark_is_listed(words, capsys):
    benchmark.main(words)
    out = capsys.readouterr().out
    for name, line in BENCHMARKS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE)
        assert callable(importlib.import_module(f"benchmarks.{name}").measure)


def test_help_is_that_of_the_benchmark_that_is_named():
    assert "many_actions " in benchmark.help_text(["--help"])
    text = benchmark.help_text(["speed", "--help"])
    assert "python experiments/benchmark.py speed [key=value ...]" in text
    assert "ppo-64x64-3-seeds, " in text
    assert "against=null " in text
    assert "cases=" not in benchmark.help_text(["breakdown", "--help"])
    assert max(len(line) for line in text.splitlines()) <= 120


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A benchmark that measures nothing, in a folder to stand in."""
    monkeypatch.chdir(tmp_path)
    report = Report("toy_speed", "A toy", "It is\nquick.\n", [{"part": "all", "ms": 1 / 3}])
    measured = []
    module = SimpleNamespace(Settings=Settings, measure=lambda settings: (measured.append(settings), report)[1])
    monkeypatch.setattr(benchmark, "find", lambda name: module)
    monkeypatch.setattr("os.getloadavg", lambda: (1.26, 0.0, 0.0))
    return measured


def test_a_table_is_written_with_machine_versions_and_load(toy, tmp_path, capsys):
    benchmark.main(["toy", "repetitions=3", "folder=out/here"])
    assert toy == [Settings(repetitions=3, folder="out/here")]
    page = (tmp_path / "out" / "here" / "toy_speed.md").read_text()
    title, machine, text, table = page.split("\n\n")
    assert title == "# A toy"
    assert re.fullmatch(
        r"\d+ cores of .+, Linux, Python 3\S+; rlx \S+, jax \S+, jaxlib \S+; load before the start 1\.3\.", machine
    )
    assert text == "It is\nquick."
    assert table == "| part | ms |\n| --- | ---: |\n| all | 0.3333 |\n"
    with (tmp_path / "out" / "here" / "toy_speed.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"part": "all", "ms": str(1 / 3)}]
    captured = capsys.readouterr()
    assert "written: out/here/toy_speed.md, out/here/toy_speed.csv" in captured.out
    assert captured.err == "others use this machine (load 1.3): read the ratios, not the speeds\n"


def test_what_cannot_be_written_is_refused_before_anything_is_measured(toy, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot write file/below: file is no folder to write into"):
        benchmark.main(["toy", "folder=file/below"])
    with pytest.raises(ConfigurationError, match="unknown key cases"):
        benchmark.main(["toy", "cases=[dqn]"])
    assert toy == []


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ConfigurationError, match=r"not 'sped' \(did you mean 'speed'\?\); --list shows them all"):
        benchmark.main(["sped"])
    with pytest.raises(
        ConfigurationError, match="not 'repetitions=1'; benchmarks: speed, members, scaling, breakdown, "
    ):
        benchmark.main(["repetitions=1"])
