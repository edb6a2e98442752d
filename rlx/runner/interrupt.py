"""Ctrl-C as a request to stop at the next good moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Request:
    """A handler of SIGINT: the first one sets ``event``, a second one raises as usual."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, signum: int, frame: Any) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that a run can save; a second one raises as usual.

    Nested, it gives the outer flag: whoever runs inside stops, and whoever runs several such things knows of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()
        return
    previous = signal.getsignal(signal.SIGINT)
    if isinstance(previous, _Request):
        yield previous.event
        return
    request = _Request()
    signal.signal(signal.SIGINT, request)
    try:
        yield request.event
    finally:
        signal.signal(signal.SIGINT, previous)
