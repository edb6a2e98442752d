"""Wrong sweeps: each is refused in one line that names mistake and remedy, before anything is written or compiled."""

import importlib.util

import pytest

import rlx
from rlx import cli
from rlx.sweeps import plan
from rlx.sweeps.define import define

RATE = "sweep.agent.learning_rate=[1e-3,1e-4]"
# Words of the command line, and what the message must hold: the mistake, then the remedy.
REFUSED = {
    "nothing is swept": ("agent=ppo", "nothing is swept", "sweep.KEY="),
    "key of a sweep misspelt": (f"{RATE} num_pionts=3", "unknown key num_pionts", "did you mean 'num_points'"),
    "key of a run misspelt": (f"{RATE} total_step=3", "unknown key total_step", "did you mean 'total_steps'"),
    "axis misspelt": ("sweep.agent.learning_rat=[1,2]", "unknown key agent.learning_rat", "'agent.learning_rate'"),
    "axis of another agent": ("agent=dqn sweep.agent.beta_reg=[0.1]", "belongs to logq, not to dqn", "leave it out"),
    "axis of the task misspelt": ("sweep.env.gravty=[9,10]", "has no option 'gravty'", "did you mean 'gravity'"),
    "axis of the run": ("sweep.total_steps=[100,200]", "the run's, and the same for all points", "sweep agent, env"),
    "axis of the sweep": ("sweep.num_points=[1,2]", "sweeps the sweep itself", "write num_points="),
    "axis set, too": (f"{RATE} agent.learning_rate=1e-3", "is set and swept", "leave out"),
    "axis twice": (f"{RATE} {RATE}", "an axis is given twice", "once"),
    "empty list": ("sweep.agent.discount=[]", "is empty", "give it a value"),
    "empty range": ("sweep.agent.discount=linear(0.9,0.8,3)", "is an empty range", "low end comes first"),
    "grid without an end": ("sweep.agent.discount=linear(0.8,0.9)", "has no end", "draw=random num_points=N"),
    "draws without an end": (f"{RATE} draw=random", "goes on for ever", "num_points=N"),
    "search without an end": (f"{RATE} search=optuna", "goes on for ever", "num_points=N"),
    "number of a grid": (f"{RATE} num_points=3", "goes with draw=random", "a grid has its own"),
    "grid too large": (
        "sweep.agent.discount=linear(0,1,999) sweep.agent.learning_rate=log(1e-5,1,999)",
        "the grid has 998001 points", "draw=sobol",
    ),
    "one point out of range": ("sweep.agent.discount=[0.9,0.99,1.5]", "agent.discount=1.5 is out of range", "[0, 1]"),
    "end of a range out of range": (
        "sweep.agent.discount=linear(0.9,1.1) draw=random num_points=4", "=1.1 is out of range", "[0, 1]"
    ),
    "one point of a wrong type": ("sweep.agent.num_envs=[4,4.5]", "=4.5 has the wrong type", "a whole number"),
    "one preset unknown": ("sweep.agent=[ppo,pop]", "unknown agent 'pop'", "did you mean 'ppo'"),
    "one environment unknown": (
        "sweep.env=[gymnax/CartPole-v1,gymnax/CartPol]", "unknown environment 'gymnax/CartPol'", "'CartPole-v1'"
    ),
    "one pair that does not fit": (
        "sweep.agent=[ppo,dqn] sweep.env=[gymnax/CartPole-v1,gymnax/Pendulum-v1]",
        "dqn needs a discrete action space", "add env.discretise=3",
    ),
    "one pair beyond the counter": (
        "sweep.agent.num_envs=[1,64] total_steps=2147483648 agent.num_minibatches=1", "counted up to", "agent.num_envs"
    ),
    "scale unknown": ("sweep.agent.discount=logg(0.8,0.9,3)", "unknown scale 'logg'", "did you mean 'log'"),
    "engine unknown": (f"{RATE} engine=slrum", "engine=slrum is no choice", "did you mean 'slurm'"),
    "workers of this process": (f"{RATE} workers=4", "goes with engine=ray", "start the command again"),
    "run folder": (f"{RATE} run_dir=here", "run_dir is for one run", "sweep_dir"),
    "halving of too few": (f"{RATE} search=halving", "keeps one in 3 points, and there are 2", "add some"),
    "first rung too high": (
        f"{RATE} search=halving keep_one_in=2 first_rung=500000", "is not below total_steps", "lower it"
    ),
    "rung without halving": (f"{RATE} first_rung=500", "goes with search=halving", "first_rung"),
    "pbt of one point": ("sweep.agent.learning_rate=[1e-3] search=pbt", "a single point", "add some"),
    "pbt of shapes": (
        "sweep.agent.hidden_sizes=[[8],[4]] draw=random num_points=9 search=pbt", "explores real-valued", "add one"
    ),
    "sweep unknown": ("sweep=ppo_cartpol", "no sweep is called 'ppo_cartpol'", "did you mean 'ppo_cartpole'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path, monkeypatch, compilations):
    monkeypatch.chdir(tmp_path)
    words, mistake, remedy = REFUSED[case]
    with compilations() as compiled, pytest.raises(rlx.ConfigurationError) as refusal:
        rlx.sweep(cli.parse_sweep(words.split()))
    message = str(refusal.value)
    assert mistake in message
    assert remedy in message
    assert "\n" not in message
    assert "chunk" not in compiled
    assert list(tmp_path.iterdir()) == []


def test_the_point_that_is_wrong_is_named():
    with pytest.raises(rlx.ConfigurationError, match=r"agent.discount=1.5.*out of range"):
        define({"sweep.agent.discount": [0.9, 1.5], "sweep.agent.learning_rate": [1e-3, 1e-4]})


@pytest.mark.parametrize(
    ("words", "library", "extra"),
    [
        ("engine=ray", "ray", "ray"),
        ("engine=slurm", "submitit", "slurm"),
        ("search=optuna num_points=4", "optuna", "optuna"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(words, library, extra, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == library else found(name, *rest)
    )
    with pytest.raises(rlx.ConfigurationError) as refusal:
        define(cli.parse_sweep([RATE, *words.split()]))
    assert f"needs {library}: pip install 'rlx[{extra}]'" in str(refusal.value)


@pytest.mark.parametrize(
    ("words", "remedy"), [((), "lower num_seeds"), (("points_at_once=2",), "lower points_at_once")]
)
def test_a_plan_that_cannot_fit(words, remedy, tmp_path, monkeypatch):
    """A member of DQN with 10,000 transitions takes over 400 kB."""
    monkeypatch.setattr(plan, "available_bytes", lambda devices: 3_000_000 if words else 300_000)
    values = cli.parse_sweep([RATE, "agent=dqn", "agent.replay_size=10000", f"sweep_dir={tmp_path / 'new'}", *words])
    with pytest.raises(rlx.ConfigurationError, match="do not fit") as refusal:
        rlx.sweep(values)
    assert remedy in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_sweep_or_of_a_run(tmp_path):
    (tmp_path / "sweep.yaml").write_text("base: {agent: ppo}\nspace: {agent.discount: '[0.9]'}\nsweep: {}\n")
    values = {"agent": "ppo", "sweep.agent.discount": [0.9, 0.95], "sweep_dir": str(tmp_path)}
    with pytest.raises(
        rlx.ConfigurationError, match=r"holds another sweep: agent.discount was \[0.9\], not \[0.9, 0.95\]"
    ):
        rlx.sweep(values)
    (tmp_path / "sweep.yaml").unlink()
    (tmp_path / "config.yaml").touch()
    with pytest.raises(rlx.ConfigurationError, match="holds a run; choose another sweep_dir"):
        rlx.sweep(values)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]
