"""What the command line understands, down to the values that reach the agent, the environment and the run."""

import dataclasses
import shutil

import pytest

import rlx
from rlx import cli, compose, registry
from rlx.runner.settings import RunSettings
from rlx.settings import hyper, settings_of
from rlx.types import Discrete


def test_without_words_everything_has_its_default():
    config = cli.compose_config([])
    assert config.agent["name"] == "ppo"
    assert config.env["name"] == "gymnax/CartPole-v1"
    assert config.run == {name: setting.default for name, setting in settings_of(RunSettings).items()}


@pytest.mark.parametrize("name", registry.agents())
def test_every_agent_has_a_preset_that_states_its_fields(name):
    assert name in cli.presets()
    config = cli.compose_config([f"agent={name}"])
    fields = settings_of(registry.agent_class(name))
    assert config.agent == {
        "name": name,
        **{key: list(s.default) if isinstance(s.default, tuple) else s.default for key, s in fields.items()},
    }


READ = {
    "total_steps=1e6": ("run", "total_steps", 1_000_000),
    "total_steps=1_000": ("run", "total_steps", 1_000),
    "num_seeds=4.0": ("run", "num_seeds", 4),
    "run_dir=null": ("run", "run_dir", None),
    "run_dir=1e5": ("run", "run_dir", "1e5"),
    "run_dir=true": ("run", "run_dir", "true"),
    "run_dir=a b": ("run", "run_dir", "a b"),
    "run_dir='a b'": ("run", "run_dir", "a b"),
    "run_dir=it's": ("run", "run_dir", "it's"),
    "run_dir=a=1,b=[2](3)~": ("run", "run_dir", "a=1,b=[2](3)~"),
    r"run_dir=a\b": ("run", "run_dir", r"a\b"),
    "run_dir=runs/seed-${seed}": ("run", "run_dir", "runs/seed-0"),
    "tensorboard=false": ("run", "tensorboard", False),
    "agent=dqn": ("agent", "name", "dqn"),
    "agent.learning_rate=1e-4": ("agent", "learning_rate", 1e-4),
    "agent.learning_rate=1": ("agent", "learning_rate", 1),
    "agent.trace_decay=${agent.discount}": ("agent", "trace_decay", 0.99),
    "agent.hidden_sizes=[32,32]": ("agent", "hidden_sizes", [32, 32]),
    "agent.hidden_sizes=[32, 32]": ("agent", "hidden_sizes", [32, 32]),
    "agent.hidden_sizes=[]": ("agent", "hidden_sizes", []),
    "agent.anneal=False": ("agent", "anneal", False),
    "env=brax/ant": ("env", "name", "brax/ant"),
    "env.gravity=12": ("env", "gravity", 12),
    "env.backend=positional": ("env", "backend", "positional"),
    "env.reset_mode=pool": ("env", "reset_mode", "pool"),
    "env.max_episode_steps=1e2": ("env", "max_episode_steps", 100),
    "env.healthy_z_range=[0.2,1.0]": ("env", "healthy_z_range", [0.2, 1.0]),
}


@pytest.mark.parametrize("word", READ)
def test_a_word_sets_one_value(word):
    group, key, value = READ[word]
    set_to = getattr(cli.compose_config([word]), group)[key]
    assert set_to == value
    assert type(set_to) is type(value)


def test_words_reach_agent_environment_and_run(script, folder, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "rlx.verbs._run", lambda population, env, settings, folder, *_: seen.update(vars()) or rlx.resume("nowhere")
    )
    words = ["agent.num_envs=3", "agent.rollout_length=16", "agent.hidden_sizes=[5,6]", "env=gymnax/Pendulum-v1"]
    words += ["env.discretise=7", "env.reset_mode=cached", "env.max_episode_steps=20", "env.g=3", "num_seeds=2"]
    with pytest.raises(rlx.ConfigurationError, match="nowhere"):
        script("train").train([*words, "run_dir=somewhere"])
    agent = seen["population"].members[0].agent
    assert (agent.num_envs, agent.rollout_length, agent.hidden_sizes) == (3, 16, (5, 6))
    assert seen["env"].spec.action_space == Discrete(7)
    assert (seen["env"].reset_mode, seen["env"].spec.max_episode_steps, seen["env"].params.g) == ("cached", 20, 3.0)
    assert seen["settings"].all_seeds == (0, 1)
    assert str(seen["folder"]) == "somewhere"


def test_what_a_script_takes_is_checked_and_typed():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        name: str = hyper(dataclasses.MISSING, "a name")
        share: float = hyper(0.5, "a share", within="[0, 1]")
        parts: tuple[str, ...] = hyper((), "several")

    settings = cli.parse_settings(["name=runs/a,b", "share=1", "parts=[x/1,y-2]"], Settings)
    assert settings == Settings(name="runs/a,b", share=1.0, parts=("x/1", "y-2"))
    assert type(settings.share) is float
    for words, message in (
        ([], "name= is missing: a name"),
        (["name=a", "share=2"], "share=2 is out of range"),
        (["name=a", "shore=1"], "did you mean 'share'"),
        (["name=a", "name=b"], "name is given twice"),
    ):
        with pytest.raises(rlx.ConfigurationError, match=message):
            cli.parse_settings(words, Settings)


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A copy of ``configs/`` to add to."""
    monkeypatch.setattr(compose, "CONFIGS", shutil.copytree(compose.CONFIGS, tmp_path / "configs"))
    return tmp_path / "configs"


def test_a_preset_states_what_differs_and_words_override_it(configs):
    (configs / "agent" / "slow.yaml").write_text("defaults:\n  - ppo_fields\nlearning_rate: 3e-4\nanneal: false\n")
    assert "slow" in cli.presets()
    agent = cli.compose_config(["agent=slow", "agent.anneal=true", "agent.num_epochs=2"]).agent
    assert agent == cli.compose_config([]).agent | {"learning_rate": 3e-4, "num_epochs": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults:\n  - ppo_fields\nlearning_rat: 1\n", "unknown key agent.learning_rat"),
        ("defaults:\n  - ppo_fields\ndiscount: 2\n", "agent.discount=2 is out of range"),
        ("defaults: [\n", "cannot combine these keys"),
        ("defaults:\n  - none_fields\n", "cannot combine these keys"),
        ("discount: 0.9\n", "configs/agent names no agent; add"),
    ],
)
def test_a_wrong_preset_is_refused(configs, text, message):
    (configs / "agent" / "wrong.yaml").write_text(text)
    with pytest.raises(rlx.ConfigurationError, match=message) as caught:
        cli.compose_config(["agent=wrong"])
    assert "\n" not in str(caught.value)
