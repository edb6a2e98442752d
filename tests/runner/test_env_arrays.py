"""Large arrays in a task's parameters: arguments of programs, a note in config.yaml, and the same numbers."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment
from stub import Stub

import rlx
from rlx.envs import parameters
from rlx.envs.api import make_env
from rlx.runner.evaluate import record
from rlx.runner.layout import layout_for
from rlx.runner.population import Member, Population
from rlx.runner.programs import inside
from rlx.types import Clock

KEY = jax.random.key(0)
TINY = {"total_steps": 12, "num_evaluations": 1, "num_checkpoints": 1, "eval_episodes": 2, "tensorboard": False}
STEPS = 3


@struct.dataclass
class Table:
    table: jax.Array
    scale: float = 2.0
    max_steps_in_episode: int = STEPS


class Lookup(Environment):
    """Step ``t`` of an episode pays ``scale * table[t]``, and shows it."""

    name, default_params = "Lookup", Table(np.zeros(2, np.float32))

    def reset_env(self, key, params):
        return params.scale * params.table[:1], jnp.zeros((), jnp.int32)

    def step_env(self, key, state, action, params):
        paid = params.scale * params.table[state]
        return paid[None], state + 1, paid, False, {}

    def action_space(self, params):
        return spaces.Discrete(2)


def lookup(size, first=1.0, **settings):
    return make_env(Lookup(), params=Table(np.arange(first, first + size, dtype=np.float32)), **settings)


def test_only_large_arrays_are_arguments():
    params = {"a": np.arange(2000.0), "b": 3.5, "c": jnp.ones((40, 50)), "d": jnp.arange(5), "e": [np.zeros(1001)]}
    arrays = parameters.large_arrays(params)
    assert [array.shape for array in arrays] == [(2000,), (40, 50), (1001,)]
    again = parameters.with_arrays(params, [array + 1 for array in arrays])
    np.testing.assert_array_equal(again["a"], np.arange(1, 2001))
    np.testing.assert_array_equal(again["c"], np.full((40, 50), 2))
    np.testing.assert_array_equal(again["e"][0], np.ones(1001))
    assert (again["b"], again["d"].tolist()) == (3.5, [0, 1, 2, 3, 4])
    assert parameters.large_arrays(make_env("gymnax/DiscountingChain-bsuite").params) == ()


def population(env, num_members=2):
    agents = [Stub(env.spec)] * num_members
    return Population(
        [Member(agent, seed) for seed, agent in enumerate(agents)], env, 2, layout=layout_for(num_members)
    )


def test_programs_hold_none_of_them_and_compute_with_them():
    texts = []
    for size in (2_000, 200_000):
        members = population(lookup(size))
        clock = Clock.start(100, Stub(members.members[0].agent.spec).needs.rollout_length)
        arguments = (members.agents[0], members.shapes(clock), jnp.int32(1), jnp.bool_(False), members.arrays)
        texts.append(members.programs.chunk.lower(*arguments).as_text())
    short, long = (len(text) for text in texts)
    assert long - short < 0.02 * short
    env = lookup(2_000, first=5.0)
    members = population(env)
    states = members.start(Clock.start(100, 1))
    played = members.evaluate(members.acting(states), 0)
    np.testing.assert_array_equal(played.returns, np.full((2, 2), 2.0 * (5 + 6 + 7)))
    acting = jax.tree.map(lambda leaf: leaf[0], members.acting(states)[0])
    np.testing.assert_array_equal(record(Stub(env.spec), env, acting, KEY, "greedy")[1], [10.0, 12.0, 14.0])


def test_an_agent_that_steps_its_task_takes_them_too():
    env = lookup(2_000)
    agent = rlx.make_agent("mbma", env, source="simulator")

    @jax.jit
    def paid(agent, arrays):
        there, _ = inside(agent, env, arrays)
        return there.simulator(jnp.array([4]), jnp.array([0]), KEY)[1].reward

    assert paid(agent, env.arrays).tolist() == [2.0 * 5]
    assert paid(agent, tuple(10 * array for array in env.arrays)).tolist() == [2.0 * 50]


def test_a_configuration_notes_them_and_keeps_small_ones():
    table = np.arange(2_000, dtype=np.float32)
    config = make_env(Lookup(), params=Table(table)).config
    assert config["scale"] == 2.0
    assert config["table"]["arrays"] == ["float32[2000]"]
    told = hashlib.sha256(b"float32(2000,)" + table.tobytes()).hexdigest()
    assert config["table"]["sha256"] == told
    assert make_env(Lookup(), params=Table(np.arange(2.0))).config["table"] == [0.0, 1.0]
    assert parameters.notes(config) == {"table": config["table"]}
    assert make_env(Lookup(), table=np.array([1.0, 2.0])).config["table"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("params", [{"table": np.arange(4.0)}, (np.arange(4.0), {"x": KEY})])
def test_parameters_without_named_fields_are_noted_whole(params):
    class Named(Lookup):
        def reset_env(self, key, params):
            return jnp.zeros(1), jnp.zeros((), jnp.int32)

        def step_env(self, key, state, action, params):
            return jnp.zeros(1), state, 0.0, False, {}

    config = make_env(Named(), params=params).config
    assert config["params"]["arrays"][0] == "float64[4]"
    assert yaml.safe_load(yaml.safe_dump(config)) == config


def test_a_run_says_that_it_needs_its_environment_and_takes_no_other(tmp_path):
    folder, env = tmp_path / "run", lookup(2_000)
    trained = rlx.train(Stub(env.spec), env, run_dir=str(folder), quiet=True, **TINY)
    text = (folder / "config.yaml").read_text()
    assert len(text) < 2_000
    agent = Stub(env.spec)
    for verb in (rlx.load, rlx.resume):
        with pytest.raises(rlx.ConfigurationError, match=r"pass the run's env=$"):
            verb(folder, agent=agent)
        with pytest.raises(rlx.ConfigurationError, match=r"table was float32\[2000\] .* and is float32\[2000\]"):
            verb(folder, agent=agent, env=lookup(2_000, first=2.0))
    loaded = rlx.load(folder, agent=agent, env=lookup(2_000))
    np.testing.assert_array_equal(rlx.evaluate(loaded).returns, rlx.evaluate(trained).returns)
    (folder / "config.yaml").write_text(text.replace("name: Lookup", "name: gymnax/CartPole-v1"))
    with pytest.raises(rlx.ConfigurationError, match=r"has a note of table, not the arrays; pass the run's env=$"):
        rlx.load(folder, agent=agent)
