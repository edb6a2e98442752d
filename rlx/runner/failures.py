"""What ends a run from outside: a disk that is full or must not be written, memory that runs out."""

import errno
import os
import re
from pathlib import Path

_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOENT,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENFILE,
}
# How TensorStore, which Orbax writes with, names the system's error.
_OS_ERROR = re.compile(r"\[(?:OS error |os_error_code=')(\d+)")


def from_outside(error: BaseException) -> str | None:
    """What happened, in a few words; ``None`` if ``error`` is of another kind."""
    if out_of_memory(error):
        return "memory ran out; a smaller num_seeds, agent.num_envs, agent.replay_size or env.pool_size takes less"
    number = disk_error(error)
    if number is None:
        return None
    file = getattr(error, "filename", None)
    return f"cannot write or read {file or 'a file'}: {os.strerror(number)}"


def out_of_memory(error: BaseException) -> bool:
    """Whether the host or a device has no memory left."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED: Out of memory" in str(error)


def disk_error(error: BaseException) -> int | None:
    """The system's number of a failure to read or write a file."""
    if isinstance(error, OSError):
        return error.errno if error.errno in _DISK else None
    named = _OS_ERROR.search(str(error))
    return int(named[1]) if named else None


def as_disk_error(error: Exception, path: Path) -> Exception:
    """An ``OSError`` that names ``path``, if ``error`` is a failure to write it; else ``error``."""
    number = disk_error(error)
    return error if number is None else OSError(number, os.strerror(number), str(path))
