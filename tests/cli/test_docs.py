"""The code in the documentation runs as it stands, only for fewer steps, and what it names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"reproducing"}  # its code is a file of its own, which tests/reproduce runs
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in ELSEWHERE)]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]
# Rows such as | `V(s) = ...` | `rlx/ops/td.py`, `Class.function` |
PLACES = [
    pytest.param(*place, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, place in enumerate(re.findall(r"\| `([\w/]+\.py)`, `([\w.]+)` \|$", page.read_text(), re.MULTILINE))
]


def names_in(body, prefix=""):
    """Full names of the functions, classes and constants that a module or class defines."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from names_in(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign):
            yield from (prefix + target.id for target in node.targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    block = re.sub(r"total_steps=[\d_e]+", "total_steps=8192, num_evaluations=1, eval_episodes=2", block)
    exec(compile(block, "block", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out
    assert (tmp_path / "runs").is_dir()


def test_training_from_python_takes_less_than_ten_lines():
    block = BLOCKS[0].values[0]
    assert "rlx.train(" in block
    assert len([line for line in block.splitlines() if line]) < 10


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_the_place_of_an_equation_exists(file, name):
    assert name in set(names_in(ast.parse((ROOT / file).read_text()).body))


def test_every_row_of_the_tables_of_equations_names_a_place():
    table = re.compile(r"^\| [\w ]+ \| where \|\n\| --- \| --- \|\n((?:\|.*\n)+)", re.MULTILINE)
    tables = [rows for page in PAGES for rows in table.findall(page.read_text())]
    assert len(tables) >= 5
    assert sum(len(rows.splitlines()) for rows in tables) == len(PLACES)
