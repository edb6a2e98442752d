"""A run can be resumed, loaded and evaluated again to the same bits, and a failure spoils nothing."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from kill_resume import differences, last_step, newest, unequal

import rlx
from rlx.loggers.jsonl import read_rows
from rlx.runner.acting import acting_part, remember
from rlx.runner.loop import without_clock
from rlx.runner.run import RunFailed

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

ITERATIONS = 12
HALF = ITERATIONS // 2
# One of each kind of learner, which is resumed in a new process; all others are in this one.
KINDS = ("ace", "coach", "dqn", "mbma", "ppo", "symphony")


def steps(case, iterations):
    return iterations * case.agent.needs.num_envs * case.agent.needs.rollout_length


@pytest.fixture(scope="session")
def finished(case, tmp_path_factory):
    """The folder of a run of two members that nothing disturbed."""
    settings = {"num_seeds": 2, "num_evaluations": 2, "num_checkpoints": 2, "eval_episodes": 2, "keep_checkpoints": 3}
    folder = tmp_path_factory.mktemp(case.name) / "finished"
    rlx.train(case.agent, case.env, total_steps=steps(case, ITERATIONS), run_dir=str(folder), quiet=True, **settings)
    return folder


@pytest.fixture
def stopped(case, finished, tmp_path):
    """The folder as a run leaves it that was killed after the checkpoint at half time and the evaluation after it."""
    folder = tmp_path / "stopped"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints" / str(steps(case, ITERATIONS)))
    assert last_step(folder) == steps(case, HALF)
    return folder


def test_resumed_it_ends_in_the_same_bits(case, finished, stopped):
    if case.name in KINDS:
        resume = [sys.executable, str(EXPERIMENTS / "train.py"), f"resume={stopped}"]
        subprocess.run(resume, check=True, capture_output=True)
    else:
        rlx.resume(stopped, quiet=True)
    assert last_step(stopped) == last_step(finished)
    assert differences(finished, stopped) == []


def test_a_loaded_policy_repeats_the_logged_evaluation(case, finished):
    trained = rlx.load(finished)
    assert trained.step == steps(case, ITERATIONS)
    rows = [row for row in read_rows(finished / "metrics.jsonl") if row["step"] == trained.step]
    assert [row["evaluation/returns"] for row in rows] == np.asarray(rlx.evaluate(trained).returns).tolist()
    checkpoint = newest(finished / "checkpoints")
    policy = {name: leaf for name, leaf in newest(finished / "policy").items() if name != "/step"}
    assert unequal(policy, {name: checkpoint[f"['agent']{name}"] for name in policy}) == []


@pytest.mark.parametrize("mode", ["greedy", "sample"])
def test_a_policy_reads_only_the_acting_part(case, mode):
    state = case.one.advance(case.one.start(), case.iterations)
    state = jax.tree.map(lambda leaf: leaf[0], without_clock(state))
    _, timestep = remember(case.agent, state.agent, state.scene.memory, state.scene.timestep, learning=False)
    policy = jax.jit(lambda agent: case.agent.policy(agent, timestep, jax.random.key(1), mode))
    acting = acting_part(case.agent, state.agent)
    assert len(jax.tree.leaves(acting)) < len(jax.tree.leaves(state.agent))
    np.testing.assert_array_equal(policy(acting), policy(state.agent))


def test_a_diverged_run_fails_and_keeps_the_last_good_state(case, finished, stopped):
    rates = [field for field in vars(case.agent) if "learning_rate" in field or "step_size" in field]
    assert rates, "name a hyperparameter that makes it diverge"
    wild = dataclasses.replace(case.agent, **dict.fromkeys(rates, 1e38))
    good = newest(stopped / "checkpoints")
    with pytest.raises(RunFailed, match="infinite or NaN"):
        rlx.resume(stopped, agent=wild, quiet=True)
    assert unequal(good, newest(stopped / "checkpoints")) == []
    assert newest(stopped / "failed")["/step"] > steps(case, HALF)
    # What was saved before is as good as new: with its own step size the run ends as if nothing had happened.
    rlx.resume(stopped, quiet=True)
    assert differences(finished, stopped) == []
