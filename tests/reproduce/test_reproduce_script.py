"""From the command line to the files: what is computed, written, resumed and refused."""

import csv
import json
import re
import sys

import pytest
from toy_tables import COUNT, write_table

from rlx import cli


def run(script, monkeypatch, *words):
    """The exit code of the script with these words."""
    monkeypatch.setattr("sys.argv", ["reproduce.py", *words])
    monkeypatch.setattr("os._exit", sys.exit)
    try:
        cli.main(script.main, str)
    except SystemExit as exit_:
        return exit_.code
    return 0


def written(folder):
    """Every file below ``folder`` with its bytes, but for the time that computing took."""
    files = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {name: re.sub(rb"Computing time: .*", b"", content) for name, content in files.items()}


def read_csv(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_a_table_is_computed_and_written(script, papers):
    script.main(["toy/count"])
    folder = papers.parent / "results" / "toy" / "count"
    names = {str(name) for name in written(folder)}
    assert names == {"table.md", "table.csv", "verdict.md", "figures/count.png"}
    # Two scores: both are drawn, or either alone twice with probability 1/4, so the interval ends at the scores.
    assert read_csv(folder / "table.csv") == [
        {"step": "1", "metric": "total", "published": "5.5", "ours": "6.0", "low": "4.0", "high": "8.0"}
        | {"budget": "4 steps", "seeds": "2"},
        {"step": "2", "metric": "total", "published": "", "ours": "10.0", "low": "8.0", "high": "12.0"}
        | {"budget": "4 steps", "seeds": "2"},
    ]
    table = (folder / "table.md").read_text()
    assert "| step | metric | published | ours (mean) | 95 % interval | seeds |\n" in table
    assert "| 1 | total | 5.5 | 6 | 4 to 8 | 2 |\n| 2 | total |  | 10 | 8 to 12 | 2 |\n" in table
    for part in ("# Counting\n", "Toy, 2020", "4 steps, 2 seeds", "Published: Table 1.", "Nothing is reduced."):
        assert part in table


def test_every_claim_has_a_verdict(script, papers, capsys):
    script.main(["toy/count"])
    verdict = (papers.parent / "results" / "toy" / "count" / "verdict.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in verdict.splitlines() if line.startswith("|")]
    assert rows[2:] == [
        ["larger steps go further", "2 is above 1", "6 and 10", "holds"],
        ["steps go backwards", "a total is negative", "none is", "does not hold"],
        ["steps go on for ever", "they do", "4 chunks", "not decidable at this budget"],
    ]
    assert "Claims: 1 holds, 1 does not hold, 1 not decidable at this budget.\n" in verdict
    assert "does not hold: steps go backwards (none is)" in capsys.readouterr().out


def test_how_it_was_made_is_told_without_naming_the_machine(script, papers):
    script.main(["toy/count", "seeds=2", f"results={papers.parent / 'elsewhere'}"])
    folder = papers.parent / "elsewhere" / "toy" / "count"
    for name in ("table.md", "verdict.md"):
        text = (folder / name).read_text()
        assert "Command: `python experiments/reproduce.py toy/count scale=small seeds=2`" in text
        assert re.search(r"Versions: Python 3\.\d+\.\d+, rlx \S+, jax \S+, jaxlib \S+, numpy \S+, flax \S+", text)
        assert "Device: 8 x cpu (cpu)" in text
        assert re.search(r"Computing time: \d+:\d\d\n", text)
        assert str(papers.parent) not in text


def test_what_trainings_wrote_down_of_themselves_is_what_is_told(script, papers):
    script.main(["toy/count"])
    folders = sorted((papers.parent / "runs").rglob("count?-*"))
    assert len(folders) == 2
    for folder, python in zip(folders, ("3.12.3", "3.13.0"), strict=True):
        versions = dict.fromkeys(("rlx", "jax", "jaxlib", "numpy", "flax", "optax", "gymnax", "brax"), "9.9")
        began = {"python": python, "versions": versions, "git_commit": "abc", "device": "1 x made-up (gpu)"}
        (folder / "metadata.json").write_text(json.dumps(began))
    script.main(["toy/count"])
    text = (papers.parent / "results" / "toy" / "count" / "table.md").read_text()
    assert "Versions: Python 3.12.3, rlx 9.9, jax 9.9, jaxlib 9.9, numpy 9.9, flax 9.9, optax 9.9, gymnax 9.9, " in text
    assert "; Python 3.13.0, rlx 9.9" in text
    assert "Commit: abc\n" in text
    assert "Device: 1 x made-up (gpu)\n" in text


def test_what_is_there_is_not_computed_again(script, papers):
    script.main(["toy/count"])
    first = written(papers.parent / "results")
    script.main(["toy/count"])
    assert (papers.parent / "calls").read_text() == "1:0 1:1 1:2 1:3 2:0 2:1 2:2 2:3 "
    assert written(papers.parent / "results") == first


def test_another_number_of_seeds_is_another_run(script, papers):
    script.main(["toy/count"])
    script.main(["toy/count", "seeds=1"])
    rows = read_csv(papers.parent / "results" / "toy" / "count" / "table.csv")
    # A single score has no interval.
    assert [(row["ours"], row["low"], row["high"], row["seeds"]) for row in rows] == [
        ("4.0", "", "", "1"),
        ("8.0", "", "", "1"),
    ]
    assert len((papers.parent / "calls").read_text().split()) == 16
    script.main(["toy/count", "seeds=2"])  # these are still there
    assert len((papers.parent / "calls").read_text().split()) == 16


def test_the_scales_do_not_overwrite_each_other(script, papers):
    script.main(["toy/count"])
    small = written(papers.parent / "results" / "toy" / "count")
    script.main(["toy/count", "scale=paper"])
    both = written(papers.parent / "results" / "toy" / "count")
    assert {name: both[name] for name in small} == small
    paper = papers.parent / "results" / "toy" / "count" / "paper"
    assert "| only far away | at the paper's scale |" in (paper / "verdict.md").read_text()
    assert "scale=paper`" in (paper / "table.md").read_text()
    assert {row["seeds"] for row in read_csv(paper / "table.csv")} == {"3"}
    script.main(["toy/count"])
    assert written(papers.parent / "results" / "toy" / "count") == both


def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on(listening, script, papers, monkeypatch, capsys):
    assert run(script, monkeypatch, "toy/count") == 0
    whole = written(papers.parent / "results")
    (papers.parent / "runs").rename(papers.parent / "before")
    (papers.parent / "calls").unlink()
    (papers.parent / "interrupt").touch()
    capsys.readouterr()
    assert run(script, monkeypatch, "toy/count") == 130
    assert (papers.parent / "calls").read_text() == "1:0 "
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == (
        "interrupted; the same command goes on: python experiments/reproduce.py toy/count"
    )
    assert captured.err == ""
    assert run(script, monkeypatch, "toy/count") == 0
    assert (papers.parent / "calls").read_text() == "1:0 1:1 1:2 1:3 2:0 2:1 2:2 2:3 "
    assert written(papers.parent / "results") == whole


def test_an_error_while_drawing_leaves_the_former_files(script, papers, monkeypatch):
    script.main(["toy/count"])
    first = written(papers.parent / "results")
    monkeypatch.setattr("rlx.report.figures.save", lambda figure, stem: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        script.main(["toy/count", "seeds=3"])
    assert written(papers.parent / "results") == first


def test_a_score_that_is_not_a_number_fails_and_what_was_done_stays(script, papers, monkeypatch, capsys):
    write_table(papers, "toy/wild", COUNT.replace("np.arange(len(total))", "np.nan"))
    assert run(script, monkeypatch, "toy/wild") == 1
    assert "failed: total of step=1 is infinite or NaN" in capsys.readouterr().err
    assert not (papers.parent / "results").exists()
    assert len(list((papers.parent / "runs" / "reproduce" / "toy" / "wild").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy/cont"], "unknown table 'toy/cont' (did you mean 'toy/count'?); --list shows them all"),
        (["toy"], "unknown table 'toy'; tables: toy/cart, toy/count; --list shows them all"),
        (["scale=small"], "the first word names a table, as PAPER/TABLE, not 'scale=small'; --list shows them all"),
        (["--lst"], "the first word names a table, as PAPER/TABLE, not '--lst'; --list shows them all"),
        (["toy/count", "scale=large"], "scale=large is no choice; choose one of small, paper"),
        (["toy/cart", "scale=paper"], "toy/cart has no scale=paper; it has small"),
        (["toy/count", "seeds=0"], "seeds=0 is out of range; it must lie in [1, 65536]"),
        (["toy/count", "seed=1"], "unknown key seed (did you mean 'seeds'?)"),
        (["toy/count", "results=file"], "cannot write file/toy/count: file is no folder to write into; choose another"),
        (["toy/none"], "papers/toy/none.py gives no table (AttributeError: module 'papers.toy.none' has no attr"),
        (["toy/type"], "papers/toy/type.py gives no table (TypeError: TABLE is of type dict, not Table); mend it"),
        (["toy/jobs"], "papers/toy/jobs.py gives no table (ZeroDivisionError: division by zero); mend it"),
        (["toy/word"], "training learning_rat: unknown key agent.learning_rat (did you mean 'agent.learning_rate'?)"),
        (["toy/name"], "a job is called 'one'; give each a name of its own, without /"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words, message, script, papers, monkeypatch, capsys):
    write_table(papers, "toy/none", "TABEL = 1")
    write_table(papers, "toy/type", "TABLE = {}")
    write_table(papers, "toy/jobs", COUNT.replace("job(step, scale.seeds) for", "1 / 0 for"))
    write_table(papers, "toy/name", COUNT.replace('f"count{step}", settings', '"one", settings'))
    told = "'dqn', 'gymnax/CartPole-v1', {key: 0.1}"
    trainings = f"Training(key, {told}) for key in ('learning_rate', 'learning_rat')"
    text = COUNT.replace("job(step, scale.seeds) for step in STEPS", trainings)
    write_table(papers, "toy/word", text.replace("import Chunked", "import Training, Chunked"))
    (papers.parent / "file").touch()
    if words == ["toy"]:
        for name in ("none", "type", "jobs", "word", "name"):
            (papers / "toy" / f"{name}.py").unlink()
    assert run(script, monkeypatch, *words) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.replace(papers.name, "papers").startswith(f"error: {message}")
    assert captured.out == ""
    assert {path.name for path in papers.parent.iterdir()} == {papers.name, "file"}


def test_the_list_shows_cost_and_what_is_there_and_which_table_is_broken(script, papers, monkeypatch, capsys):
    write_table(papers, "toy/broken", "import nothing_of_that_name")
    write_table(papers, "toy/_helper", "1 / 0")
    assert run(script, monkeypatch, "--list") == 0
    lines = capsys.readouterr().out.replace(papers.name, "papers").splitlines()
    assert lines[:6] == [
        "toy/broken: papers/toy/broken.py gives no table (ModuleNotFoundError: No module named "
        "'nothing_of_that_name'); mend it",
        "toy/cart: Balancing",
        "  scale=small: 400 steps, 2 seeds; cost: seconds; there: nothing yet",
        "toy/count: Counting",
        "  scale=small: 4 steps, 2 seeds; cost: nothing; there: nothing yet",
        "  scale=paper: 4 steps, 3 seeds; cost: hardly more; there: nothing yet",
    ]
    assert not (papers.parent / "runs").exists()


def test_the_list_tells_finished_runs_and_results(listening, script, papers, monkeypatch, capsys):
    assert run(script, monkeypatch, "toy/count") == 0
    (papers.parent / "interrupt").touch()
    assert run(script, monkeypatch, "toy/count", "scale=paper") == 130
    assert run(script, monkeypatch, "toy/count", "scale=paper", "results=other") == 0
    capsys.readouterr()
    assert run(script, monkeypatch) == 0  # without a word it lists, too
    out = capsys.readouterr().out
    assert "there: 2 of 2 runs, results in results/toy/count\n" in out
    assert "cost: hardly more; there: 2 of 2 runs\n" in out
    assert "python experiments/reproduce.py PAPER/TABLE" in out


def test_a_helper_of_a_paper_can_be_imported(script, papers):
    write_table(papers, "toy/_shared", COUNT)
    write_table(papers, "toy/borrowed", f"from {papers.name}.toy._shared import TABLE")
    script.main(["toy/borrowed"])
    assert (papers.parent / "results" / "toy" / "borrowed" / "table.md").exists()


def test_notes_beside_a_table_are_on_its_page(script, papers):
    (papers / "toy" / "count.md").write_text("Budgets are *tiny*,\nand that is all.\n")
    script.main(["toy/count"])
    table = (papers.parent / "results" / "toy" / "count" / "table.md").read_text()
    assert "\n\nBudgets are *tiny*,\nand that is all.\n\n![count](figures/count.png)\n" in table
    assert "Nothing is reduced." not in table
