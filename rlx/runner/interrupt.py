"""Ctrl-C as a request to stop at the next good moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Request:
    """A handler of SIGINT: the first one sets ``events``, a second one raises as usual."""

    def __init__(self, event: threading.Event) -> None:
        self.events = [event]

    def __call__(self, signum: int, frame: Any) -> None:
        if self.events[0].is_set():
            raise KeyboardInterrupt
        for event in self.events:
            event.set()

    @contextmanager
    def also(self, event: threading.Event) -> Iterator[None]:
        """Set ``event`` as well, at once if Ctrl-C has been pressed before."""
        if self.events[0].is_set():
            event.set()
        self.events.append(event)
        try:
            yield
        finally:
            self.events.remove(event)


@contextmanager
def interruptible(event: threading.Event | None = None) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, ``event`` if given, so that a run can save; a second one raises as usual.

    Nested, the outer flag is set as well: whoever runs inside stops, and whoever runs several such things knows of it.
    """
    event = event or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = signal.getsignal(signal.SIGINT)
    if isinstance(previous, _Request):
        with previous.also(event):
            yield event
        return
    request = _Request(event)
    signal.signal(signal.SIGINT, request)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
