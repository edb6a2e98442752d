"""A training among a table's jobs: it goes on from its checkpoint, and its folder follows from every field."""

import signal

import numpy as np
import pytest
from toy_tables import load

from rlx import cli
from rlx.errors import ConfigurationError
from rlx.loggers.jsonl import read_rows
from rlx.reproduce import catalogue
from rlx.reproduce.jobs import Training, job_folder, returns
from rlx.reproduce.perform import perform
from rlx.runner.run import RunFailed


def rows(folder):
    return [{k: v for k, v in row.items() if k != "wall_time"} for row in read_rows(folder / "metrics.jsonl")]


def test_an_interrupted_training_goes_on_to_the_same_numbers(listening, papers, tmp_path, monkeypatch, capsys):
    table = catalogue.find(papers, "toy/cart").load()
    jobs = table.jobs(table.scales["small"])
    (whole,) = perform("toy/cart", jobs, tmp_path / "whole").values()
    assert jobs[0].seconds(whole) > 0.0

    run = Training.run

    def interrupting(self, folder, progress):
        def told(share):
            progress(share)
            if share > 0.3:
                signal.raise_signal(signal.SIGINT)
                monkeypatch.undo()

        return run(self, folder, told)

    monkeypatch.setattr(Training, "run", interrupting)
    with pytest.raises(KeyboardInterrupt):
        perform("toy/cart", jobs, tmp_path / "broken")
    (broken,) = (tmp_path / "broken").iterdir()
    assert not jobs[0].finished(broken)
    perform("toy/cart", jobs, tmp_path / "broken")
    assert jobs[0].finished(broken)
    assert rows(broken) == rows(whole)
    steps, values = returns(broken)
    assert steps.tolist() == [0, 200, 400]
    assert values.shape == (2, 3)
    assert np.isfinite(values).all()
    printed = capsys.readouterr().out
    assert "run folder" not in printed  # of the single run
    assert "100 %, run 1 of 1, dqn" in printed


def test_one_killed_before_it_had_begun_begins_anew(papers, tmp_path):
    table = catalogue.find(papers, "toy/cart").load()
    (job,) = table.jobs(table.scales["small"])
    folder = job_folder(job, tmp_path)
    folder.mkdir()
    (folder / "metadata.json").write_text("{")
    assert job.run(folder, lambda share: None)


def test_the_folder_follows_from_every_field_but_where_it_logs(papers):
    catalogue.find(papers, "toy/cart").load()
    training = load(papers, "toy/cart").training

    def folder(**changes):
        return job_folder(training(**changes), papers).name

    assert folder(run={"seed": 0}) == folder(agent={"discount": 0.99}) == folder(run={"wandb_project": "other"})
    changed = {
        folder(**changes)
        for changes in (
            {"run": {"seed": 1}},
            {"run": {"num_seeds": 3}},
            {"agent": {"discount": 0.9}},
            {"env": {"gravity": 9.0}},
        )
    }
    assert len(changed | {folder()}) == 5


def test_values_come_to_the_same_configuration_as_words():
    words = ["agent=mbma_code", "agent.num_extras=3", "agent.hidden_sizes=[8]", "env=brax/reacher"]
    words += ["env.backend=generalized", "env.sticky_actions=0.25", "total_steps=1e4", "seed=1"]
    config = cli.compose_config(words)
    values = Training(
        "same",
        agent="mbma_code",
        env="brax/reacher",
        agent_fields={"num_extras": 3, "hidden_sizes": (8,)},
        env_fields={"backend": "generalized", "sticky_actions": 0.25},
        run_fields={"total_steps": 10_000, "seed": 1},
    ).settings
    assert values["agent"] == config.agent
    assert values["env"] == config.env
    assert values["run"].items() <= config.run.items()
    assert values["agent"]["model_updates"] == 640  # of the preset


def test_all_trainings_are_checked_before_the_first_one_runs(tmp_path):
    cart = "gymnax/CartPole-v1"
    good = Training("good", "dqn", cart)
    for bad, message in (
        (Training("bad", "dqn", "gymnax/CartPol-v1"), "training bad: unknown environment"),
        (Training("bad", "dqn", "brax/ant"), "needs a discrete"),
        (Training("bad", "dqm", cart), "training bad: unknown agent 'dqm' .did you mean 'dqn'"),
        (Training("bad", "dqn", cart, run_fields={"total_step": 1}), "training bad: unknown key total_step "),
        (Training("bad", "dqn", cart, env_fields={"gravty": 1}), "training bad: .* no option 'gravty'"),
        (Training("bad", "dqn", cart, run_fields={"run_dir": "here"}), "training bad: it names a run_dir; leave that"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            perform("toy", [good, bad], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_yields_nan_fails_and_what_was_done_stays(tmp_path):
    tiny = {"num_envs": 4, "rollout_length": 8, "num_minibatches": 2, "hidden_sizes": [8]}
    run = {"total_steps": 96, "eval_episodes": 2, "tensorboard": False}
    job = Training("nan", "ppo", "rlx/probe-nan", agent_fields=tiny, run_fields=run)
    with pytest.raises(RunFailed, match="infinite or NaN"):
        perform("toy", [job], tmp_path)
    (folder,) = tmp_path.iterdir()
    assert (folder / "failed").is_dir()
    assert not job.finished(folder)
