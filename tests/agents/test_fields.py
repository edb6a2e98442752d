"""Shared hyperparameters: a declaration takes the agent's default and brings range and meaning along."""

import jax
import pytest
from flax import struct

from rlx.agents import fields
from rlx.errors import ConfigurationError
from rlx.settings import checked_fields, settings_of


@struct.dataclass
class Learner:
    num_envs: int = fields.num_envs(4)
    discount: float = fields.discount(0.9)
    anneal: bool = fields.anneal(False)
    activation: str = fields.activation("tanh")
    hidden_sizes: tuple[int, ...] = fields.hidden_sizes((8, 8))


def test_the_default_is_the_agents_own_and_the_rest_is_shared():
    learner = Learner()
    assert (learner.num_envs, learner.discount, learner.anneal) == (4, 0.9, False)
    assert (learner.activation, learner.hidden_sizes) == ("tanh", (8, 8))
    settings = settings_of(Learner)
    assert settings["num_envs"].doc == "parallel environments of one member"
    assert settings["activation"].choices == ("tanh", "relu", "swish")


def test_only_real_numbers_are_leaves():
    assert jax.tree.leaves(Learner()) == [0.9]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_envs", 0, r"agent.num_envs=0 is out of range; it must lie in \[1, 2147483647\]"),
        ("discount", 1.5, r"agent.discount=1.5 is out of range; it must lie in \[0, 1\]"),
        ("hidden_sizes", [8, 0], "agent.hidden_sizes=.* is out of range"),
        ("activation", "sine", "agent.activation=sine is no choice"),
    ],
)
def test_a_value_is_checked_against_the_shared_range(field, value, message):
    with pytest.raises(ConfigurationError, match=message):
        checked_fields(Learner, {field: value}, "agent.", "learner")
