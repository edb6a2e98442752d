"""The words of ``experiments/sweep.py`` and the files that it and ``train.py`` read."""

import pytest

from rlx import cli
from rlx.compose import CONFIGS
from rlx.errors import ConfigurationError
from rlx.settings import settings_of
from rlx.sweeps.define import define
from rlx.sweeps.settings import SweepSettings

FILE = """
agent: dqn
agent.replay_size: 1000
env: gymnax/CartPole-v1
num_seeds: 4
sweep:
  agent.learning_rate: log(1e-4, 1e-2, 3)
  agent.discount: [0.9, 0.99]
"""


def test_axes_are_kept_as_they_are_written():
    values = cli.parse_sweep(["agent=dqn", "sweep.agent.learning_rate=log(1e-4,1e-2,3)", "num_points=1e2"])
    assert values == {"agent": "dqn", "sweep.agent.learning_rate": "log(1e-4,1e-2,3)", "num_points": 100.0}


def test_words_stand_above_those_of_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(FILE)
    values = cli.parse_sweep([f"sweep={tmp_path / 'mine.yaml'}", "num_seeds=2", "sweep.agent.discount=[0.5]"])
    assert values == {
        "agent": "dqn",
        "agent.replay_size": 1000,
        "env": "gymnax/CartPole-v1",
        "num_seeds": 2,
        "sweep.agent.learning_rate": "log(1e-4, 1e-2, 3)",
        "sweep.agent.discount": "[0.5]",
    }


@pytest.mark.parametrize("name", sorted(file.stem for file in (CONFIGS / "sweep").glob("*.yaml")))
def test_a_sweep_that_is_shipped_can_run(name):
    definition, _ = define(cli.parse_sweep([f"sweep={name}"]))
    assert len(definition.points) >= 5


def test_train_takes_the_keys_of_a_file(tmp_path):
    (tmp_path / "best.yaml").write_text("agent: dqn\nagent.learning_rate: 1e-3\nenv: gymnax/CartPole-v1\n")
    config = cli.compose_config([f"config={tmp_path / 'best.yaml'}", "agent.discount=0.5"])
    assert (config.agent["name"], config.agent["learning_rate"], config.agent["discount"]) == ("dqn", 1e-3, 0.5)


@pytest.mark.parametrize(
    ("text", "mistake", "remedy"),
    [
        (None, "cannot read", "give a YAML file of keys and values"),
        ("[1, 2]", "must hold keys and values", "agent.learning_rate: 1e-3"),
        ("{a: [", "cannot read", "give a YAML file of keys and values"),
        ("agent.learning_rat: 1", "unknown key agent.learning_rat", "'agent.learning_rate'"),
        ("config: other.yaml", "unknown key config", "--help"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_in_one_line(text, mistake, remedy, tmp_path):
    file = tmp_path / "best.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        cli.compose_config([f"config={file}"])
    assert mistake in str(refusal.value)
    assert remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_help_names_every_key():
    text = cli.sweep_help()
    assert max(len(line) for line in text.splitlines()) <= 120
    for name, setting in settings_of(SweepSettings).items():
        assert f"\n  {name}=" in text
        assert setting.doc in " ".join(text.split())
    assert "ppo_cartpole" in text


def test_a_sweep_that_is_stopped_says_how_to_go_on(script, folder, monkeypatch, capsys):
    def stopped(values):
        raise KeyboardInterrupt

    monkeypatch.setattr("rlx.sweeps.sweep.sweep", stopped)
    with pytest.raises(KeyboardInterrupt):
        script("sweep").sweep(["sweep.agent.discount=[0.9,0.99]", "sweep_dir=here"])
    said = capsys.readouterr().out
    assert "goes on: python experiments/sweep.py 'sweep.agent.discount=[0.9,0.99]' sweep_dir=here" in said
