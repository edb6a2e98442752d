"""Rows as TensorBoard scalars, and the points of a sweep as its hyperparameters."""

import time
from collections.abc import Iterable, Mapping, Sequence
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
        self._event, self._scalar, self._hparams = event_pb2.Event, summary.scalar, summary.hparams
        # Not its SummaryWriter: that one writes in a thread, and once this fails, as on a full disk, it waits for ever.
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        if purge_step is not None:
            self._write(step=purge_step, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def rows(self, rows: Sequence[Row]) -> None:
        """Write the numbers of one evaluation and flush them."""
        for step, tag, value in scalars(rows):
            self._write(step=step, summary=self._scalar(tag, value))
        self._writer.flush()

    def hparams(self, values: Mapping[str, bool | float | str], score: float, step: int) -> None:
        """Write what the run's hyperparameters are, and the return that it came to."""
        for part in self._hparams(dict(values), {"sweep/return": score}):
            self._write(summary=part)
        self._write(step=step, summary=self._scalar("sweep/return", score))

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()

    def _write(self, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), **content))


def write_hparams(
    folder: Path, values: Mapping[str, Any], score: float, step: int, curve: Iterable[Sequence[Row]]
) -> None:
    """Write one point of a sweep, as TensorBoard's page of hyperparameters shows it.

    Args:
        folder: of this point alone.
        values: its hyperparameters by key; what is neither number, word nor truth is shown as text.
        score: its return.
        step: at which it has that.
        curve: rows of one evaluation after the other.

    Raises:
        ConfigurationError: if tensorboardX is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logger = TensorBoard(folder)
    plain = {key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in values.items()}
    logger.hparams(plain, score, step)
    for rows in curve:
        logger.rows(rows)
    logger.close()
