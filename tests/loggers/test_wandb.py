import json
import struct
import sys

import pytest

from rlx.errors import ConfigurationError
from rlx.loggers.wandb import WandB


def records(path):
    """Records of an offline run's file: after 7 bytes each is checksum (4), length (2), kind (1), message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, read = path.read_bytes()[7:], []
    while data:
        _, length, _ = struct.unpack_from("<IHB", data)
        read.append(Record.FromString(data[7 : 7 + length]))
        data = data[7 + length :]
    return read


def test_an_offline_run_holds_config_and_history(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandB("rlx-tests", "ppo", {"agent": {"discount": 0.99}}, tmp_path, mode="offline")
    for step in (0, 100):
        members = [{"step": step, "member": m, "seed": 7 + m, "evaluation/return": step + m} for m in range(2)]
        logger.rows([{**member, "evaluation/returns": [1.0, 2.0]} for member in members])
    logger.close()
    wandb.teardown()  # as at the exit of the process: W&B's own process has then written everything
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    read = records(path)
    (run,) = [record.run for record in read if record.HasField("run")]
    assert (run.project, run.display_name) == ("rlx-tests", "ppo")
    assert {item.key: json.loads(item.value_json) for item in run.config.update}["agent"] == {"discount": 0.99}
    history = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in read
        if record.HasField("history")
    ]
    kept = [{key: value for key, value in entry.items() if not key.startswith("_")} for entry in history]
    assert kept == [
        {"step": 0, "evaluation/return/seed_7": 0, "evaluation/return/seed_8": 1},
        {"step": 100, "evaluation/return/seed_7": 100, "evaluation/return/seed_8": 101},
    ]


def test_points_of_a_sweep_are_runs_of_their_own_in_one_group(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("point-0", "point-1"):
        WandB("rlx-tests", name, {}, tmp_path, mode="offline", group="a sweep").close()
    wandb.teardown()
    paths = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    runs = [record.run for path in paths for record in records(path) if record.HasField("run")]
    assert {(run.run_group, run.display_name) for run in runs} == {("a sweep", "point-0"), ("a sweep", "point-1")}
    assert len(paths) == 2


def test_missing_wandb_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rlx\[wandb\]'"):
        WandB("rlx-tests", "ppo", {}, tmp_path)
