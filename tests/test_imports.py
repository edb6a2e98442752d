"""Imports point one way, so that every room can be read, tested and replaced without those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rlx"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]

# Packages and modules of rlx from the bottom to the top; each imports only from the levels below its own.
LEVELS = (
    {"errors", "devices", "sums", "switches"},
    {"types", "settings", "task_names", "paths", "components"},
    {"registry"},
    {"choose"},
    {"build"},
    {"ops", "networks", "replay", "envs"},
    {"learning"},
    {"agents"},
    {"runner"},
    {"loggers", "report"},
    {"run_config"},
    {"watching"},
    {"verbs"},
    {"compose"},
    {"sweeps", "teaching"},
    {"usage"},
    {"cli"},
    {"reproduce"},
)
# What lies below and still must not be known: agents are built from an EnvSpec, and the loop from an Agent.
NEVER = {
    "choose": {"types"},  # it loads JAX
    "build": {"devices"},
    "ops": {"registry", "choose", "build", "devices"},
    "networks": {"registry", "choose", "build", "devices"},
    "replay": {"registry", "choose", "build", "devices"},
    "envs": {"choose", "build", "devices"},
    "learning": {"registry", "choose", "build", "devices", "envs"},
    "agents": {"registry", "choose", "build", "devices", "envs"},
    "runner": {"registry", "choose", "build", "devices", "agents", "learning", "ops", "networks"},
    "loggers": {"agents", "ops", "networks", "replay", "envs", "runner"},
    "report": {"agents", "ops", "networks", "replay", "envs", "runner"},
}


def room_of(file):
    """The package or module directly below ``rlx`` that a file is, or belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file):
    """Full names of what a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def level(room):
    found = [number for number, rooms in enumerate(LEVELS) if room in rooms]
    assert found, f"say in LEVELS where {room} stands"
    return found[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_imports_only_from_below(file):
    room = room_of(file)
    others = {name.split(".")[1] for name in imported(file) if name.startswith("rlx.")} - {room}
    assert {other for other in others if level(other) >= level(room)} == set()
    assert others & NEVER.get(room, set()) == set()


def test_reports_compute_without_jax():
    for file in (PACKAGE / "report").rglob("*.py"):
        assert {name.partition(".")[0] for name in imported(file)} & {"jax", "flax", "optax", "chex"} == set()


def test_gymnax_is_imported_in_one_place():
    """It comes with plotting libraries, which only that place leaves out."""
    importers = {file for file in FILES if {name.partition(".")[0] for name in imported(file)} & {"gymnax"}}
    assert {file.name for file in importers} == {"gymnax_api.py"}
