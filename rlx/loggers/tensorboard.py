"""Rows as TensorBoard scalars."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlx.errors import ConfigurationError
from rlx.loggers.rows import Row, scalars


class TensorBoard:
    """Writes the numbers of each row to an event file in ``folder``, under ``<group>/<name>/seed_<seed>``.

    Args:
        folder: where the event file goes.
        purge_step: of a run that goes on, the first step yet to come: TensorBoard hides what an earlier
            attempt wrote at this step or later.

    Raises:
        ConfigurationError: if tensorboardX is not installed.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        try:
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2
        except ImportError as error:
            raise ConfigurationError(
                "TensorBoard logging needs tensorboardX: pip install 'rlx[tensorboard]'"
            ) from error
        self._event, self._scalar = event_pb2.Event, summary.scalar
        # Not its SummaryWriter: that one writes in a thread, and once this fails, as on a full disk, it waits for ever.
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        if purge_step is not None:
            self._write(step=purge_step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def rows(self, rows: Sequence[Row]) -> None:
        """Write the numbers of one evaluation and flush them."""
        for step, tag, value in scalars(rows):
            self._write(step=step, summary=self._scalar(tag, value))
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()

    def _write(self, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), **content))
