"""A folder that one run at a time may write to.

The lock is one of the operating system, on a file that stays: it ends with its process, however that ends. Files hold
it, not processes, so that it also keeps two threads apart.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlx.errors import ConfigurationError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"
# Windows keeps others from reading what is locked; so this byte is, and not those that say who holds the lock.
_BYTE = 1 << 30
_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


class Taken(ConfigurationError):
    """Another run holds the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[str | None]:
    """Keep other runs out of ``folder``, which exists, for as long as the block takes.

    Yields:
        ``None``; where the file system knows no locks, a note that says so.

    Raises:
        Taken: if another one holds it, which is named.
        ConfigurationError: if the folder cannot be written.
    """
    try:
        file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {folder} ({error.strerror}); copy it to where you can, and go on there"
        ) from error
    try:
        yield _take(file, folder)
    finally:
        os.close(file)


def _take(file: int, folder: Path) -> str | None:
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD:
            raise Taken(f"{folder} is being written by {_holder(file)}; wait for it or stop it") from error
        return f"{folder} cannot be locked ({error.strerror}); see to it that nobody else goes on with this run"
    with contextlib.suppress(OSError):  # who holds it is for messages alone, and a disk may be full
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return None


def _lock(file: int) -> None:
    """Take the lock or raise ``OSError`` at once."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    os.lseek(file, _BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(file, 0, os.SEEK_SET)


def _holder(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    said = os.read(file, 200).decode(errors="replace").strip() or "another process"
    return f"this {said}" if said.split()[:2] == ["process", str(os.getpid())] else said
