"""Rooms stay small: files of 300 lines, functions of 40 without docstring, nesting of two; exceptions only shrink."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "rlx").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
MAX_LINES, MAX_FUNCTION, MAX_NESTING = 300, 40, 2
# What is larger today, and by how much it may be; lower or remove an entry when its function shrinks.
FUNCTIONS: dict[str, int] = {}
NESTING: dict[str, int] = {
    "rlx/compose.py:_composed": 3,
    "rlx/envs/brax.py:make": 3,
    "rlx/envs/jumanji.py:make": 3,
    "rlx/loggers/jsonl.py:read_rows": 3,
    "rlx/reproduce/perform.py:perform": 3,
    "rlx/runner/folder.py:_as_yaml": 3,
    "rlx/watching.py:watch": 3,
}
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)


def functions():
    """Name, lines without docstring and nesting of every function."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
                yield f"{file.relative_to(ROOT)}:{node.name}", lines, nesting(node)


def nesting(node, depth=0):
    """How deep blocks stand in one another; functions within count for themselves, and an ``elif`` goes no deeper."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda):
            continue
        elif_ = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child, depth + (isinstance(child, BLOCKS) and not elif_)))
    return deepest


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_one_room(file):
    assert len(file.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    ("exceptions", "limit", "which"),
    [(FUNCTIONS, MAX_FUNCTION, 1), (NESTING, MAX_NESTING, 2)],
    ids=["lines", "nesting"],
)
def test_functions_are_small(exceptions, limit, which):
    found = {entry[0]: entry[which] for entry in functions() if entry[which] > limit}
    assert found == exceptions
