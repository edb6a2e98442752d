import json
from typing import ClassVar

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from flax import struct

import rlx
from rlx.runner import folder as run_folder
from rlx.settings import hyper
from rlx.types import Discrete, EnvSpec, Metrics, Needs
from rlx.verbs import make_settings

# All runs of the same shape, so that they share one compiled program.
TINY = {
    "total_steps": 24,
    "num_seeds": 2,
    "num_evaluations": 2,
    "num_checkpoints": 2,
    "eval_episodes": 3,
    "tensorboard": False,
}


@struct.dataclass
class WalkState:
    params: jax.Array


@struct.dataclass
class Walk:
    """It learns nothing and compiles fast: its one parameter is the probability of action 1."""

    accepts: ClassVar = (Discrete,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = hyper(4, "environments", within="[1, inf)", static=True)
    rollout_length: int = hyper(3, "steps", within="[1, inf)", static=True)
    bias: float = hyper(0.5, "probability of action 1", within="[0, 1]")

    @property
    def needs(self):
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key):
        return WalkState(params=jnp.asarray(self.bias))

    def act(self, state, timestep, key, clock):
        return self.policy(state, timestep, key, "sample"), {}

    def update(self, state, rollout, key, clock):
        return state, Metrics({"reward": rollout.reward.mean()})

    def policy(self, state, timestep, key, mode):
        chosen = jax.random.bernoulli(key, state.params, timestep.reward.shape)
        return jnp.where(mode == "greedy", state.params > 0.5, chosen).astype(jnp.int32)


@pytest.fixture(scope="module")
def env():
    return rlx.make_env("gymnax/CartPole-v1", max_episode_steps=20)


@pytest.fixture(scope="module")
def trained(env, tmp_path_factory):
    path = tmp_path_factory.mktemp("verbs") / "run"
    return rlx.train(Walk(env.spec), env, seed=5, run_dir=str(path), quiet=True, **TINY)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_what_train_returns(trained):
    assert (trained.step, trained.finished) == (24, True)
    assert [(row["step"], row["member"], row["seed"]) for row in rows(trained.folder)] == [
        (0, 0, 5), (0, 1, 6), (12, 0, 5), (12, 1, 6), (24, 0, 5), (24, 1, 6)
    ]  # fmt: skip


def test_evaluation_is_that_of_the_run_unless_told_otherwise(trained, env):
    loaded = rlx.load(trained.folder, agent=Walk(env.spec))
    logged = [row["evaluation/returns"] for row in rows(trained.folder)[-2:]]
    for each in (trained, loaded):
        np.testing.assert_array_equal(rlx.evaluate(each).returns, logged)
    more = rlx.evaluate(loaded, num_episodes=5)
    assert more.returns.shape == (2, 5)
    # Always the same action against a coin: balanced for longer.
    sampled = rlx.evaluate(loaded, num_episodes=200, mode="sample")
    assert sampled.returns.mean() > rlx.evaluate(loaded, num_episodes=200).returns.mean() + 5
    with pytest.raises(rlx.ConfigurationError, match="eval_episodes=0 is out of range"):
        rlx.evaluate(loaded, num_episodes=0)
    with pytest.raises(rlx.ConfigurationError, match="eval_mode=best is no choice"):
        rlx.evaluate(loaded, mode="best")


def test_an_agent_of_ones_own_is_handed_back_to_go_on(env, tmp_path, capsys):
    path = tmp_path / "run"
    config = {"agent": {"name": "Walk"}, "env": env.config, "run": TINY}
    run_folder.begin(run_folder.place(str(path), config), config)
    with pytest.raises(rlx.ConfigurationError, match=r"no agent is called 'Walk'; pass the run's agent="):
        rlx.resume(path)
    assert rlx.resume(path, agent=Walk(env.spec), quiet=True).finished
    before = (path / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    again = rlx.resume(path, agent=Walk(env.spec))
    assert (again.step, again.finished) == (24, True)
    assert "is finished, at step 24" in capsys.readouterr().out
    assert (path / "metrics.jsonl").read_bytes() == before


def test_an_environment_of_ones_own(tmp_path):
    task, params = gymnax.make("CartPole-v1")
    own = rlx.make_env(task, params=params, max_episode_steps=20)
    path = tmp_path / "run"
    made = rlx.train(Walk(own.spec), own, run_dir=str(path), quiet=True, **TINY)
    with pytest.raises(rlx.ConfigurationError, match=r"no environment is called 'CartPole-v1'; pass the run's env="):
        rlx.load(path, agent=Walk(own.spec))
    loaded = rlx.load(path, agent=Walk(own.spec), env=own)
    np.testing.assert_array_equal(rlx.evaluate(loaded).returns, rlx.evaluate(made).returns)


def test_options_in_numpy_types_are_written_as_plain_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("rlx.verbs._run", lambda *arguments: None)
    env = rlx.make_env("gymnax/CartPole-v1", gravity=np.float64(12.0))
    rlx.train(Walk(env.spec, bias=np.float32(0.25)), env, run_dir=str(tmp_path), **TINY)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["env"]["gravity"], config["agent"]["bias"]) == (12.0, 0.25)
    assert rlx.make_env(**config["env"]).params.gravity == 12.0


def test_an_option_that_no_file_can_hold_is_refused_and_nothing_written(tmp_path):
    config = {"agent": {"name": "ppo"}, "env": {"name": "jumanji/Maze-v0", "generator": object()}, "run": {}}
    with pytest.raises(rlx.ConfigurationError, match=r"env\.generator is a object, which a run folder cannot keep"):
        run_folder.place(str(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()


def test_runs_of_the_same_second_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda format: "now")
    config = {"agent": {"name": "a"}, "env": {"name": "b/c"}, "run": {}}
    made = [str(run_folder.place(None, config)) for _ in range(3)]
    assert made == ["runs/now-a-b-c", "runs/now-a-b-c-2", "runs/now-a-b-c-3"]


def test_a_home_folder_is_understood(tmp_path, monkeypatch, trained):
    monkeypatch.setenv("HOME", str(trained.folder.parent))
    assert rlx.load("~/run", agent=Walk(trained.env.spec)).step == 24
    config = {"agent": {"name": "a"}, "env": {"name": "b"}, "run": {}}
    assert run_folder.place("~/other", config) == trained.folder.parent / "other"


def test_settings_are_checked():
    assert make_settings(total_steps=1e6).total_steps == 1_000_000
    with pytest.raises(rlx.ConfigurationError, match=r"unknown key total_step .did you mean 'total_steps'"):
        make_settings(total_step=1)
    with pytest.raises(rlx.ConfigurationError, match=r"num_seeds=0 is out of range; it must lie in \[1, 65536\]"):
        make_settings(num_seeds=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "gymnax/CartPole-v1"}, "is no environment; build one with rlx.make_env"),
        ({"agent": "ppo"}, "'ppo' is no agent; build one with rlx.make_agent"),
        ({"agent": Walk}, "is no agent; build one with rlx.make_agent"),
        ({"env": "other"}, "the agent was built for gymnax/CartPole-v1, not for this gymnax/Catch-bsuite; build"),
        ({"bias": 2.0}, r"agent.bias=2.0 is out of range; it must lie in \[0, 1\]"),
        (
            {"num_envs": 1, "total_steps": 2**32},
            "each environment would take 4294967298 steps, .* 2147483647; lower total_steps or raise agent.num_envs",
        ),
        ({"num_envs": 2**28, "num_seeds": 4}, "do not fit: .* lower num_seeds or agent.num_envs"),
        ({"seed": 2**32 - 1, "num_seeds": 2}, "seed=4294967295 and the next 1 exceed 4294967295; lower it"),
        ({"episodes": 3}, "unknown key episodes.*"),
        ({"run_dir": "/dev/null/run"}, "cannot write the run folder /dev/null/run .*; choose another run_dir"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_written(change, message, env, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, other = dict(change), rlx.make_env("gymnax/Catch-bsuite")
    fields = {name: change.pop(name) for name in ("bias", "num_envs") if name in change}
    agent = change.pop("agent", Walk(env.spec, **fields))
    given = {"other": other}.get(change.get("env"), change.get("env", env))
    change.pop("env", None)
    with pytest.raises(rlx.ConfigurationError, match=message):
        rlx.train(agent, given, **{"run_dir": "run", **TINY, **change})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    """A run of two agents with two seeds each."""
    env = rlx.make_env("gymnax/CartPole-v1", max_episode_steps=20)
    small = {"num_envs": 4, "rollout_length": 3, "num_minibatches": 1, "num_epochs": 1, "hidden_sizes": (4,)}
    agents = [rlx.make_agent("ppo", env, learning_rate=rate, **small) for rate in (0.25, 0.5)]
    settings = {name: value for name, value in TINY.items() if name != "num_seeds"}
    folder = tmp_path_factory.mktemp("population") / "run"
    return rlx.train(agents, env, seeds=(9, 4), run_dir=str(folder), quiet=True, **settings)


def test_agents_times_seeds_are_the_members_of_a_run(population):
    members = [(member.agent.learning_rate, member.seed) for member in population.members]
    assert members == [(0.25, 9), (0.25, 4), (0.5, 9), (0.5, 4)]
    found = [(row["member"], row["agent/learning_rate"], row["seed"]) for row in rows(population.folder)[-4:]]
    assert found == [(index, *pair) for index, pair in enumerate(members)]
    config = yaml.safe_load((population.folder / "config.yaml").read_text())
    assert config["agent"]["learning_rate"] == [0.25, 0.5]
    assert config["run"]["seeds"] == [9, 4]


def test_each_of_them_is_loaded_and_evaluated_with_its_own_values(population):
    loaded = rlx.load(population.folder)
    assert [(member.agent.learning_rate, member.seed) for member in loaded.members] == [
        (member.agent.learning_rate, member.seed) for member in population.members
    ]
    logged = [row["evaluation/returns"] for row in rows(population.folder)[-4:]]
    np.testing.assert_array_equal(rlx.evaluate(loaded).returns, logged)


def test_a_member_is_the_run_of_its_agent_and_seed_alone(population, tmp_path):
    settings = {name: value for name, value in TINY.items() if name != "num_seeds"}
    agent, seed = population.members[2]
    alone = rlx.train(agent, population.env, seed=seed, run_dir=str(tmp_path / "alone"), quiet=True, **settings)
    for ours, theirs in zip(jax.tree.leaves(alone.state), jax.tree.leaves(population.state), strict=True):
        np.testing.assert_allclose(ours[0], theirs[2], rtol=1e-5, atol=1e-6)


def test_agents_that_differ_in_a_static_field_are_no_population(population):
    env = population.env
    other = [rlx.make_agent("ppo", env, num_envs=size) for size in (4, 8)]
    with pytest.raises(rlx.ConfigurationError, match=r"must agree in num_envs: .* run them as separate populations"):
        rlx.train(other, env, quiet=True, **TINY)
    with pytest.raises(rlx.ConfigurationError, match="there is no agent in the list"):
        rlx.train([], env, quiet=True, **TINY)
