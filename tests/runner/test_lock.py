"""A folder is locked by whoever writes to it, for as long as that one lives."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from rlx.errors import ConfigurationError
from rlx.runner import lock
from rlx.runner.lock import locked

HOLD = """
import sys
from pathlib import Path
from rlx.runner.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_named_and_its_end_frees_the_folder_even_a_kill(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=rf"is being written by process {holder.pid} on .*; wait for it"):
            locked(tmp_path).__enter__()
        holder.kill()
        holder.wait()
    with locked(tmp_path) as note:
        assert note is None


def test_another_thread_is_refused_and_the_end_of_the_block_frees_the_folder(tmp_path):
    refused = []

    def enter():
        try:
            with locked(tmp_path):
                refused.append(False)
        except ConfigurationError:
            refused.append(True)

    with locked(tmp_path):
        for _ in range(2):  # and who was refused has not freed it
            thread = threading.Thread(target=enter)
            thread.start()
            thread.join()
    enter()
    assert refused == [True, True, False]


def test_a_file_system_without_locks_gets_a_note(tmp_path, monkeypatch):
    def unsupported(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", unsupported)
    with locked(tmp_path) as note:
        assert "cannot be locked (No locks available)" in note


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def read_only(*given):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ConfigurationError, match=r"cannot write to .* .Read-only file system.; copy it"):
        locked(tmp_path).__enter__()
