"""A sweep among a table's jobs: it is told by one of its trainings, goes on, and gives each point's returns."""

import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.loggers.jsonl import read_rows
from rlx.reproduce.jobs import Training, job_folder
from rlx.reproduce.perform import perform
from rlx.reproduce.sweeping import Sweep, point_returns, swept

TRAINING = Training(
    "cart",
    agent="ppo",
    env="gymnax/CartPole-v1",
    agent_fields={"num_envs": 4, "rollout_length": 8, "num_minibatches": 2, "hidden_sizes": [8], "learning_rate": 1e-3},
    env_fields={"max_episode_steps": 20},
    run_fields={"total_steps": 288, "num_seeds": 2, "num_evaluations": 3, "eval_episodes": 2, "num_checkpoints": 1},
    weight=3.0,
)
RATES = {"agent.learning_rate": [1e-4, 1e-2]}


def test_a_sweep_has_the_values_of_its_training():
    job = swept(TRAINING, RATES)
    assert (job.name, job.weight) == ("cart", 3.0)
    assert job.settings["space"] == {"agent.learning_rate": "[0.0001, 0.01]"}
    assert job.settings["agent"]["num_envs"] == 4
    assert job.settings["env"]["max_episode_steps"] == 20
    assert job.settings["run"]["total_steps"] == 288


def test_its_folder_follows_from_its_axes(tmp_path):
    folders = [job_folder(swept(TRAINING, {"agent.learning_rate": rates}), tmp_path) for rates in ([1e-4], [1e-3])]
    assert folders[0] != folders[1]


def test_what_cannot_be_swept_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"sweep cart: .*learning_rate=-1"):
        swept(TRAINING, {"agent.learning_rate": [1e-3, -1]}).check()


def test_it_runs_once_and_gives_the_returns_of_each_point(tmp_path, capsys, monkeypatch):
    job = swept(TRAINING, RATES)
    (folder,) = perform("toy", [job], tmp_path).values()
    assert job.finished(folder)
    assert job.seconds(folder) > 0
    rows = read_rows(folder / "runs" / "00000" / "metrics.jsonl")
    for number, rate in enumerate(RATES["agent.learning_rate"]):
        found = point_returns(folder, {"agent.learning_rate": rate})
        for seed in (0, 1):
            logged = [row["evaluation/return_mean"] for row in rows if row["member"] == 2 * number + seed]
            np.testing.assert_array_equal(found[seed], logged)
    with pytest.raises(ConfigurationError, match="has no point"):
        point_returns(folder, {"agent.learning_rate": 0.5})
    assert "sweep folder" not in capsys.readouterr().out
    monkeypatch.setattr(Sweep, "run", lambda *arguments: pytest.fail("it runs again"))
    perform("toy", [job], tmp_path)


def test_an_interrupted_one_is_not_finished(tmp_path, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("rlx.reproduce.sweeping.sweep", interrupted)
    tmp_path.joinpath("folder").mkdir()
    assert not swept(TRAINING, RATES).run(tmp_path / "folder", print)
    assert not swept(TRAINING, RATES).finished(tmp_path / "folder")
