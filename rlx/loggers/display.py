"""Something that changes, shown on the terminal: redrawn in place, or as plain lines where there is no terminal."""

import sys
from collections.abc import Callable
from time import monotonic

from rich.console import Console as Terminal
from rich.console import RenderableType
from rich.live import Live

PLAIN_LINE_SECONDS = 10.0


class Display:
    """Draws ``render()`` in place on a terminal; elsewhere (a file, CI) it prints a line when told to.

    Args:
        render: what is drawn.
        summary: the same in one plain line.
        terminal: where to draw; standard output unless given.
        quiet: show messages only.
    """

    def __init__(
        self,
        render: Callable[[], RenderableType],
        summary: Callable[[], str],
        terminal: Terminal | None = None,
        quiet: bool = False,
    ) -> None:
        self._render, self._summary, self._quiet = render, summary, quiet
        # FORCE_COLOR asks for colour, which CI often sets, not for a bar redrawn into a log file.
        self._terminal = terminal or Terminal(force_interactive=None if sys.stdout.isatty() else False)
        self._live: Live | None = None
        self._printed = monotonic()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._terminal.width

    def start(self, heading: str) -> None:
        """Begin; ``heading`` is the first plain line."""
        if self._terminal.is_interactive and not self._quiet:
            self._live = Live(get_renderable=self._render, console=self._terminal, refresh_per_second=4)
            self._live.start()
        else:
            self.line(heading)

    def stop(self, ending: str) -> None:
        """Leave the last drawing on the screen; ``ending`` is the last plain line."""
        if self._live:
            self._live.stop()
        else:
            self.line(ending)

    def tick(self) -> None:
        """Print the summary if the last plain line is 10 s old."""
        if monotonic() - self._printed >= PLAIN_LINE_SECONDS:
            self.line(self._summary())

    def line(self, text: str) -> None:
        """Print a plain line, where nothing is drawn."""
        if not (self._quiet or self._live):
            self.message(text)

    def message(self, text: str) -> None:
        """Print a line that stays, above what is drawn; also when quiet."""
        self._printed = monotonic()
        self._terminal.print(text, markup=False, highlight=False, soft_wrap=True)
