"""How fast a run trains and how long it has left."""

from collections import deque

WINDOW_SECONDS = 30.0


class Pace:
    """Training speed and time left, from when each phase began and how far each chunk came.

    Speed is measured on a clock that runs only in the phase ``"training"``, over the last 30 s of it, so
    neither compiling nor the steps before a resume count. Evaluating and saving come back until the end: the
    time left is stretched by the share they have taken since training began.
    """

    def __init__(self, total_steps: int, now: float) -> None:
        self._total_steps = total_steps
        self._phase, self._since = "starting", now
        self._training = self._between = 0.0
        self._samples: deque[tuple[float, int]] = deque()

    def phase(self, name: str, now: float) -> None:
        """Enter the phase ``name`` at time ``now`` (seconds)."""
        spent = now - self._since
        if self._phase == "training":
            self._training += spent
        elif self._training > 0.0 and not self._phase.startswith("compiling"):
            self._between += spent
        self._phase, self._since = name, now

    def progress(self, step: int, now: float) -> None:
        """Note that training has reached ``step`` at time ``now``."""
        running = now - self._since if self._phase == "training" else 0.0
        self._samples.append((self._training + running, step))
        while len(self._samples) > 2 and self._samples[-1][0] - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    def speed(self) -> float | None:
        """Steps per second of training; None before there is one."""
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start and last > first else None

    def seconds_left(self) -> float | None:
        """Seconds until the last step is reached; None before there is a speed."""
        speed = self.speed()
        if speed is None:
            return None
        end, step = self._samples[-1]
        return (self._total_steps - step) / speed * (1.0 + self._between / end)
