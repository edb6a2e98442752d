"""JAX's switches change no number of an agent and break nothing; in new interpreters, where they are set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import switched

from rlx.runner import nans

SCRIPT = Path(__file__).with_name("switched.py")


# Every operation of an uncompiled agent compiles by itself: one of each kind of learner is dear enough.
UNCOMPILED = ("dqn", "ppo")


def found(task, agents, **switches):
    """By agent, what the script says of it."""
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(SCRIPT), task, *agents]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths, **switches}, capture_output=True, text=True)
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)


@pytest.fixture(scope="session")
def uncompiled():
    return found("train", UNCOMPILED, JAX_DISABLE_JIT="1", JAX_DEBUG_NANS="1")


def test_with_64_bits_all_numbers_are_the_same_bits(case):
    in_64_bits = found("numbers", [case.name], JAX_ENABLE_X64="1")
    assert in_64_bits[case.name] == switched.numbers(case.one)


@pytest.mark.parametrize("name", UNCOMPILED)
def test_uncompiled_it_trains_and_no_operation_makes_a_nan(name, uncompiled):
    assert uncompiled[name].startswith("trained to ")


def test_what_programs_return_of_a_healthy_run_holds_no_nan(case):
    """Not even where no episode has ended yet, and nothing is learned: then it is not taken for a fault."""
    for length in (1, 5):
        results = case.one.chunk(case.one.start(), length)
        assert not nans.members_with_nan(results).any()
    assert not nans.members_with_nan(case.one.evaluate(results.states[0])).any()
