import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rlx
from rlx.errors import ConfigurationError
from rlx.report.runs import learning_curves, read_run


def write_run(folder, lines):
    (folder / "config.yaml").write_text("agent: {name: ppo, learning_rate: 3e-4}\ntotal: 100\ntwice: ${total}\n")
    (folder / "metadata.json").write_text(json.dumps({"rlx": "0.1.0"}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def row(step, member, value):
    return json.dumps({"step": step, "member": member, "seed": 7 + member, "evaluation/return_mean": value})


def test_a_run_is_read_back(tmp_path):
    write_run(tmp_path, [row(0, 0, 1.5)])
    run = read_run(tmp_path)
    assert run.config == {"agent": {"name": "ppo", "learning_rate": 3e-4}, "total": 100, "twice": 100}
    assert run.metadata == {"rlx": "0.1.0"}
    assert run.rows == [{"step": 0, "member": 0, "seed": 7, "evaluation/return_mean": 1.5}]


@pytest.mark.parametrize("torn", ['{"step": 20, "mem', '{"step": 20, "member": 0, "evaluation/return_mean": 1', "{"])
def test_a_half_written_last_row_is_ignored(tmp_path, torn):
    write_run(tmp_path, [row(0, 0, 1.5), row(10, 0, 2.5), torn])
    assert [entry["step"] for entry in read_run(tmp_path).rows] == [0, 10]


def test_a_damaged_row_in_the_middle_is_named(tmp_path):
    write_run(tmp_path, [row(0, 0, 1.5), '{"step"', row(10, 0, 2.5)])
    with pytest.raises(ConfigurationError, match="damaged in line 2"):
        read_run(tmp_path)


def test_a_folder_without_records_is_named(tmp_path):
    write_run(tmp_path, [])
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(ConfigurationError, match=f"{tmp_path} is not a run folder: it has no metadata.json"):
        read_run(tmp_path)
    with pytest.raises(ConfigurationError, match=r"no config.yaml, metadata.json, metrics.jsonl"):
        read_run(tmp_path / "nowhere")


def test_learning_curves_are_members_by_steps(tmp_path):
    write_run(tmp_path, [row(0, 1, 10.0), row(0, 0, 1.0), row(5, 0, 2.0), row(5, 1, None), row(9, 0, 3.0)])
    steps, values = learning_curves(read_run(tmp_path))
    np.testing.assert_array_equal(steps, [0, 5, 9])
    np.testing.assert_array_equal(values, [[1.0, 2.0, 3.0], [10.0, np.nan, np.nan]])


def test_an_unknown_metric_is_named_with_the_nearest(tmp_path):
    write_run(tmp_path, [row(0, 0, 1.0)])
    with pytest.raises(ConfigurationError, match=r"did you mean 'evaluation/return_mean'"):
        learning_curves(read_run(tmp_path), "evaluation/retrun_mean")


def test_reports_do_not_import_jax(tmp_path):
    write_run(tmp_path, [row(0, 0, 1.0), row(5, 0, 2.0)])
    program = f"""
import sys
import types
from pathlib import Path
sys.modules["jax"] = None
sys.modules["rlx"] = types.ModuleType("rlx")  # without the package's own set-up of JAX
sys.modules["rlx"].__path__ = [{str(Path(rlx.__file__).parent)!r}]
from rlx.report import curves, runs, statistics, tables
folder = Path({str(tmp_path)!r})
curves.plot_learning_curves({{"ppo": runs.learning_curves(runs.read_run(folder))}}, folder / "curve.png")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "curve.png").exists()
