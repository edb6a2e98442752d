"""The code in the documentation runs as it stands, only for fewer steps."""

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
