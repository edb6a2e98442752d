"""The scripts from end to end: a run, its interruption and its resumption, evaluation, plots, the demo, exit codes."""

import errno
import json
import shutil
import signal
import subprocess
import sys

import pytest
import yaml
from command_lines import EXPERIMENTS, TINY, contents

import rlx
from rlx import build, cli


def steps_logged(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def checkpoints(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


def test_a_run_leaves_what_reports_and_resumed_runs_read(run):
    assert steps_logged(run) == [0, 0, 32, 32, 64, 64, 96, 96]
    assert checkpoints(run)[-1] == 96
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["agent"]["name"], config["agent"]["hidden_sizes"]) == ("ppo", [8])
    assert (config["env"]["name"], config["env"]["max_episode_steps"]) == ("gymnax/CartPole-v1", 500)
    assert (config["run"]["total_steps"], config["run"]["num_seeds"]) == (96, 2)
    assert json.loads((run / "metadata.json").read_text())["versions"]["rlx"]


def test_a_finished_run_is_left_alone(script, run, capsys):
    before = contents(run)
    script("train").train([f"resume={run}"])
    assert f"{run} is finished, at step 96" in capsys.readouterr().out
    assert contents(run) == before


def test_a_run_killed_while_it_compiled_begins_anew(script, run, folder):
    started = folder / "run"
    started.mkdir()
    for name in ("config.yaml", "metadata.json"):
        shutil.copy(run / name, started)
    script("train").train([f"resume={started}"])
    assert steps_logged(started) == steps_logged(run)
    assert checkpoints(started)[-1] == 96


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(script, folder, monkeypatch, capsys, signum, code):
    evaluate = rlx.verbs.Run._evaluate

    def interrupted(self, *given):
        yield from evaluate(self, *given)
        signal.raise_signal(signum)

    monkeypatch.setattr("rlx.verbs.Run._evaluate", interrupted)
    monkeypatch.setattr("sys.argv", ["train.py", *TINY, "num_seeds=2", "run_dir=a run"])
    monkeypatch.setattr("os._exit", sys.exit)
    with pytest.raises(SystemExit) as exit_:
        cli.main(script("train").train, str)
    assert exit_.value.code == code
    assert "interrupted and saved; resume=a run goes on" in capsys.readouterr().out
    assert steps_logged(folder / "a run") == [0, 0]

    monkeypatch.undo()
    script("train").train([f"resume={folder / 'a run'}"])
    assert steps_logged(folder / "a run") == [0, 0, 32, 32, 64, 64, 96, 96]


def test_a_run_that_cannot_be_written_is_drawn_and_plotted_here(script, run, folder, monkeypatch, capsys):
    before = contents(run)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    script("plot").plot([f"run={run}"])
    script("evaluate").evaluate([f"run={run}"])
    printed = capsys.readouterr().out
    assert "learning curve: tiny-curve.png" in printed
    assert "episode drawn in tiny-episodes/seed0-step96.gif" in printed
    assert (folder / "tiny-curve.png").is_file()
    assert (folder / "tiny-episodes" / "seed0-step96.gif").is_file()
    assert contents(run) == before


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "x"),
            "failed: cannot write or read x: No space left on device",
        ),
        (MemoryError(), "failed: memory ran out; a smaller num_seeds"),
    ],
)
def test_what_fails_from_outside_is_one_line(monkeypatch, capsys, error, line):
    def failing(words):
        raise error

    monkeypatch.setattr("sys.argv", ["x.py"])
    with pytest.raises(SystemExit) as exit_:
        cli.main(failing, str)
    assert exit_.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1


def test_an_evaluation_is_reproduced_and_drawn(script, run, folder, capsys):
    copy = shutil.copytree(run, folder / "run")
    script("evaluate").evaluate([f"run={copy}", "member=1"])
    printed = capsys.readouterr().out
    assert "equal to the logged evaluation, bit for bit" in printed
    assert printed.count("  seed ") == 2
    (picture,) = (copy / "episodes").iterdir()
    assert picture.name == "seed1-step96.gif"
    assert picture.read_bytes().startswith(b"GIF89a")


def test_an_evaluation_that_differs_is_told(script, run, folder, capsys):
    copy = shutil.copytree(run, folder / "run")
    log = copy / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    rows[-1]["evaluation/returns"][0] += 1.0
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    script("evaluate").evaluate([f"run={copy}", "draw=false"])
    assert "not equal to the logged evaluation" in capsys.readouterr().out
    assert not (copy / "episodes").exists()


def test_runs_are_plotted_together(script, run, folder, capsys):
    other = shutil.copytree(run, folder / "other")
    script("plot").plot([f"run={other}"])
    script("plot").plot([f"runs=[{run},{other}]", "out=both.svg", "key=update/loss", "title=Two runs"])
    assert (other / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "both.svg").read_text().count("<svg") == 1
    assert "learning curve: both.svg" in capsys.readouterr().out


def test_the_demo_trains_plots_and_names_the_folders(script, run, folder, monkeypatch, capsys):
    trained = []

    def train(agent, env, **settings):
        trained.append((build.agent_name(agent), env.name, settings["num_seeds"]))
        return rlx.load(shutil.copytree(run, folder / f"run{len(trained)}"))

    monkeypatch.setattr("rlx.train", train)
    demo = script("demo")
    demo.demo([])
    assert [agent for agent, _, _ in trained] == ["ppo", "dqn"]
    assert trained[0][1].startswith("brax/")
    assert all(num_seeds > 1 for _, _, num_seeds in trained)
    printed = capsys.readouterr().out
    for made in (folder / "run1", folder / "run2"):
        assert f"run folder:     {made}\n" in printed
        assert f"learning curve: {made / 'curve.png'}\n" in printed
        assert (made / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(rlx.ConfigurationError, match="unknown key seed"):
        demo.demo(["seed=1"])


def command(*words):
    return subprocess.run(
        [sys.executable, EXPERIMENTS / "train.py", *words],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_exit_code_2_and_one_line_for_a_refused_configuration(folder):
    done = command("agent=pop", "run_dir=here")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: unknown agent 'pop' (did you mean 'ppo'?); agents: {', '.join(cli.presets())}\n"
    assert "ppo, revalued" in done.stderr
    assert list(folder.iterdir()) == []


def test_exit_code_1_and_one_line_for_a_run_that_yields_nan(script, folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.py", "env=rlx/probe-nan", *TINY, "run_dir=here"])
    with pytest.raises(SystemExit) as exit_:
        cli.main(script("train").train, str)
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("failed: an evaluation return of seed 0 is infinite or NaN by step 0; ")
    assert "here/failed" in line
    assert "check the environment's rewards and observations" in line
    assert (folder / "here" / "failed").is_dir()
    assert list((folder / "here" / "checkpoints").iterdir()) == []


def test_exit_code_0_for_a_run(folder):
    done = command(*TINY, "num_seeds=2", "run_dir=here")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run folder: here" in done.stdout
    assert steps_logged(folder / "here") == [0, 0, 32, 32, 64, 64, 96, 96]
