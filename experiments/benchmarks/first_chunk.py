"""A run as ``experiments/train.py`` starts it, which ends with its first chunk of training: for ``startup`` to time."""

import os
import sys

from rlx import cli


class FirstChunk:
    """Shows nothing, and leaves the process when a chunk of training is over."""

    def phase(self, name: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def evaluation(self, step: int, mean: float, low: float, high: float) -> None:
        """Nothing."""

    def progress(self, step: int, training_return: float | None = None) -> None:
        """Leave, without waiting for what is being saved."""
        if step > 0:
            os._exit(0)


if __name__ == "__main__":
    config = cli.compose_config(sys.argv[1:])
    agent, env = config.build()
    from rlx import verbs

    verbs.train_checked([agent], env, config.settings, progress=FirstChunk())
