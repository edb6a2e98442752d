"""What a run is told beside its agent and its environment."""

import dataclasses
from typing import Literal

from rlx.settings import hyper


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Budget, seeds, evaluation, checkpoints and logs of one run."""

    total_steps: int = hyper(500_000, "environment steps of each member", within="[1, 1000000000000000]")
    seed: int = hyper(0, "seed of the first member", within="[0, 4294967295]")
    num_seeds: int = hyper(1, "members, with consecutive seeds, run as one program", within="[1, 65536]")
    seeds: tuple[int, ...] = hyper((), "seeds, one a member, in place of seed and num_seeds", within="[0, 4294967295]")
    num_evaluations: int = hyper(20, "evaluations after the one at step 0, evenly spaced", within="[1, 1000000]")
    eval_episodes: int = hyper(32, "whole episodes an evaluation", within="[1, 1000000]")
    eval_max_steps: int = hyper(
        27_000, "without a time limit: steps after which an evaluated episode counts as unfinished", within="[1, inf)"
    )
    # `rlx.types.Mode`, which would load JAX.
    eval_mode: Literal["greedy", "sample"] = hyper(
        "greedy", "how the evaluated policy acts", choices=("greedy", "sample")
    )
    solved_return: float | None = hyper(
        None,
        "log when the mean return of the last 10 training episodes first reached this, and that mean; null: do not",
        within="(-inf, inf)",
    )
    num_checkpoints: int = hyper(10, "saved states, evenly spaced over the run", within="[1, 1000000]")
    keep_checkpoints: int = hyper(2, "newest states kept, beside the best", within="[1, inf)")
    run_dir: str | None = hyper(None, "folder of the run; by default a new one below runs/")
    tensorboard: bool = hyper(True, "write TensorBoard events, where tensorboardX is installed")
    wandb: bool = hyper(False, "log to Weights & Biases (pip install 'rlx[wandb]')")
    wandb_project: str = hyper("rlx", "project name in Weights & Biases")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """``seeds``, or ``num_seeds`` consecutive ones from ``seed`` on."""
        return self.seeds or tuple(range(self.seed, self.seed + self.num_seeds))
