"""A catalogue of toy tables in a folder to stand in, and the script pointed at it."""

import importlib
import signal

import pytest
from toy_tables import CART, COUNT, write_table


@pytest.fixture
def papers(tmp_path, monkeypatch):
    """A catalogue beside which the scripts run; its name is the test's, as imported modules are remembered."""
    monkeypatch.chdir(tmp_path)
    papers = tmp_path / f"papers_{tmp_path.name}"
    write_table(papers, "toy/count", COUNT)
    write_table(papers, "toy/cart", CART)
    return papers


@pytest.fixture
def script(papers, monkeypatch):
    """experiments/reproduce.py as a module, with the toy tables."""
    module = importlib.import_module("reproduce")
    monkeypatch.setattr(module, "PAPERS", papers)
    return module


@pytest.fixture
def listening():
    """Ctrl-C as in a shell's foreground; in its background Python is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
