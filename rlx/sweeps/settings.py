"""What a sweep is told beside its base configuration and its space."""

import dataclasses
from typing import Any, Literal

from rlx.settings import hyper

# What a sweep's result depends on; the rest says where and how it is computed, and may change when it goes on.
DEFINING = (
    "draw",
    "num_points",
    "draw_seed",
    "search",
    "keep_one_in",
    "first_rung",
    "exploits",
    "score_share",
)


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """How points are drawn, searched and computed."""

    sweep_dir: str | None = hyper(None, "folder of the sweep; by default a new one below runs/; an old one goes on")
    draw: Literal["grid", "random", "sobol"] = hyper(
        "grid", "how points are drawn from the space", choices=("grid", "random", "sobol")
    )
    num_points: int | None = hyper(None, "points to draw; a grid has its own number", within="[1, 65536]")
    draw_seed: int = hyper(0, "seed of the draws, and of a search", within="[0, 4294967295]")
    search: Literal["none", "halving", "optuna", "pbt"] = hyper(
        "none", "none: all points to the end; else see docs/sweeps.md", choices=("none", "halving", "optuna", "pbt")
    )
    keep_one_in: int = hyper(3, "halving: of so many points one goes on from each rung to the next", within="[2, inf)")
    first_rung: int | None = hyper(
        None, "halving: environment steps of the first rung; null: so few that one point is left", within="[1, inf)"
    )
    exploits: int = hyper(10, "pbt: times that the worst quarter copies the best, evenly spaced", within="[1, 10000]")
    score_share: float = hyper(
        0.1, "a point's score is its mean return in this last share of training, or its last one", within="(0, 1]"
    )
    points_at_once: int | None = hyper(
        None, "points trained as one population; null: as many as fit into memory", within="[1, 65536]"
    )
    side_by_side: int | None = hyper(
        None, "members that a device computes side by side; null: see measure", within="[1, 65536]"
    )
    measure: bool | None = hyper(None, "measure side_by_side first; null: on accelerators only")
    engine: Literal["local", "ray", "slurm"] = hyper(
        "local", "what computes: this process, a Ray cluster, SLURM", choices=("local", "ray", "slurm")
    )
    workers: int = hyper(1, "ray, slurm: populations trained at the same time", within="[1, 65536]")
    cpus: int = hyper(1, "ray, slurm: cores of a worker", within="[1, 4096]")
    gpus: int = hyper(0, "ray, slurm: accelerators of a worker", within="[0, 4096]")
    ray_address: str | None = hyper(None, "a running Ray cluster; null: start one on this machine")
    slurm_partition: str | None = hyper(None, "partition to submit to")
    slurm_minutes: int = hyper(240, "time limit of a job; what it cuts short goes on in the next", within="[1, inf)")
    slurm_local: bool = hyper(False, "run the jobs as processes of this machine, without SLURM")

    def defining(self) -> dict[str, Any]:
        """The fields that its results depend on."""
        return {name: vars(self)[name] for name in DEFINING}
