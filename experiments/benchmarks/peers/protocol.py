"""How a measured process talks to ``benchmark.py speed``: a line of JSON for each request, over its standard streams.

Standard library only, since every library measured runs this in an environment of its own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Repeat = Callable[[], None]
Compile = Callable[[], Repeat]


def serve(build: Callable[[dict[str, Any]], Compile], packages: tuple[str, ...]) -> None:
    """Compile the task given on the command line, then do it once for each line on standard input.

    The first reply is ``{"compile_seconds", "versions"}``, that to each line ``{"seconds"}``, and at the end of the
    input follows ``{"peak_bytes"}``.

    Args:
        build: makes the task's objects; what it returns compiles, and what that returns does one repetition and
            waits for its result.
        packages: distributions whose versions are reported.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to standard error

    def reply(**values: Any) -> None:
        print(json.dumps(values), file=replies)

    compile_task = build(json.loads(sys.argv[1]))
    began = time.perf_counter()
    repeat = compile_task()
    compile_seconds = time.perf_counter() - began
    reply(compile_seconds=compile_seconds, versions={name: version(name) for name in packages})
    for _ in sys.stdin:
        began = time.perf_counter()
        repeat()
        reply(seconds=time.perf_counter() - began)
    reply(peak_bytes=_peak_bytes())


def _peak_bytes() -> int | None:
    """The largest resident memory so far, on Linux; ``ru_maxrss`` would start from that of the parent process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
