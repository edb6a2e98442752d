"""What acting carries along: the same in training, evaluation and recording, and through a run's folder."""

import jax
import numpy as np
import pytest
from recurrent import Recurrent

import rlx
from rlx.errors import ConfigurationError
from rlx.runner.acting import acting_part
from rlx.runner.evaluate import record
from rlx.types import Needs

BUDGET = {"total_steps": 20_000, "num_evaluations": 2, "num_checkpoints": 2, "eval_episodes": 64, "tensorboard": False}


@pytest.fixture(scope="module")
def env():
    return rlx.make_env("rlx/probe-recall")


@pytest.fixture(scope="module")
def trained(env, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory") / "run"
    return rlx.train(Recurrent(env.spec), env, run_dir=str(folder), quiet=True, num_seeds=2, **BUDGET)


def test_an_agent_with_memory_recalls_the_cue(trained, env):
    assert np.asarray(rlx.evaluate(trained).returns).tolist() == [[1.0] * 64] * 2
    again = rlx.load(trained.folder, agent=Recurrent(env.spec))
    assert np.asarray(rlx.evaluate(again, num_episodes=5).returns).tolist() == [[1.0] * 5] * 2


def test_a_recorded_episode_is_played_with_the_memory(trained, env):
    state = jax.tree.map(lambda leaf: leaf[0], trained.state)
    for key in jax.random.split(jax.random.key(0), 6):
        _, rewards = record(Recurrent(env.spec), env, state, key, "greedy")
        assert rewards.tolist() == [0.0, 1.0]


def test_an_agent_without_memory_can_but_guess(env, tmp_path):
    """The best that a policy of the observation alone can do is 0.5."""
    agent = rlx.make_agent("ppo", env, num_envs=16, rollout_length=8, num_minibatches=2, hidden_sizes=(8,))
    guessed = rlx.train(agent, env, run_dir=str(tmp_path / "run"), quiet=True, **(BUDGET | {"eval_episodes": 400}))
    assert abs(np.asarray(rlx.evaluate(guessed).returns).mean() - 0.5) < 0.15  # six standard deviations


def test_what_acts_must_be_there(env):
    class Wrong(Recurrent):
        @property
        def needs(self):
            return Needs(1, 1, acting=("parameters",))

    agent = Wrong(env.spec)
    with pytest.raises(ConfigurationError, match="acts by parameters, which its state lacks; it has: params, opt_"):
        acting_part(agent, agent.init(jax.random.key(0)))
    with pytest.raises(ConfigurationError, match="the state of Wrong is a dict; make it a flax"):
        acting_part(agent, {"params": 1})
