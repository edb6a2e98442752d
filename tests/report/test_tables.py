import csv

import numpy as np

from rlx.report.tables import write_table


def test_markdown_is_rounded_and_csv_exact(tmp_path):
    rows = [
        {"agent": "ppo", "return": 15203.71, "share": 1 / 3, "seeds": 10},
        {"agent": "a|b", "return": np.float32(-0.5), "share": 3e-4, "note": 'short, "quoted"'},
    ]
    write_table(rows, tmp_path / "table.v1")
    assert (tmp_path / "table.v1.md").read_text() == (
        "| agent | return | share | seeds | note |\n"
        "| --- | ---: | ---: | ---: | --- |\n"
        "| ppo | 15204 | 0.3333 | 10 |  |\n"
        '| a\\|b | -0.5 | 0.0003 |  | short, "quoted" |\n'
    )
    with (tmp_path / "table.v1.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [entry["agent"] for entry in read] == ["ppo", "a|b"]
    assert [float(entry["share"]) for entry in read] == [1 / 3, 3e-4]
    assert [entry["seeds"] for entry in read] == ["10", ""]
    assert read[1]["note"] == 'short, "quoted"'
