"""Engines: who computes segments. Each returns once all that it was given are finished, whoever finished them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from rlx.runner.lock import Taken
from rlx.sweeps.progress import SweepProgress
from rlx.sweeps.segments import Segment
from rlx.sweeps.settings import SweepSettings
from rlx.sweeps.work import Worker

DEFINITION = "sweep.yaml"
POLL_SECONDS = 0.5


class Engine(Protocol):
    """What computes segments."""

    def perform(self, sweep: Path, wanted: Sequence[Segment], progress: SweepProgress) -> None:
        """Compute what is not finished yet.

        Args:
            sweep: the sweep's folder.
            wanted: segments that do not depend on each other.
            progress: told how far they are.

        Raises:
            KeyboardInterrupt: if somebody wants to stop; what was done is saved.
            RunFailed: if a segment cannot be computed.
        """
        ...


def engine_for(settings: SweepSettings, sweep: Path, base: dict[str, Any]) -> Engine:
    """The engine that the settings name; of its library nothing is loaded before."""
    if settings.engine == "local":
        from rlx.sweeps.local import Local

        return Local(Worker(sweep, base))
    from rlx.sweeps.clusters import Cluster

    return Cluster(settings)


def perform_alone(sweep: str, number: int) -> None:
    """Compute one segment in a process that knows nothing yet: what engines call elsewhere.

    Raises:
        InterruptedError: if it was told to stop before the end.
    """
    folder = Path(sweep)
    base = yaml.safe_load((folder / DEFINITION).read_text(encoding="utf-8"))["base"]
    worker = Worker(folder, base)
    while not _performed(worker, number):
        time.sleep(POLL_SECONDS)


def _performed(worker: Worker, number: int) -> bool:
    """Compute the segment; False if another process is at it, which was thought lost or is just ending."""
    try:
        finished = worker.perform(number)
    except Taken:
        return False
    if not finished:
        raise InterruptedError(f"segment {number} was told to stop")
    return True
