"""Rows as Weights & Biases history."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rlx.errors import ConfigurationError
from rlx.loggers.rows import Row, scalars


class WandB:
    """Logs the numbers of each row to one W&B run, under ``<group>/<name>/seed_<seed>`` against ``step``.

    A run that was killed and goes on in the same folder is the same W&B run; steps that it repeats appear
    twice there.

    Args:
        project: W&B project.
        name: name of the run.
        config: the run's configuration, shown beside its curves.
        folder: where W&B keeps its files.
        mode: ``"online"`` or ``"offline"``; None leaves it to W&B (``WANDB_MODE``).
        group: what the run is shown together with, such as the other points of a sweep; none is then gone on with.

    Raises:
        ConfigurationError: if wandb is not installed or cannot start, as without a login.
    """

    def __init__(
        self,
        project: str,
        name: str,
        config: Mapping[str, Any],
        folder: Path,
        mode: Literal["online", "offline"] | None = None,
        group: str | None = None,
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigurationError("logging to Weights & Biases needs wandb: pip install 'rlx[wandb]'") from error
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                config=dict(config),
                dir=str(folder),
                mode=mode,
                group=group,
                resume="auto" if group is None else None,
                settings=wandb.Settings(console="off"),  # capturing stdout would garble the live progress
            )
        except wandb.Error as error:
            remedy = "run 'wandb login', set WANDB_MODE=offline, or leave wandb=true out"
            raise ConfigurationError(f"Weights & Biases cannot start ({error}); {remedy}") from error
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def rows(self, rows: Sequence[Row]) -> None:
        """Log the numbers of one evaluation."""
        self._run.log({"step": rows[0]["step"], **{tag: value for _, tag, value in scalars(rows)}})

    def close(self) -> None:
        """Finish the W&B run; its own process writes what remains before this one exits."""
        self._run.finish()
