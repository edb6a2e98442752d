"""Sweep over configurations: ``python experiments/sweep.py agent=ppo 'sweep.agent.discount=[0.9,0.99]'``."""

import shlex

from rlx import cli
from rlx.sweeps.asked import ask


def sweep(words: list[str]) -> None:
    """Begin a sweep, or go on with it, and say what it found."""
    values = cli.parse_sweep(words)
    ask(values)
    from rlx.sweeps.sweep import sweep  # it loads all that trains, which a refusal above should not wait for

    try:
        sweep(values)
    except KeyboardInterrupt:
        folder = "" if "sweep_dir" in values else " with sweep_dir=, the folder named above,"
        print(
            f"interrupted and saved; the same command{folder} goes on: python experiments/sweep.py {shlex.join(words)}"
        )
        raise


if __name__ == "__main__":
    cli.main(sweep, cli.sweep_help)
