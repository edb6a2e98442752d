import pytest

from rlx import cli, registry
from rlx.runner.settings import RunSettings
from rlx.settings import settings_of


@pytest.fixture(scope="module")
def text():
    return cli.train_help()


def test_it_fits_120_columns(text):
    assert max(len(line) for line in text.splitlines()) <= 120


def test_it_names_every_agent_environment_and_field(text):
    for name in registry.agents():
        assert f"\n{name}: " in text
        for field, setting in settings_of(registry.agent_class(name)).items():
            assert f"agent.{field}=" in text
            assert setting.doc.split()[-1] in text
    for name in registry.environments():
        assert name in text
    for field, setting in settings_of(RunSettings).items():
        assert f"\n  {field}=" in text
        assert setting.doc in " ".join(text.split())


@pytest.mark.parametrize(
    "line",
    [
        "num_seeds=1                          [1, 65536]        members, with consecutive seeds",
        "run_dir=null                                           folder of the run",
        "eval_mode=greedy                     greedy|sample     how the evaluated policy acts",
        "agent.hidden_sizes=[64,64]           [1, inf)          hidden units of the actor",
        "env.backend=spring                   brax/* only       physics: spring, positional, generalized, mjx",
    ],
)
def test_a_line_states_default_range_and_meaning(line, text):
    assert f"\n  {line}" in text


def test_the_options_of_a_task_are_listed_on_demand():
    cart_pole = cli.train_help(["agent=dqn", "env=gymnax/CartPole-v1"])
    assert "env.gravity=9.8" in cart_pole
    assert "max_steps_in_episode" not in cart_pole
    reacher = cli.train_help(["env=gymnax/Reacher-misc"])
    assert "env.num_joints=2" in reacher
    assert "env.action_repeat=1" in cli.train_help(["env=playground/PointMass"])
    assert "no further options" in cli.train_help(["env=brax/reacher"])


@pytest.mark.parametrize("name", ["train", "evaluate", "plot", "demo", "reproduce", "benchmark", "kill_resume"])
def test_a_script_prints_its_help_and_does_nothing_else(name, script, folder, monkeypatch, capsys):
    module = script(name)
    monkeypatch.setattr("sys.argv", [name, "seed=1", "--help"])
    cli.main(lambda words: pytest.fail("it ran"), lambda: module.__doc__)
    assert f"experiments/{name}.py" in capsys.readouterr().out
    assert list(folder.iterdir()) == []
