"""Samples that more than one system is given. NumPy only, since every system runs this in an environment of its own."""

import numpy as np


def linear_model(samples: int, variables: int, rng: np.random.Generator) -> np.ndarray:
    """Samples ``[n, d]`` of a linear model with uniform noise; a third of those before it cause a variable."""
    x = rng.uniform(-1.0, 1.0, (samples, variables))
    for to in range(1, variables):
        weights = rng.uniform(0.3, 1.0, to) * rng.choice((-1.0, 1.0), to) * (rng.random(to) < 1 / 3)
        x[:, to] += x[:, :to] @ weights
    return x
