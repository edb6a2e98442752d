"""A run from start to end in its folder: interrupted, failed, resumed."""

import errno
import json
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from flax import struct
from stub import Stub, StubState

import rlx
from rlx.loggers.jsonl import read_rows
from rlx.runner.interrupt import interruptible
from rlx.runner.interrupt import listening as listening_for_signals
from rlx.runner.lock import locked
from rlx.runner.population import Population
from rlx.runner.run import RunFailed
from rlx.runner.waiting import wait
from rlx.types import Needs

SETTINGS = {"total_steps": 60, "num_seeds": 2, "num_evaluations": 2, "num_checkpoints": 5, "eval_episodes": 3}


@pytest.fixture(scope="module")
def env():
    return rlx.make_env("rlx/probe-delayed")


def train(agent, env, folder, **settings):
    return rlx.train(agent, env, quiet=True, run_dir=str(folder), **{**SETTINGS, **settings})


def rows_of(folder):
    return [{k: v for k, v in row.items() if k != "wall_time"} for row in read_rows(folder / "metrics.jsonl")]


def saved_steps(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.fixture
def listening():
    """Ctrl-C as in a shell's foreground; in its background Python is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_sets_a_flag_and_the_second_raises(listening):
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_scheduler_may_repeat_its_signal_but_a_person_means_it(listening):
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as interrupted:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_where_nothing_can_stop_in_order_a_signal_raises(listening):
    with listening_for_signals() as listener:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert listener.signum == signal.SIGTERM


def test_a_nested_listener_shares_the_flag(listening):
    with interruptible() as outer:
        with interruptible() as inner:
            signal.raise_signal(signal.SIGINT)
            assert inner.is_set()
        assert outer.is_set()
        with interruptible() as later:  # begun after Ctrl-C, it knows
            assert later.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with interruptible() as another:
        assert not another.is_set()


def test_a_run_leaves_what_it_promises(env, tmp_path):
    trained = train(Stub(env.spec), env, tmp_path / "run")
    assert trained.finished
    assert trained.step == 60
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["env"]["name"] == "rlx/probe-delayed"
    assert config["run"]["num_seeds"] == 2
    assert json.loads((tmp_path / "run" / "metadata.json").read_text())["versions"]["jax"] == jax.__version__
    rows = rows_of(tmp_path / "run")
    assert [(row["step"], row["member"]) for row in rows] == [(s, m) for s in (0, 30, 60) for m in (0, 1)]
    assert all(row["evaluation/returns"] == [1.0, 1.0, 1.0] for row in rows)
    assert "training/return_mean" not in rows[0]
    # Ten iterations; a window starts anew at each evaluation and holds five of them, with an even one more or less.
    assert [row["update/count"] for row in rows[2:]] == [6.0, 6.0, 4.0, 4.0]
    assert saved_steps(tmp_path / "run" / "policy") == [60]
    assert saved_steps(tmp_path / "run" / "checkpoints")[-2:] == [48, 60]


@pytest.mark.parametrize(
    ("num_checkpoints", "signum"),
    [(5, signal.SIGINT), (1, signal.SIGINT), (1, signal.SIGTERM)],  # where it would save anyway, and where it would not
)
def test_an_interrupted_run_saves_and_goes_on_to_the_same_numbers(
    listening, env, tmp_path, monkeypatch, num_checkpoints, signum
):
    agent = Stub(env.spec)
    whole = train(agent, env, tmp_path / "whole", num_checkpoints=num_checkpoints)

    def interrupt_once(self, step, training_return=None):
        if step > 0:
            monkeypatch.undo()
            signal.raise_signal(signum)

    monkeypatch.setattr("rlx.loggers.console.Console.progress", interrupt_once)
    stopped = train(agent, env, tmp_path / "stopped", num_checkpoints=num_checkpoints)
    assert not stopped.finished
    assert 0 < stopped.step < 60
    assert stopped.step % 30  # short of the next evaluation
    assert max(saved_steps(tmp_path / "stopped" / "checkpoints")) == stopped.step
    resumed = rlx.resume(tmp_path / "stopped", agent=agent, quiet=True)
    assert resumed.finished
    np.testing.assert_array_equal(resumed.state.params, whole.state.params)
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")


@pytest.mark.parametrize("number", [0, 1])
def test_a_run_interrupted_in_an_evaluation_saves_and_makes_it_when_it_goes_on(
    listening, env, tmp_path, monkeypatch, number
):
    agent, waited = Stub(env.spec), []
    whole = train(agent, env, tmp_path / "whole")

    def interrupted(results, unless):
        waited.append(results)
        if len(waited) <= number:
            return wait(results, unless)
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        return False

    monkeypatch.setattr("rlx.runner.run.wait", interrupted)
    stopped = train(agent, env, tmp_path / "stopped")
    assert (stopped.step, stopped.finished) == (30 * number, False)
    assert max(saved_steps(tmp_path / "stopped" / "checkpoints")) == stopped.step
    assert len(rows_of(tmp_path / "stopped")) == 2 * number
    resumed = rlx.resume(tmp_path / "stopped", agent=agent, quiet=True)
    np.testing.assert_array_equal(resumed.state.params, whole.state.params)
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")


def test_a_run_killed_between_its_last_state_and_its_last_policy_saves_that_policy(env, tmp_path):
    agent = Stub(env.spec)
    whole = train(agent, env, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "policy")
    resumed = rlx.resume(tmp_path / "run", agent=agent, quiet=True)
    assert resumed.finished
    np.testing.assert_array_equal(resumed.state.params, whole.state.params)
    assert saved_steps(tmp_path / "run" / "policy") == [60]
    np.testing.assert_array_equal(rlx.load(tmp_path / "run", agent=agent).state.params, whole.state.params)


def test_a_loss_that_is_not_finite_fails_the_run_and_names_the_seed(env, tmp_path):
    with pytest.raises(RunFailed, match=r"a loss .* of seed 7 .* infinite or NaN"):
        train(Stub(env.spec, healthy_for=5.0), env, tmp_path / "run", seed=7, num_seeds=1)
    # Of iterations of 6 steps the first six are sound: the fifth has a loss, the sixth makes no update.
    assert saved_steps(tmp_path / "run" / "checkpoints")[-1] == 36
    (failed,) = saved_steps(tmp_path / "run" / "failed")
    assert failed > 36


def test_a_reward_that_is_not_a_number_fails_the_run(tmp_path):
    env = rlx.make_env("rlx/probe-nan")
    with pytest.raises(RunFailed, match="infinite or NaN"):
        train(Stub(env.spec), env, tmp_path / "run")
    assert saved_steps(tmp_path / "run" / "failed")


def test_a_folder_that_holds_a_run_is_not_written_again(env, tmp_path):
    train(Stub(env.spec), env, tmp_path / "run")
    before = rows_of(tmp_path / "run")
    with pytest.raises(rlx.ConfigurationError, match="holds a run already"):
        train(Stub(env.spec), env, tmp_path / "run", total_steps=6)
    assert rows_of(tmp_path / "run") == before


# Right actions among four episodes, by the number of updates; of a reward of 1 each, and -1 for the others.
RIGHT = (0, 2, 1, 4, 1, 3)


@struct.dataclass
class Swinging(Stub):
    """Its evaluations go up and down."""

    def init(self, key):
        return StubState(params=jnp.zeros((), jnp.int32), memory=jnp.zeros(2))

    def update(self, state, rollout, key, clock):
        moved, metrics = super().update(state.replace(params=jnp.zeros(3)), rollout, key, clock)
        return moved.replace(params=state.params + 1), metrics

    def policy(self, state, timestep, key, mode):
        return (jnp.arange(len(timestep.reward)) < jnp.array(RIGHT)[state.params]).astype(jnp.int32)


def test_the_best_checkpoint_is_that_of_the_best_evaluation(tmp_path):
    env = rlx.make_env("rlx/probe-action")
    folder, agent = tmp_path / "run", Swinging(env.spec)
    settings = {"total_steps": 30, "num_evaluations": 5, "num_checkpoints": 5, "eval_episodes": 4}
    train(agent, env, folder, num_seeds=1, keep_checkpoints=1, **settings)
    assert [row["evaluation/return_mean"] for row in rows_of(folder)] == [-1.0, 0.0, -0.5, 1.0, -0.5, 0.5]
    assert saved_steps(folder / "checkpoints") == [18, 30]
    # A run that goes on knows which was the best.
    shutil.rmtree(folder / "checkpoints" / "30")
    assert rlx.resume(folder, agent=agent, quiet=True).finished
    assert saved_steps(folder / "checkpoints") == [18, 30]


def test_every_evaluation_plays_episodes_of_its_own(tmp_path):
    """In probe-observation the return is that of a coin, whatever the agent does."""
    env = rlx.make_env("rlx/probe-observation")
    train(Stub(env.spec), env, tmp_path / "run", eval_episodes=32)
    returns = [tuple(row["evaluation/returns"]) for row in rows_of(tmp_path / "run")]
    assert len(set(returns)) == 6  # of three evaluations of two members


def test_a_state_that_was_not_evaluated_is_not_the_best(tmp_path, monkeypatch):
    """Ten saves and five evaluations: the best is the state evaluated after 4 updates, not the one saved after 5."""
    monkeypatch.setitem(globals(), "RIGHT", (0, 0, 2, 0, 4, 0, 1, 0, 1, 0, 3))
    env = rlx.make_env("rlx/probe-action")
    settings = {"num_evaluations": 5, "num_checkpoints": 10, "eval_episodes": 4, "keep_checkpoints": 1}
    train(Swinging(env.spec), env, tmp_path / "run", num_seeds=1, **settings)
    assert saved_steps(tmp_path / "run" / "checkpoints") == [24, 60]


def test_runs_in_threads_do_not_wait_for_each_other(env, tmp_path):
    """Several trainings of one process, as Optuna's ``n_jobs`` makes them, save at the same time."""
    settings = {"num_checkpoints": 10, "num_evaluations": 10}
    folders = [tmp_path / name for name in ("one", "two", "three", "four")]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(train, Stub(env.spec), env, folder, **settings) for folder in folders]
        assert [run.result(timeout=120).step for run in runs] == [60] * 4
    assert all(rows_of(folder) == rows_of(folders[0]) for folder in folders)


def test_a_run_that_runs_already_is_refused(env, tmp_path):
    agent, folder = Stub(env.spec), tmp_path / "run"
    train(agent, env, folder)
    shutil.rmtree(folder / "policy")  # so that there is something to do
    with locked(folder), pytest.raises(rlx.ConfigurationError, match="is being written by this process"):
        rlx.resume(folder, agent=agent, quiet=True)
    assert rlx.resume(folder, agent=agent, quiet=True).finished


@struct.dataclass
class Leafless(Stub):
    """No field is a leaf, and it acts by nothing."""

    stride: float = struct.field(default=1.0, pytree_node=False)
    healthy_for: float = struct.field(default=1e6, pytree_node=False)

    @property
    def needs(self):
        return Needs(self.num_envs, self.rollout_length, acting=())


def test_an_agent_without_leaves_is_trained_loaded_and_resumed(env, tmp_path):
    agent, folder = Leafless(env.spec), tmp_path / "run"
    assert jax.tree.leaves(agent) == []
    assert train(agent, env, folder).finished
    loaded = rlx.load(folder, agent=agent)
    assert np.asarray(rlx.evaluate(loaded).returns).tolist() == [[1.0] * 3] * 2
    shutil.rmtree(folder / "checkpoints" / "60")
    assert rlx.resume(folder, agent=agent, quiet=True).step == 60


def fail_with(error):
    def failing(*given):
        raise error

    return failing


MESSAGES = {
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device", "file"),
        "cannot write or read file: No space left",
    ),
    "memory": (MemoryError(), "memory ran out; a smaller num_seeds"),
    "memory of a device": (
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."),
        "memory ran out; a smaller num_seeds",
    ),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_fails_from_outside_is_one_line_that_says_what_is_safe(env, tmp_path, monkeypatch, kind):
    error, words = MESSAGES[kind]
    agent, folder = Stub(env.spec), tmp_path / "run"
    advance = Population.advance
    # In the chunk after the save at step 24.
    late = lambda self, states, *given: (  # noqa: E731
        fail_with(error)() if int(states[0].clock.env_steps) >= 24 else advance(self, states, *given)
    )
    monkeypatch.setattr(Population, "advance", late)
    with pytest.raises(RunFailed) as failed:
        train(agent, env, folder)
    assert str(failed.value).startswith(words)
    assert str(failed.value).endswith(f"what was saved at step 24 is safe, and resume={folder} goes on from there")
    assert "\n" not in str(failed.value)
    monkeypatch.undo()
    assert rlx.resume(folder, agent=agent, quiet=True).step == 60


def test_a_mistake_in_the_code_keeps_its_traceback(env, tmp_path, monkeypatch):
    monkeypatch.setattr(Population, "advance", fail_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        train(Stub(env.spec), env, tmp_path / "run")
