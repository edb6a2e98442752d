"""The table in docs/reproducing.md works as it stands."""

import re
from pathlib import Path

import numpy as np
from toy_tables import write_table

PAGE = Path(__file__).parents[2] / "docs" / "reproducing.md"


def test_the_example_is_a_table(script, papers, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    write_table(papers, "example/arms", block)
    script.main(["example/arms"])
    folder = papers.parent / "results" / "example" / "arms"
    greedy, exploring = np.genfromtxt(folder / "table.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    # The greedy one stays with the worse arm for good if that wins first; the other one finds out.
    assert greedy["ours"] < exploring["ours"]
    assert exploring["low"] > 0.5
    assert greedy["seeds"] == 16
    assert (folder / "figures" / "better_arm.png").exists()
    assert "| holds |" in (folder / "verdict.md").read_text()
    script.main(["example/arms", "seeds=2"])
    assert "not decidable at this budget: Exploring pays (fewer than 8 seeds)" in capsys.readouterr().out
