"""A population over two hosts: two processes of ``jax.distributed`` on the loopback interface share a sweep."""

import json
import os
import socket
import subprocess
import sys

import numpy as np

import rlx
from rlx.loggers.jsonl import read_rows

HOST = """
import json, sys
import jax
port, process, values = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=process)
import rlx
assert jax.process_count() == 2 and jax.device_count() == 2 * jax.local_device_count() == 16
rlx.sweep(values, quiet=True)
"""


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_two_hosts_train_a_population_together(tiny, tmp_path):
    values = {**tiny, "num_checkpoints": 1, "sweep.agent.learning_rate": [1e-4, 1e-3, 1e-2, 2e-2]}
    here = rlx.sweep({**values, "sweep_dir": str(tmp_path / "here")}, quiet=True)
    port, told = free_port(), json.dumps({**values, "sweep_dir": str(tmp_path / "both")})
    command = [sys.executable, "-c", HOST, str(port)]
    hosts = [
        subprocess.Popen([*command, str(process), told], stderr=subprocess.PIPE, text=True, env=os.environ)
        for process in (0, 1)
    ]
    errors = [host.communicate(timeout=300)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], errors
    # A share for each host, and every point as if trained here.
    assert sorted(folder.name for folder in (tmp_path / "both" / "runs").iterdir()) == ["00000", "00001"]
    curves = {result.point.number: result.curve[1] for result in here.results}
    for number in (0, 1):
        rows = read_rows(tmp_path / "both" / "runs" / f"0000{number}" / "metrics.jsonl")
        for member in range(4):
            returns = [row["evaluation/return_mean"] for row in rows if row["member"] == member]
            np.testing.assert_array_equal(returns, curves[2 * number + member // 2][member % 2])
    holders = {(tmp_path / "both" / "runs" / f"0000{number}" / ".lock").read_text() for number in (0, 1)}
    assert len(holders) == 2
