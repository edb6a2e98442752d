"""Rows as TensorBoard scalars."""

from collections.abc import Sequence
from pathlib import Path

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
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ConfigurationError(
                "TensorBoard logging needs tensorboardX: pip install 'rlx[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def rows(self, rows: Sequence[Row]) -> None:
        """Write the numbers of one evaluation and flush them."""
        for step, tag, value in scalars(rows):
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
