"""The scripts of ``experiments/`` as functions, and what a refusal must leave behind: nothing."""

import contextlib
import importlib
import sys
from pathlib import Path

import jax
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = (
    "agent.num_envs=4",
    "agent.rollout_length=8",
    "agent.num_minibatches=2",
    "agent.hidden_sizes=[8]",
    "total_steps=96",
    "num_evaluations=3",
    "num_checkpoints=3",
    "eval_episodes=2",
    "tensorboard=false",
)


@pytest.fixture
def script(monkeypatch):
    """A script's module by its name."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of two members."""
    sys.path.insert(0, str(EXPERIMENTS))
    path = tmp_path_factory.mktemp("runs") / "tiny"
    importlib.import_module("train").train([*TINY, "num_seeds=2", f"run_dir={path}"])
    sys.path.remove(str(EXPERIMENTS))
    return path


@pytest.fixture
def compiled():
    """A context manager that gives the names of the programs compiled within it."""

    @contextlib.contextmanager
    def recorded():
        names = []

        def listener(event, duration, **info):
            if event == "/jax/core/compile/backend_compile_duration":
                names.append(info.get("fun_name"))

        jax.monitoring.register_event_duration_secs_listener(listener)
        yield names
        jax.monitoring.unregister_event_duration_listener(listener)

    return recorded


def contents(folder):
    """Every file below ``folder`` with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
