"""The scripts of ``experiments/`` as functions, and what a refusal must leave behind: nothing."""

import importlib

import pytest
from command_lines import TINY


@pytest.fixture
def script():
    """A script's module by its name."""
    return importlib.import_module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of two members."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    importlib.import_module("train").train([*TINY, "num_seeds=2", f"run_dir={path}"])
    return path
