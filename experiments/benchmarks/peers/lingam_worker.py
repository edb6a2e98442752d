"""The lingam package as ``benchmark.py lingam`` measures it: ``DirectLiNGAM().fit`` on the same samples."""

from typing import Any

import numpy as np
from lingam import DirectLiNGAM
from problems import linear_model
from protocol import Compile, Repeat, serve


def build(task: dict[str, Any]) -> Compile:
    """Make the samples; there is nothing to compile."""
    x = linear_model(task["samples"], task["variables"], np.random.default_rng(task["seed"]))
    return lambda: fitting(x)


def fitting(x: np.ndarray) -> Repeat:
    """Something that finds the causal model of ``x``."""

    def repeat() -> None:
        DirectLiNGAM().fit(x)

    return repeat


if __name__ == "__main__":
    serve(build, ("lingam", "numpy", "scikit-learn"))
