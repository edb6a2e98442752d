"""The engine of this process, on all its devices."""

import threading
from collections.abc import Sequence
from pathlib import Path

from rlx.runner.interrupt import interruptible
from rlx.runner.lock import Taken
from rlx.sweeps import segments
from rlx.sweeps.engine import POLL_SECONDS
from rlx.sweeps.progress import SweepProgress, logged
from rlx.sweeps.segments import Segment
from rlx.sweeps.work import Worker


class Local:
    """Takes one segment after the other that nobody else is at; other processes may work on the same sweep."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def perform(self, sweep: Path, wanted: Sequence[Segment], progress: SweepProgress) -> None:
        """Compute what is there, wait for what others are at, and take over what they leave."""
        with interruptible() as interrupted:
            while segments.unfinished(sweep, wanted):
                self._round(sweep, wanted, progress, interrupted)

    def _round(
        self, sweep: Path, wanted: Sequence[Segment], progress: SweepProgress, interrupted: threading.Event
    ) -> None:
        computed = [self._try(sweep, segment, wanted, progress) for segment in wanted]
        if not any(computed):
            progress.running(sum(logged(sweep, segment) for segment in wanted))
            interrupted.wait(POLL_SECONDS)
        if interrupted.is_set():
            raise KeyboardInterrupt

    def _try(self, sweep: Path, segment: Segment, wanted: Sequence[Segment], progress: SweepProgress) -> bool:
        """Compute a segment, if it is neither finished nor somebody else's; whether it did."""
        if segments.is_finished(sweep, segment.number):
            return False
        elsewhere = sum(logged(sweep, other) for other in wanted if other.number != segment.number)

        def tell(share: float) -> None:
            progress.running(elsewhere + max(0.0, share * segment.end - segment.begin) * len(segment.points))

        try:
            if not self._worker.perform(segment.number, tell):
                raise KeyboardInterrupt
        except Taken:
            return False
        return True
