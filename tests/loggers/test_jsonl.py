import json
import math

import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.loggers.jsonl import JsonLines, read_rows, truncate_after


def row(step, member=0, **values):
    return {"step": step, "member": member, "seed": member, "wall_time": 0.1 * step, **values}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_read_back_as_they_were(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [row(0, m, **{"evaluation/returns": [1 / 3, -1e300, 5e-324], "loss/value": 0.1 + m}) for m in range(2)]
    JsonLines(path).rows(rows)
    JsonLines(path).rows([row(10)])  # a second logger appends
    assert read(path) == [*rows, row(10)]


def test_what_json_lacks_becomes_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    JsonLines(path).rows([row(0, **{"a/x": math.nan, "a/y": -math.inf, "a/z": [1.0, math.nan]})])
    assert "NaN" not in path.read_text()
    assert read(path) == [row(0, **{"a/x": None, "a/y": None, "a/z": [1.0, None]})]


def test_arrays_and_their_scalars_become_plain_numbers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    logger = JsonLines(path)
    logger.rows([row(0, **{"a/x": np.float32(0.1), "a/y": np.array([1, 2]), "a/z": np.array(np.nan)})])
    logger.close()
    written = read(path)[0]
    assert np.float32(written["a/x"]) == np.float32(0.1)
    assert written["a/y"] == [1, 2]
    assert written["a/z"] is None


@pytest.mark.parametrize("torn", ["", '{"step": 10, "memb', '{"step": 10, "member": 1, "a/x": 2.5'])
def test_truncation_keeps_the_rows_up_to_a_step(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    rows = [row(step, member) for step in (0, 10, 20) for member in range(2)]
    JsonLines(path).rows(rows)
    with path.open("a") as file:
        file.write(torn)
    truncate_after(path, 10)
    JsonLines(path).rows([row(20, 0)])
    assert read(path) == [*rows[:4], row(20, 0)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_truncation_to_before_the_first_row_leaves_an_empty_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    JsonLines(path).rows([row(0)])
    truncate_after(path, -1)
    assert path.read_text() == ""


def test_truncation_of_no_file_does_nothing(tmp_path):
    truncate_after(tmp_path / "metrics.jsonl", 10)
    assert list(tmp_path.iterdir()) == []


def test_truncation_refuses_damage_in_the_middle_and_leaves_the_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    text = json.dumps(row(0)) + "\n{broken\n" + json.dumps(row(10)) + "\n"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="damaged in line 2"):
        truncate_after(path, 0)
    assert path.read_text() == text


def test_reading_tolerates_a_half_written_last_line_and_no_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_rows(path) == []
    path.write_text(json.dumps(row(0)) + "\n" + json.dumps(row(10))[:-1])
    assert read_rows(path) == [row(0)]
    path.write_text('{"step"\n' + json.dumps(row(10)) + "\n")
    with pytest.raises(ConfigurationError, match="damaged in line 1"):
        read_rows(path)
