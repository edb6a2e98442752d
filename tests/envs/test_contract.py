"""A user's own task: the contract that `make_env` states suffices, and whatever cannot work is one line there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError
from rlx.types import Box, Discrete, MultiDiscrete

KEY = jax.random.key(0)


@struct.dataclass
class Place:
    """A state without a time."""

    x: jax.Array


class Own(Environment):
    """All that the contract asks for, and nothing else; each field of ``changes`` replaces what it returns."""

    default_params = None
    name = "Own"

    def __init__(self, **changes):
        self.space = changes.pop("space", spaces.Discrete(2))
        self.start = (changes.pop("obs", jnp.zeros(2)), changes.pop("state", Place(jnp.zeros(()))))
        self.following = {"obs": self.start[0], "state": self.start[1], "reward": 1.0, "terminated": False, "info": {}}
        self.following |= changes

    def reset_env(self, key, params):
        return self.start

    def step_env(self, key, state, action, params):
        return tuple(self.following.values())

    def action_space(self, params):
        return self.space


class Walk(Own):
    """Counts its steps in a state that is a bare array, and pays 2 for action 1."""

    def reset_env(self, key, params):
        return jnp.zeros(1), jnp.zeros((), jnp.int32)

    def step_env(self, key, state, action, params):
        return jnp.full(1, state + 1.0), state + 1, 2.0 * action, False, {}


def test_the_stated_contract_suffices():
    """Without `state.time`, `max_steps_in_episode` and `is_truncated`, nor parameters at all."""
    env = make_env(Walk(), max_episode_steps=3)
    state, timestep = vector.reset(env, KEY, 2)
    seen = []
    for _ in range(4):
        state, timestep = vector.step(env, state, jnp.array([0, 1]), KEY)
        seen.append((timestep.final_obs[0, 0], timestep.reward[1], timestep.truncated[0], timestep.episode_step[0]))
    assert [tuple(map(float, each)) for each in seen] == [(1, 2, 0, 1), (2, 2, 0, 2), (3, 2, 1, 0), (1, 2, 0, 1)]
    assert make_env(Walk()).spec.max_episode_steps is None
    assert make_env(Walk(), sticky_actions=0.5).spec.max_episode_steps is None


@struct.dataclass
class Limited:
    max_steps_in_episode: int | float | None = 2


@pytest.mark.parametrize(("limit", "found"), [(2, 2), (2.0, 2), (None, None), (float("inf"), None)])
def test_a_time_limit_in_the_parameters_needs_no_time_in_the_state(limit, found):
    env = make_env(Walk(), params=Limited(limit))
    assert env.spec.max_episode_steps == found
    state, timestep = vector.start(env, KEY, 1)
    ended = []
    for _ in range(3):
        state, timestep = vector.advance(env, state, timestep.episode_step, jnp.zeros(1, jnp.int32), KEY)
        ended.append(bool(timestep.truncated[0]))
    assert ended == [False, found == 2, found == 2]


def test_an_own_is_truncated_is_asked():
    class Short(Walk):
        def is_truncated(self, state, params):
            return state >= 2

    env = make_env(Short())
    state, timestep = vector.start(env, KEY, 1)
    for expected in (False, True):
        state, timestep = vector.advance(env, state, timestep.episode_step, jnp.zeros(1, jnp.int32), KEY)
        assert bool(timestep.truncated[0]) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": 1, "terminated": 0.0},
        {"reward": np.float64(1.0), "terminated": np.bool_(False)},
        {"reward": jnp.ones((1,)), "terminated": jnp.zeros((1, 1), bool)},
        {"obs": [0, 0.5], "info": {"count": 3, "nested": {"x": 0.1}}},
        {"obs": np.zeros(2), "state": {"time": 0, "x": np.zeros(2), "none": None}},
        {"obs": 0.0, "state": ()},
        {"obs": {"a": 1, "b": np.zeros((2, 2), np.uint8)}},
        {"state": jax.random.key(3)},
        {"space": MultiDiscrete([2, np.int64(3)])},  # type: ignore[arg-type]
        {"space": Discrete(np.int32(2))},
        {"space": Box(np.int64(2))},
        {"space": spaces.Box(-1, 1, 3)},
    ],
    ids=str,
)
def test_python_numbers_and_weak_types_are_accepted(changes):
    env = make_env(Own(**changes))
    hash(env.spec)
    state, _ = vector.reset(env, KEY, 2)
    action = jnp.zeros((2, *env.spec.action_shape), env.spec.action_dtype)
    after, timestep = vector.step(env, state, action, KEY)
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, after)
    assert (timestep.reward.dtype, timestep.terminated.dtype) == (jnp.float32, bool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": jnp.zeros(2)}, r"^Own: reward is float32\[2\]; it must be one number"),
        ({"reward": None}, "^Own: reward is a NoneType"),
        ({"reward": (1.0, 2.0)}, "^Own: reward is a tuple"),
        ({"reward": "much"}, "^Own: reward is a str; it must be an array of numbers"),
        ({"reward": 1j}, r"^Own: reward is complex64\[\]; it must be an array of real numbers"),
        ({"terminated": jnp.zeros(3, bool)}, r"^Own: terminated is bool\[3\]; it must be one number"),
        ({"terminated": {"done": False}}, "^Own: terminated is a dict"),
        ({"terminated": KEY}, "^Own: terminated is key"),
        ({"info": None}, "^Own: info is a NoneType; it must be a dict of numbers by name, {} if there are none"),
        ({"info": [1]}, "^Own: info is a list"),
        ({"info": {0: 1}}, "^Own: info is a dict with other keys than names"),
        ({"info": {"map": "4x4"}}, r"^Own: info\['map'\] is a str"),
        ({"info": {"key": KEY}}, r"^Own: info\['key'\] is key.*; it must be an array of real numbers"),
        ({"state": {"name": "here"}}, r"^Own: state\['name'\] is a str"),
        ({"state": {"what": ...}}, r"^Own: state\['what'\] is a ellipsis"),
        ({"obs": "nothing"}, "^Own: observation is a str"),
        ({"obs": None}, "^Own: observation holds no numbers"),
        ({"obs": ()}, "^Own: observation holds no numbers"),
        ({"obs": jnp.zeros((0, 3))}, "^Own: observation holds no numbers"),
        ({"obs": np.array(["a"])}, "^Own: observation is a ndarray; it must be an array of numbers"),
        ({"obs": KEY}, "^Own: observation is key"),
        ({"space": spaces.Discrete(0)}, "^Own: the action space Discrete.*offers no action"),
        ({"space": MultiDiscrete((2, 0))}, "offers no action"),
        ({"space": MultiDiscrete(())}, "offers no action"),
        ({"space": Box(0)}, "has no dimensions"),
        ({"space": spaces.Box(np.zeros(2), np.ones(2), (3,))}, "^Own: the bounds of Box.*do not fit its shape"),
        ({"space": spaces.Dict({"a": spaces.Discrete(2)})}, "^Own: cannot adapt the action space"),
        ({"space": 2}, "^Own: cannot adapt the action space 2"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(changes, message):
    refused(Own(**changes), message)


def refused(task, message, **options):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_env(task, **options)
    assert "\n" not in str(error.value)


# Of a second step: what a scan cannot carry, or would carry as something else.
@pytest.mark.parametrize(
    ("start", "following", "message"),
    [
        ({"obs": jnp.zeros(2)}, {"obs": jnp.zeros(3)}, r"observation is float32\[2\] after a reset but float32\[3\]"),
        ({"obs": jnp.zeros(2)}, {"obs": jnp.zeros(2, int)}, r"float32\[2\] after a reset but int32\[2\] after a step"),
        ({"obs": 0}, {"obs": 0.5}, r"observation is int32\[1\] after a reset but float32\[1\]"),
        (
            {"state": Place(0)},
            {"state": Place(0.5)},
            r"state\.x is int32\[\] after a reset but float32\[\]",
        ),
        ({"state": Place(0)}, {"state": Place(np.zeros(1, int))}, r"state\.x is int32\[\] .* int32\[1\]"),
        ({"state": {"a": 0}}, {"state": {"b": 0}}, "state has another structure after a step than after a reset"),
        ({"state": {"a": 0}}, {"state": {"a": None}}, "state has another structure"),
        ({"state": (0,)}, {"state": [0]}, "state has another structure"),
    ],
    ids=str,
)
def test_what_changes_in_a_step_is_refused(start, following, message):
    task = Own(**start)
    task.following |= following
    refused(task, f"^Own: .*{message}")


def wider(task):
    """Float64 where a reset gave float32: the same, as long as JAX has no float64."""
    return task.following | {"obs": np.zeros(2), "state": Place(np.zeros(()))}


def test_numpys_float64_is_float32():
    task = Own()
    task.following = wider(task)
    assert make_env(task).spec.obs_dtype == "float32"


class Branching(Own):
    def step_env(self, key, state, action, params):
        return self.start[0], state, 1.0 if action == 1 else 0.0, False, {}


class Indexing(Own):
    def step_env(self, key, state, action, params):
        return self.start[0], state, [0.0, 1.0][action], False, {}


class Converting(Own):
    def reset_env(self, key, params):
        return np.asarray(jax.random.uniform(key, (2,))), self.start[1]


class Stateful(Own):
    def reset_env(self, key, params):
        self.x = jax.random.uniform(key, (2,))
        return self.x, self.start[1]

    def step_env(self, key, state, action, params):
        return self.x + 1, state, 0.0, False, {}


class Growing(Own):
    calls = 0

    def step_env(self, key, state, action, params):
        self.calls += 1
        return *tuple(self.following.values())[:4], {f"call {self.calls}": 0}


class Misspelt(Own):
    def step_env(self, key, state, action, params):
        return self.start[0], state.plus(1), 0.0, False, {}


class TooMany(Own):
    def step_env(self, key, state, action, params):
        return *tuple(self.following.values())[:4], False, {}


class Alone(Own):
    def reset_env(self, key, params):
        return jnp.zeros(2)


class Unready(Own):
    def is_truncated(self, state, params):
        return jnp.zeros(2, bool)


class Unfit(Own):
    def action_mask(self, state, params):
        return jnp.ones(3, bool)


class Unmasked(Own):
    def action_mask(self, state, params):
        return self.mask


class Unread(Own):
    @property
    def default_params(self):
        raise KeyError("gravity")


class Counting(Own):
    counters = ("hits",)


class Undecided(Own):
    def action_space(self, params):
        raise ValueError("which?\nnobody knows")


class Unseen(Own):
    def observation_space(self, params):
        return params.high


NO_VALUES = "arrays have no values before the program runs: use jnp.where, jax.lax.cond"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Branching(), f"^Own: step_env raised TracerBoolConversionError: .*; {NO_VALUES}"),
        (Indexing(), f"^Own: step_env raised TracerIntegerConversionError: .*; {NO_VALUES}"),
        (Converting(), f"^Own: reset_env raised TracerArrayConversionError: .*; {NO_VALUES}"),
        (
            Stateful(),
            "^Own: step_env raised UnexpectedTracerError: .*; keep all that changes in the state",
        ),
        (Growing(), "^Own: the info has another structure after another than after one step"),
        (Misspelt(), "^Own: step_env raised AttributeError: 'Place' object has no attribute 'plus'$"),
        (TooMany(), "^Own: step_env returned 6 values; it must return obs, state, reward, terminated, info$"),
        (Alone(), "^Own: reset_env returned a .*; it must return obs, state$"),
        (Unready(), r"^Own: is_truncated is bool\[2\]; it must be one number"),
        (Unfit(), r"^Own: action_mask has shape \[3\]; it must be \[2\]"),
        (Unmasked(), "^Own: action_mask raised AttributeError: 'Unmasked' object has no attribute 'mask'"),
        (Unread(), "^Own: default_params raised KeyError: 'gravity'"),
        (Counting(), "^Own: counters names 'hits', but no number in its info"),
        (Counting(info={"hits": {"left": 1}}), "^Own: counters names 'hits'"),
        (Undecided(), "^Own: action_space raised ValueError: which\\?$"),
        (Unseen(), "^Own: observation_space raised AttributeError"),
        (Environment(), "^Environment lacks reset_env, step_env, action_space; a task must have reset_env, step_env"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Environment) else "",
)
def test_what_fails_is_told_with_the_name_of_its_method(task, message):
    refused(task, message)


def test_a_failure_on_account_of_options_names_them():
    @struct.dataclass
    class Params:
        size: int = 2

    class Sized(Own):
        default_params = Params()

        def reset_env(self, key, params):
            return jnp.ones(2) / (params.size // params.size), self.start[1]

    make_env(Sized(), size=3)
    refused(Sized(), r"^Own cannot be made with size=0: reset_env raised ZeroDivisionError", size=0)


@pytest.mark.parametrize("limit", ["soon", (3,)])
def test_a_time_limit_is_a_number(limit):
    refused(Own(), "^Own: max_steps_in_episode=.* must be a number", params=Limited(limit))
