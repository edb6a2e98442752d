"""What a sweep leaves, of points that are given: ranks, tables, figures' numbers, rows for other programs."""

import json
import math
import struct

import numpy as np
import pytest
import yaml

from rlx.runner.settings import RunSettings
from rlx.sweeps import page, results
from rlx.sweeps.figures import bins, heat_map
from rlx.sweeps.outcome import best_yaml, curve_rows, tell_loggers, write_outcome
from rlx.sweeps.results import Result, ranked, row_of
from rlx.sweeps.segments import Segment, Sheet, Source, finish, write
from rlx.sweeps.space import Axis, Point

RATE = Axis("agent.learning_rate", (1e-3, 1e-2), "log", 1e-3, 1e-2)
SIZES = Axis("agent.hidden_sizes", ([8], [16]))


def result(number, scores, state="finished", steps=100, **values):
    scores = np.array(scores, np.float64)
    values = values or {"agent.learning_rate": (1e-3, 1e-2)[number % 2], "agent.hidden_sizes": ([8], [16])[number // 2]}
    curve = (np.array([0, steps]), np.stack([np.zeros_like(scores), scores], axis=1))
    return Result(Point(number, values), state, steps, scores, curve, (0, number))


@pytest.fixture
def found():
    """Two by two: means 2, 5, 1, and one that has diverged."""
    return [result(0, [1, 3]), result(1, [4, 6]), result(2, [1, 1]), result(3, [9, math.nan], "diverged")]


def test_the_best_mean_over_seeds_comes_first_and_what_has_not_finished_last(found):
    left = result(4, [99, 99], "left behind", 30, **found[0].point.values)
    assert [each.point.number for each in ranked([left, *found])] == [1, 0, 2, 3, 4]
    assert found[3].score == -math.inf


def test_a_row_has_the_values_the_mean_and_its_interval(found):
    row = row_of(found[1], 1)
    assert row == {
        "rank": 1, "point": 1, "agent.learning_rate": 1e-2, "agent.hidden_sizes": "[8]",
        "return": 5.0, "low": 4.0, "high": 6.0, "seeds": 2, "steps": 100, "state": "finished",
    }  # fmt: skip
    assert row_of(found[3], 4)["return"] == ""


def test_a_heat_map_has_the_mean_of_each_pair(found):
    values, labels = heat_map(RATE, SIZES, found[:3])
    np.testing.assert_array_equal(values, [[2.0, 5.0], [1.0, np.nan]])
    assert labels == (["0.001", "0.01"], ["[8]", "[16]"])


def test_many_values_are_taken_together():
    axis = Axis("agent.learning_rate", (), "linear", 0.0, 1.0)
    drawn = [result(0, [number], **{"agent.learning_rate": number / 24}) for number in range(24)]
    grouped = bins(axis, drawn)
    assert [len(group) for _, group in grouped] == [2] * 12
    assert [value for value, _ in grouped[:2]] == pytest.approx([0.5 / 24, 2.5 / 24])


def test_files(found, tmp_path):
    pytest.importorskip("matplotlib")
    names = write_outcome(tmp_path, {"agent": "ppo"}, [RATE, SIZES], found)
    assert set(names) == {file.name for file in tmp_path.iterdir()}
    best = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert best == {"agent": "ppo", "agent.learning_rate": 0.01, "agent.hidden_sizes": [8]}


def test_the_best_file_says_what_it_is(found):
    first = best_yaml({}, found[1]).splitlines()[0]
    assert first == "# Point 1 of a sweep: return 5 (4 to 6) over 2 seeds after 100 steps."


def test_nothing_on_the_page_ends_its_script_early(found):
    text = page.page("</script>", {"env": "</script><b>"}, [RATE, SIZES], found)
    assert text.count("</script>") == 1
    assert '"title": "<\\/script>"' in text


def test_a_point_that_has_diverged_is_null_on_the_page(found):
    point = page._point(found[3], 4)
    assert (point["score"], point["low"]) == (None, None)
    assert json.dumps(point, allow_nan=False)


def events(folder):
    """Events of the one file in ``folder``: length (8 bytes), its checksum (4), message, its checksum (4)."""
    event_pb2 = pytest.importorskip("tensorboardX").proto.event_pb2
    (path,) = folder.glob("events.*")
    data, read = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        read.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return read


def test_every_point_is_told_to_tensorboard_with_its_hyperparameters(found, tmp_path):
    pytest.importorskip("tensorboardX")
    tell_loggers(tmp_path, RunSettings(), found)
    folders = sorted((tmp_path / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == [f"point-{number:05d}" for number in range(4)]
    tags = {value.tag: value for event in events(folders[1]) for value in event.summary.value}
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "sweep/return"} <= tags.keys()
    assert tags["sweep/return"].simple_value == 5.0
    assert b"agent.learning_rate" in tags["_hparams_/session_start_info"].metadata.plugin_data.content
    assert tags["evaluation/return_mean/seed_1"].simple_value == 6.0


def test_weights_and_biases_get_a_run_a_point_in_one_group(found, tmp_path, monkeypatch):
    told = []

    class Recorder:
        def __init__(self, project, name, config, folder, group):
            told.append((project, name, dict(config), group, []))

        def rows(self, rows):
            told[-1][-1].append([row["evaluation/return_mean"] for row in rows])

        def close(self):
            pass

    monkeypatch.setattr("rlx.sweeps.outcome.WandB", Recorder)
    tell_loggers(tmp_path / "mine", RunSettings(tensorboard=False, wandb=True, wandb_project="p"), found[:2])
    assert told[1] == ("p", "point-00001", found[1].point.values, "mine", [[0.0, 0.0], [4.0, 6.0]])
    assert len(told) == 2


def test_rows_of_a_curve(found):
    assert list(curve_rows(found[0]))[1] == [
        {"step": 100, "seed": 0, "evaluation/return_mean": 1.0},
        {"step": 100, "seed": 1, "evaluation/return_mean": 3.0},
    ]


def log(sweep, number, rows):
    """Rows of a segment: step, member and return."""
    folder = sweep / "runs" / f"{number:05d}"
    folder.mkdir(parents=True)
    keys = ("step", "member", "evaluation/return_mean")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Two points of one seed; the second goes on from 50 to 100 as a copy of the first, which is left behind."""
    first, second = Point(0, {"x": 1}), Point(1, {"x": 2})
    write(tmp_path, Segment(0, (first, second), 0, 50))
    log(tmp_path, 0, [(0, 0, 0.0), (0, 1, 1.0), (50, 0, 10.0), (50, 1, 11.0)])
    finish(tmp_path, 0, Sheet([[False], [False]], 1.0))
    write(tmp_path, Segment(1, (second,), 50, 100, (Source(0, 0),)))
    log(tmp_path, 1, [(50, 0, 10.5), (95, 0, 20.0), (100, 0, 40.0)])
    return tmp_path


def test_curves_go_back_through_the_segments_that_members_come_from(folder):
    finish(folder, 1, Sheet([[False]], 1.0))
    points = [Point(0, {"x": 1}), Point(1, {"x": 2}), Point(2, {"x": 3})]
    found = results.results(folder, points, 100, 0.1, over=True)
    assert [each.state for each in found] == ["left behind", "finished", "waiting"]
    assert found[1].curve[0].tolist() == [0, 50, 95, 100]
    assert found[1].curve[1].tolist() == [[0.0, 10.5, 20.0, 40.0]]
    assert found[1].scores.tolist() == [30.0]  # of the last tenth, 95 and 100
    assert found[0].scores.tolist() == [10.0]


def test_before_the_end_a_point_is_interrupted_or_waits(folder):
    (folder / "runs" / "00001" / "config.yaml").touch()
    found = results.results(folder, [Point(0, {"x": 1})], 100, 0.1, over=False)
    assert [each.state for each in found] == ["waiting", "interrupted"]


def test_what_has_diverged_has_no_score(folder):
    finish(folder, 1, Sheet([[True]], 1.0))
    found = results.results(folder, [Point(0, {"x": 1})], 100, 0.1, over=True)
    assert found[1].state == "diverged"
    assert np.isnan(found[1].scores).all()
