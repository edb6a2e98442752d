"""Jumanji: the adapter equals the bare environments, masks and ends are theirs, and masked agents learn there."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import jumanji
import numpy as np
import pytest
from jumanji.environments import Game2048, Minesweeper, Snake
from jumanji.environments.logic.minesweeper.generator import UniformSamplingGenerator
from jumanji.types import StepType

import rlx
from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError
from rlx.loggers.jsonl import read_rows
from rlx.task_names import names_of
from rlx.types import Discrete, MultiDiscrete

SMALL = {"num_rows": 5, "num_cols": 5}

SPECS = {
    "BinPack-v2": ((380,), Discrete(40 * 20)),
    "CVRP-v1": ((126 + 20,), Discrete(21)),
    "Cleaner-v0": ((107,), MultiDiscrete((4, 4, 4))),
    "FlatPack-v0": ((346,), Discrete(25 * 4 * 9 * 9)),
    "Game2048-v1": ((4, 4), Discrete(4)),
    "GraphColoring-v1": ((421,), Discrete(20)),
    "JobShop-v0": ((500,), MultiDiscrete((21,) * 10)),
    "Knapsack-v1": ((150,), Discrete(50)),
    "MMST-v0": ((1336,), MultiDiscrete((36, 36, 36))),
    "Maze-v0": ((105,), Discrete(4)),
    "Minesweeper-v0": ((102,), Discrete(10 * 10)),
    "PacMan-v1": ((1524,), Discrete(5)),
    "RobotWarehouse-v0": ((265,), MultiDiscrete((5, 5, 5, 5))),
    "RubiksCube-partly-scrambled-v0": ((55,), MultiDiscrete((6, 1, 3))),
    "RubiksCube-v0": ((55,), MultiDiscrete((6, 1, 3))),
    "SlidingTilePuzzle-v0": ((28,), Discrete(4)),
    "Snake-v1": ((721,), Discrete(4)),
    "Sudoku-v0": ((9, 9), Discrete(9 * 9 * 9)),
    "Sudoku-very-easy-v0": ((9, 9), Discrete(9 * 9 * 9)),
    "TSP-v1": ((61 + 19,), Discrete(20)),
    "Tetris-v0": ((117,), Discrete(4 * 10)),
}


def punished(state, action, timestep):
    """A reward that is no number for an action that the mask forbids, unless it forbids all."""
    broken = state.action_mask.any() & ~state.action_mask[action]
    return timestep.replace(reward=jnp.where(broken, jnp.nan, timestep.reward))


class StrictSnake(Snake):
    def step(self, state, action):
        after, timestep = super().step(state, action)
        return after, punished(state, action, timestep)


class StrictGame2048(Game2048):
    def step(self, state, action):
        after, timestep = super().step(state, action)
        return after, punished(state, action, timestep)


class InterruptedSnake(Snake):
    """Truncates after the third step."""

    def step(self, state, action):
        after, timestep = super().step(state, action)
        cut = ~timestep.last() & (after.step_count == 3)
        return after, timestep.replace(step_type=jnp.where(cut, StepType.LAST, timestep.step_type))


def narrowed(state, timestep):
    observation = timestep.observation
    return state, timestep.replace(observation=observation._replace(action_mask=observation.action_mask[..., :-1]))


class NarrowMask:
    """Shows a mask that lacks its last column."""

    def reset(self, key):
        return narrowed(*super().reset(key))

    def step(self, state, action):
        return narrowed(*super().step(state, action))


class NarrowSnake(NarrowMask, Snake):
    pass


class NarrowMinesweeper(NarrowMask, Minesweeper):
    pass


for _task in (StrictSnake, StrictGame2048, InterruptedSnake, NarrowSnake, NarrowMinesweeper):
    if f"{_task.__name__}-v0" not in jumanji.registered_environments():
        jumanji.register(id=f"{_task.__name__}-v0", entry_point=f"{__name__}:{_task.__name__}")


@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")  # BinPack's own
def test_every_listed_task_can_be_made():
    assert names_of("jumanji") == tuple(SPECS)
    assert {f"jumanji/{name}" for name in SPECS} <= set(rlx.environments())
    for name, (obs_shape, action_space) in SPECS.items():
        spec = make_env(f"jumanji/{name}").spec
        assert (spec.name, spec.obs_shape, spec.action_space) == (f"jumanji/{name}", obs_shape, action_space)
        assert spec.has_action_mask == ("Rubik" not in name)
        assert spec.max_episode_steps is None


def vector_of(*parts):
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options", "seen", "decoded"),
    [
        ("Snake-v1", SMALL, lambda o: vector_of(o.grid, o.step_count), lambda a: a),
        ("Game2048-v1", {}, lambda o: o.board, lambda a: a),
        ("Tetris-v0", {}, lambda o: vector_of(o.grid, o.tetromino, o.step_count), lambda a: [a // 10, a % 10]),
        ("Cleaner-v0", {}, lambda o: vector_of(o.grid, o.agents_locations, o.step_count), lambda a: a),
    ],
)
def test_random_valid_play_equals_the_bare_environment(name, options, seen, decoded):
    env, bare = make_env(f"jumanji/{name}", **options), jumanji.make(name, **options)
    step, bare_step, mask_of = jax.jit(env.task.step_env), jax.jit(bare.step), jax.jit(env.task.action_mask)
    obs, state = env.task.reset_env(jax.random.key(3), env.params)
    bare_state, timestep = bare.reset(jax.random.PRNGKey(3))
    generator = np.random.default_rng(0)
    restricted = False
    for i in range(25):
        bare_mask = np.asarray(timestep.observation.action_mask)
        mask = np.asarray(mask_of(state, env.params))
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, bare_mask.reshape(-1))
        np.testing.assert_array_equal(obs, seen(timestep.observation))
        restricted |= not mask.all()
        if timestep.last():
            break
        if isinstance(env.spec.action_space, MultiDiscrete):
            action = np.array([generator.choice(np.flatnonzero(row)) for row in bare_mask], np.int32)
        else:
            action = np.int32(generator.choice(np.flatnonzero(mask)))
        obs, state, reward, terminated, _ = step(jax.random.key(100 + i), state, action, env.params)
        bare_state, timestep = bare_step(bare_state, np.asarray(decoded(action), np.int32))
        assert float(reward) == float(timestep.reward)
        assert bool(terminated) == (bool(timestep.last()) and float(timestep.discount) == 0)
    assert restricted
    assert i > 5


def test_a_joint_mask_is_indexed_by_the_joint_action():
    env = make_env("jumanji/Tetris-v0")
    _, state = env.task.reset_env(jax.random.key(0), env.params)
    mask = env.task.action_mask(state, env.params)
    for rotation, column in ((0, 0), (1, 9), (3, 7), (2, 8)):
        assert mask[10 * rotation + column] == state.observation.action_mask[rotation, column]


def ends(name, **options):
    """``terminated`` and ``truncated`` of the first four steps of a snake that takes valid actions."""
    env = make_env(f"jumanji/{name}", **SMALL, **options)
    state, timestep = jax.jit(vector.reset, static_argnums=(0, 2))(env, jax.random.key(1), 1)
    step = jax.jit(vector.step, static_argnums=0)
    flags = []
    for i in range(4):
        state, timestep = step(env, state, timestep.action_mask.argmax(1), jax.random.key(i))
        flags.append((bool(timestep.terminated[0]), bool(timestep.truncated[0])))
    return flags, timestep


def test_a_last_step_terminates_or_truncates():
    goes_on, terminated, truncated = (False, False), (True, False), (False, True)
    flags, timestep = ends("Snake-v1", time_limit=3)
    assert flags == [goes_on, goes_on, terminated, goes_on]
    assert int(timestep.episode_step[0]) == 1
    assert ends("InterruptedSnake-v0")[0] == [goes_on, goes_on, truncated, goes_on]
    assert ends("Snake-v1", max_episode_steps=2)[0] == [goes_on, truncated, goes_on, truncated]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Snak-v1", {}, "did you mean 'Snake-v1'"),
        ("Snake-v1", {"num_row": 5}, "did you mean 'num_rows'"),
        ("Snake-v1", {"num_rows": "five"}, "cannot be made with num_rows='five'"),
        ("Snake-v1", {"num_rows": 0}, "cannot be made with num_rows=0"),
        ("Snake-v1", {"sticky_actions": 0.5}, "its action mask forbids"),
        ("Connector-v3", {}, "rewards 10 agents apart; rlx takes tasks with one reward"),
        ("SearchAndRescue-v0", {}, "rewards 2 agents apart"),
        ("MultiCVRP-v0", {}, "cannot adapt its actions, a BoundedArray"),
        ("NarrowSnake-v0", {}, r"action_mask has shape \[3\]; it must be \[4\]"),
        ("NarrowMinesweeper-v0", {}, r"\(10, 9\) fits neither .* of \(10, 10\)"),
        ("Minesweeper-v0", {"generator": UniformSamplingGenerator(2, 2, 1)}, r"\(2, 2\) fits both .* of \(2, 2\)"),
    ],
)
def test_mistakes_are_refused_in_one_line(name, options, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_env(f"jumanji/{name}", **options)
    assert "\n" not in str(error.value)


def test_levels_that_cannot_be_downloaded(monkeypatch):
    def offline(name):
        raise FileNotFoundError("no connection\nand more")

    monkeypatch.setattr(jumanji, "make", offline)
    with pytest.raises(ConfigurationError, match=r"Sokoban-v0 needs data .* \(no connection\)$"):
        make_env("jumanji/Sokoban-v0")


def test_without_jumanji(monkeypatch):
    monkeypatch.setitem(sys.modules, "jumanji", None)
    assert names_of("jumanji") == ()
    with pytest.raises(ConfigurationError, match=r"jumanji/Snake-v1 needs jumanji: pip install 'rlx\[jumanji\]'$"):
        make_env("jumanji/Snake-v1")


def test_listing_environments_does_not_import_it():
    code = "import sys, rlx; print('jumanji/Snake-v1' in rlx.environments(), 'jumanji' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True False\n"


@pytest.mark.parametrize(("name", "options"), [("StrictSnake-v0", SMALL), ("StrictGame2048-v0", {})])
def test_the_strict_tasks_notice_an_invalid_action(name, options):
    env = make_env(f"jumanji/{name}", **options)
    states, first = jax.jit(vector.start, static_argnums=(0, 2))(env, jax.random.key(0), 16)
    mask = np.asarray(first.action_mask)
    assert 0 < mask[:, 0].sum() < 16
    zeros = jnp.zeros(16, jnp.int32)
    _, timestep = jax.jit(vector.advance, static_argnums=0)(env, states, zeros, zeros, jax.random.key(1))
    np.testing.assert_array_equal(np.isnan(timestep.reward), ~mask[:, 0])


# The thresholds are 2 and 1.5 times the mean return of uniformly random valid actions over 2,000 episodes.
@pytest.mark.parametrize(
    ("agent", "name", "options", "hyperparameters", "total_steps", "threshold"),
    [
        pytest.param(
            "masked_ppo",
            "StrictSnake-v0",
            {**SMALL, "time_limit": 100},
            {"num_envs": 32, "num_minibatches": 8},
            50_000,
            2 * 2.87,
            id="masked-ppo-on-snake",
        ),
        pytest.param(
            "dqn",
            "StrictGame2048-v0",
            {"board_size": 3},
            {"num_envs": 16, "discount": 0.95, "value_rescaling": True},
            20_000,
            1.5 * 176,
            id="dqn-on-2048",
        ),
    ],
)
def test_a_masked_agent_learns_without_an_invalid_action(
    agent, name, options, hyperparameters, total_steps, threshold, tmp_path
):
    """A single invalid action would make a return that is no number, and that would stop the run."""
    env = make_env(f"jumanji/{name}", **options)
    rlx.train(
        rlx.make_agent(agent, env, **hyperparameters),
        env,
        total_steps=total_steps,
        num_seeds=2,
        num_evaluations=1,
        num_checkpoints=1,
        eval_episodes=32,
        run_dir=str(tmp_path / "run"),
        quiet=True,
    )
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")[-2:]
    assert all(row["step"] >= total_steps for row in rows)
    assert all(np.isfinite(row["training/return_mean"]) for row in rows)
    assert min(row["evaluation/return_mean"] for row in rows) > threshold
