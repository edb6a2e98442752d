"""What the page may say, checked before anything is done about it.

A message is a JSON object of at most `LONGEST` bytes, with a ``kind`` and exactly the fields of that kind.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from rlx.teaching.presses import LARGEST
from rlx.teaching.recording import LONGEST_NAME

LONGEST = 1024  # bytes
SLOWEST, FASTEST = 0.2, 60.0  # steps a second
LARGEST_NUMBER = 2**53
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]*")


class Refused(ValueError):
    """A message that cannot be taken; the text says why, for the person on the other side."""


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _real(low: float, high: float) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        return real and math.isfinite(value) and low <= value <= high

    return fits


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME and _NAME.fullmatch(value) is not None


_ID = _whole(0, LARGEST_NUMBER)
KINDS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "press": {"id": _ID, "value": _real(-LARGEST, LARGEST), "trace": _whole(0, 15), "shown": _whole(0, LARGEST_NUMBER)},
    "pause": {"paused": _flag},
    "pace": {"rate": _real(SLOWEST, FASTEST)},
    "single": {},
    "undo": {},
    "set": {"field": lambda value: value in ("delay", "learning_rate"), "value": _real(0.0, 1e3)},
    "save": {"name": _name},
    "load": {"name": _name},
    "restart": {},
    "teach": {},
    "ping": {"id": _ID},
}


def parse(text: Any) -> dict[str, Any]:
    """The message that ``text`` is.

    Raises:
        Refused: if it is none.
    """
    if not isinstance(text, str):
        raise Refused("messages are text")
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        raise Refused(f"a message has at most {LONGEST} bytes")
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("a message is a JSON object") from error
    if not isinstance(message, dict):
        raise Refused("a message is a JSON object")
    kind = message.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise Refused(f"kind is one of {', '.join(KINDS)}")
    fields = KINDS[kind]
    if set(message) != set(fields):
        raise Refused(f"{kind} has the fields {', '.join(fields) or 'none'}")
    for name, fits in fields.items():
        if not fits(message[name]):
            raise Refused(f"{kind}: {name} does not fit")
    if kind == "press" and message["value"] == 0:
        raise Refused("press: value is praise or blame, not 0")
    return {"kind": kind, **message}


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


class Bucket:
    """So many messages a second, and so many at once.

    Attributes:
        rate: a second, in the long run.
        burst: at once.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._then = burst, now

    def takes(self, now: float) -> bool:
        """Whether one more message is within bounds at time ``now``, in seconds."""
        self._left = min(self.burst, self._left + self.rate * (now - self._then))
        self._then = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
