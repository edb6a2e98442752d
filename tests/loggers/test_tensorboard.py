import struct
import sys

import pytest

from rlx.errors import ConfigurationError
from rlx.loggers.tensorboard import TensorBoard


def row(step, member, seed, value):
    returns = [value, value]
    return {
        "step": step,
        "member": member,
        "seed": seed,
        "evaluation/return": value,
        "evaluation/returns": returns,
    }


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


def scalars(folder):
    return {(v.tag, event.step): v.simple_value for event in events(folder) for v in event.summary.value}


def test_every_member_is_a_tag_of_its_seed(tmp_path):
    logger = TensorBoard(tmp_path)
    logger.rows([row(0, 0, 7, 1.5), row(0, 1, 8, 2.5)])
    logger.rows([row(100, 0, 7, 3.5), row(100, 1, 8, 4.5)])
    logger.close()
    assert scalars(tmp_path) == {
        ("evaluation/return/seed_7", 0): 1.5,
        ("evaluation/return/seed_8", 0): 2.5,
        ("evaluation/return/seed_7", 100): 3.5,
        ("evaluation/return/seed_8", 100): 4.5,
    }


def test_members_that_share_a_seed_stay_apart(tmp_path):
    logger = TensorBoard(tmp_path)
    logger.rows([row(0, 0, 7, 1.5), row(0, 1, 7, 2.5)])
    logger.close()
    assert scalars(tmp_path) == {
        ("evaluation/return/member_0", 0): 1.5,
        ("evaluation/return/member_1", 0): 2.5,
    }


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path):
    logger = TensorBoard(tmp_path, purge_step=101)
    logger.rows([row(200, 0, 7, 1.5)])
    logger.close()
    # A session that starts at a step is how TensorBoard knows what to hide.
    starts = [event.step for event in events(tmp_path) if event.session_log.status]
    assert starts == [101]


def test_missing_tensorboardx_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rlx\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_a_full_disk_is_an_error_and_not_a_wait(tmp_path):
    """Many more numbers than a queue holds, to a device that is always full."""
    logger = TensorBoard(tmp_path)
    with open("/dev/full", "wb", buffering=0) as full:
        logger._writer._py_recordio_writer._writer = full
        with pytest.raises(OSError, match="No space left"):
            logger.rows([row(step, 0, 7, 1.5) for step in range(50)])
