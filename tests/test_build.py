import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import rlx
from rlx import build
from rlx.build import make_agent, validate
from rlx.errors import ConfigurationError
from rlx.settings import Setting, checked, hyper, settings_of
from rlx.types import Box, Discrete, EnvSpec, MultiDiscrete, Needs

DISCRETE = EnvSpec("test/discrete", (3,), "float32", Discrete(2), 10)
FACTORED = dataclasses.replace(DISCRETE, name="test/factored", action_space=MultiDiscrete((2, 3)))
CONTINUOUS = dataclasses.replace(DISCRETE, name="test/continuous", action_space=Box(2))


@dataclasses.dataclass(frozen=True)
class Everything:
    needed: str = hyper(dataclasses.MISSING, "no default")
    whole: int = hyper(1, "a whole number", within="[1, inf)")
    real: float = hyper(0.5, "a number", within="[0, 1)")
    maybe: int | None = hyper(None, "a whole number or nothing", within="[0, 9]")
    flag: bool = hyper(False, "a truth")
    word: str = hyper("a", "a word")
    choice: str = hyper("tanh", "a choice", choices=("tanh", "relu"))
    literal: Literal["x", "y"] = hyper("x", "a literal", choices=("x", "y"))
    sizes: tuple[int, ...] = hyper((1, 2), "a list", within="[1, 8]")
    names: tuple[str, ...] = hyper((), "words")
    inner: int = 3


SETTINGS = settings_of(Everything)


def test_settings_are_the_documented_fields():
    assert list(SETTINGS) == [
        "needed", "whole", "real", "maybe", "flag", "word", "choice", "literal", "sizes", "names"
    ]  # fmt: skip
    assert SETTINGS["whole"] == Setting("whole", int, 1, "a whole number", "[1, inf)", ())
    assert SETTINGS["choice"].choices == ("tanh", "relu")
    assert SETTINGS["needed"].default is dataclasses.MISSING


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("whole", 3, 3),
        ("whole", 1e6, 1_000_000),
        ("whole", np.int64(4), 4),
        ("whole", np.float32(4), 4),
        ("whole", 2**31 - 1, 2**31 - 1),
        ("real", 0, 0.0),
        ("real", np.float32(0.25), 0.25),
        ("real", jnp.float32(0.25), 0.25),
        ("maybe", None, None),
        ("maybe", 9, 9),
        ("flag", True, True),
        ("flag", np.bool_(True), True),
        ("choice", "relu", "relu"),
        ("literal", "y", "y"),
        ("sizes", [3, 4.0], (3, 4)),
        ("sizes", (), ()),
        ("names", ["p", "q"], ("p", "q")),
    ],
)
def test_a_value_is_converted_where_nothing_is_lost(name, value, result):
    converted = checked(SETTINGS[name], value, "")
    assert converted == result
    assert type(converted) is type(result)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("whole", 1.5, "x.whole=1.5 has the wrong type; it must be a whole number"),
        ("whole", True, "x.whole=True has the wrong type; it must be a whole number"),
        ("whole", "3", "x.whole='3' has the wrong type; it must be a whole number"),
        ("whole", float("inf"), "x.whole=inf has the wrong type; it must be a whole number"),
        ("whole", np.array([1, 2]), "x.whole=array([1, 2]) has the wrong type; it must be a whole number"),
        ("whole", 0, "x.whole=0 is out of range; it must lie in [1, 2147483647]"),
        ("whole", 2**31, "x.whole=2147483648 is out of range; it must lie in [1, 2147483647]"),
        ("real", "half", "x.real='half' has the wrong type; it must be a number"),
        ("real", None, "x.real=None has the wrong type; it must be a number"),
        ("real", 1.0, "x.real=1.0 is out of range; it must lie in [0, 1)"),
        ("real", float("nan"), "x.real=nan is out of range; it must lie in [0, 1)"),
        ("maybe", "None", "x.maybe='None' has the wrong type; it must be a whole number, or null"),
        ("maybe", 10, "x.maybe=10 is out of range; it must lie in [0, 9]"),
        ("flag", 1, "x.flag=1 has the wrong type; it must be true or false"),
        ("word", "", "x.word='' has the wrong type; it must be a word"),
        ("choice", "rel", "x.choice=rel is no choice (did you mean 'relu'?); choose one of tanh, relu"),
        ("choice", 3, "x.choice=3 has the wrong type; it must be one of tanh, relu"),
        ("literal", "z", "x.literal=z is no choice; choose one of x, y"),
        ("sizes", 3, "x.sizes=3 has the wrong type; it must be a list of whole numbers in brackets, such as [64,64]"),
        ("sizes", [3, 9], "x.sizes=[3, 9] is out of range; it must lie in [1, 8]"),
        ("sizes", [3, "a"], "x.sizes=[3, 'a'] has the wrong type; it must be a list of whole numbers in brackets"),
    ],
)
def test_another_value_is_refused(name, value, message):
    with pytest.raises(ConfigurationError) as caught:
        checked(SETTINGS[name], value, "x.")
    assert str(caught.value).startswith(message)


def test_an_agent_is_built_with_checked_fields():
    agent = make_agent("ppo", DISCRETE, num_envs=8.0, learning_rate=np.float32(0.5), hidden_sizes=[4])
    assert (agent.spec, agent.num_envs, agent.learning_rate, agent.hidden_sizes) == (DISCRETE, 8, 0.5, (4,))
    assert (type(agent.num_envs), type(agent.learning_rate)) == (int, float)
    assert build.agent_name(agent) == "ppo"


@pytest.mark.parametrize(
    ("name", "spec", "fields", "message"),
    [
        ("pop", DISCRETE, {}, r"unknown agent 'pop' \(did you mean 'ppo'\?\)"),
        ("ppo", "gymnax/CartPole-v1", {}, r"needs the environment, not 'gymnax/CartPole-v1': .*make_env"),
        ("ppo", DISCRETE, {"learning_rat": 1}, r"unknown key agent.learning_rat \(did you mean 'agent.learning_rate'"),
        ("ppo", DISCRETE, {"xyz": 1}, "unknown key agent.xyz; ppo has: num_envs, "),
        ("ppo", DISCRETE, {"replay_size": 9}, "agent.replay_size belongs to .*dqn.*, not to ppo"),
        ("ppo", DISCRETE, {"discount": 2}, r"agent.discount=2 is out of range; it must lie in \[0, 1\]"),
        ("dqn", CONTINUOUS, {}, "dqn needs a discrete action space, test/continuous has a continuous one; .*ppo"),
        ("dqn", FACTORED, {}, "dqn needs a discrete action space, test/factored has a factored one; .*ppo"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(name, spec, fields, message):
    with pytest.raises(ConfigurationError, match=message):
        make_agent(name, spec, **fields)


@struct.dataclass
class Factored:
    accepts: ClassVar = (Discrete, MultiDiscrete)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = hyper(1, "environments", within="[1, inf)", static=True)
    rollout_length: int = 1

    @property
    def needs(self):
        return Needs(3, 1)

    def init(self, key): ...

    def act(self, state, timestep, key, clock): ...

    def update(self, state, rollout, key, clock): ...

    def policy(self, state, timestep, key, mode): ...


def test_an_agent_of_ones_own_is_checked_alike():
    assert validate(Factored(FACTORED, num_envs=3.0)).num_envs == 3
    with pytest.raises(ConfigurationError, match=r"agent.num_envs=0 is out of range"):
        validate(Factored(DISCRETE, num_envs=0))
    with pytest.raises(ConfigurationError, match=r"Factored needs a discrete or factored .*; add env.discretise=3"):
        validate(Factored(CONTINUOUS))


def test_what_is_no_agent_is_refused():
    for wrong in ("ppo", 3, Factored, rlx.make_env("rlx/probe-constant").task):
        with pytest.raises(ConfigurationError, match=r"is no agent; build one with rlx\.make_agent"):
            validate(wrong)
    with pytest.raises(ConfigurationError, match="Everything is no agent: it has no accepts, spec, needs"):
        validate(Everything(needed="a"))
