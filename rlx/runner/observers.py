"""Whoever watches a run: what a logger and a progress display must offer."""

from collections.abc import Sequence
from typing import Any, Protocol


class Logger(Protocol):
    """Where rows go: one row per member and evaluation."""

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write ``rows``."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class Progress(Protocol):
    """What shows a person how the run goes."""

    def phase(self, name: str) -> None:
        """Say what happens now."""
        ...

    def progress(self, step: int, training_return: float | None = None) -> None:
        """Say how far the training is."""
        ...

    def evaluation(self, step: int, mean: float, low: float, high: float) -> None:
        """Show an evaluation's mean return, over all members and of the worst and the best of them."""
        ...

    def message(self, text: str) -> None:
        """Show a line that stays."""
        ...
