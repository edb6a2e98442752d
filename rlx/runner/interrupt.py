"""Ctrl-C, and the SIGTERM of schedulers, as a request to stop at the next good moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Listener:
    """A handler of signals: whoever can stop in order is told to, else it raises ``KeyboardInterrupt``.

    A second Ctrl-C raises in any case. A second SIGTERM does not: schedulers repeat it.

    Attributes:
        signum: of the last signal; ``None`` before the first.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._events: list[threading.Event] = []

    def __call__(self, signum: int, frame: Any) -> None:
        """Take in a signal, as Python calls a handler."""
        again = self.signum is not None and signum == signal.SIGINT
        self.signum = signum
        if again or not self._events:
            raise KeyboardInterrupt
        for event in self._events:
            event.set()

    @contextmanager
    def telling(self, event: threading.Event) -> Iterator[None]:
        """Set ``event`` at a signal, at once if there has been one."""
        if self.signum is not None:
            event.set()
        self._events.append(event)
        try:
            yield
        finally:
            self._events.remove(event)


@contextmanager
def listening() -> Iterator[Listener]:
    """Handle SIGINT and SIGTERM alike; nested, it is the same listener. Outside the main thread nothing is heard."""
    present, listener = signal.getsignal(signal.SIGINT), Listener()
    if isinstance(present, Listener):
        yield present
        return
    if threading.current_thread() is not threading.main_thread():
        yield listener
        return
    previous = {signum: signal.signal(signum, listener) for signum in SIGNALS}
    try:
        yield listener
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextmanager
def interruptible(event: threading.Event | None = None) -> Iterator[threading.Event]:
    """Turn the first signal into a flag, ``event`` if given, so that a run can save.

    Nested, the outer flag is set as well: whoever runs inside stops, and whoever runs several such things knows of it.
    """
    event = event or threading.Event()
    with listening() as listener, listener.telling(event):
        yield event
