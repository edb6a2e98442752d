"""Linear Q-learning and log-mapped Q-learning on the chain as a plain double-precision loop over weights.

Written from the formulas of van Seijen, Fatemi and Tavakoli (2019) in value space, and independent of rlx.
"""

from collections.abc import Sequence

import numpy as np

# State, chosen action and executed action.
Sample = tuple[int, int, int]


def step(state: int, executed: int, num_states: int) -> tuple[int | None, float]:
    """Next state, or None at an end, and reward of the executed action (0 left, 1 right)."""
    following = state + (1 if executed == 1 else -1)
    if following < 0:
        return None, 1.0
    if following == num_states:
        return None, -1.0
    return following, 0.0


def tile_code(num_states: int, width: int) -> np.ndarray:
    """Features of every state: ``width`` shifted tilings of tiles that are ``width`` states wide."""
    num_tiles = int(np.ceil(num_states / width)) + 1
    code = np.zeros((num_states, num_tiles * width))
    for state in range(num_states):
        for tiling in range(width):
            code[state, (state + tiling) // width + tiling * num_tiles] = np.sqrt(1.0 / width)
    return code


def draw_sweep(rng: np.random.Generator, num_states: int, slip: float = 0.25) -> list[Sample]:
    """Every (state, action) once in random order, with the action that is executed."""
    pairs = [(state, action) for state in range(num_states) for action in (0, 1)]
    slips = rng.random(len(pairs)) < slip
    samples = [
        (state, action, 1 - action if slip else action) for (state, action), slip in zip(pairs, slips, strict=True)
    ]
    return [samples[i] for i in rng.permutation(len(samples))]


def decayed(final: float, number: int, initial: float = 1.0, sweeps: int = 9_999) -> float:
    """The step size of sweep ``number``, after that many decays by a constant factor."""
    return max(initial * (final / initial) ** (number / sweeps), final)


class Regular:
    """Q-learning on features; ``theta`` ``[A, F]``."""

    def __init__(self, num_states: int, width: int, discount: float, max_value: float = 1.0) -> None:
        self.features = tile_code(num_states, width)
        self.theta = np.zeros((2, self.features.shape[1]))
        self.discount, self.max_value = discount, max_value

    def q(self, state: int) -> np.ndarray:
        """Both action values of a state."""
        return self.theta @ self.features[state]

    def sweep(self, samples: Sequence[Sample], number: int) -> None:
        """Update with the samples one by one."""
        alpha = decayed(0.001, number)
        for state, action, executed in samples:
            following, reward = step(state, executed, len(self.features))
            bootstrap = 0.0 if following is None else self.q(following).max()
            target = min(reward + self.discount * bootstrap, self.max_value)
            phi = self.features[state]
            self.theta[action] += alpha * (target - self.theta[action] @ phi) * phi

    def succeeds(self) -> bool:
        """Whether left is greedy everywhere."""
        return all(q[0] >= q[1] for q in map(self.q, range(len(self.features))))


class Logarithmic:
    """Log-mapped Q-learning on features; ``theta`` ``[2, A, F]``, of the positive and of the negative channel."""

    def __init__(
        self, num_states: int, width: int, discount: float, k: float = 200, c: float = 1.0, max_value: float = 1.0
    ) -> None:
        self.features = tile_code(num_states, width)
        self.theta = np.zeros((2, 2, self.features.shape[1]))
        self.discount, self.max_value, self.c = discount, max_value, c
        self.floor = discount**k
        self.d = -c * np.log(self.floor)

    def f(self, value: float) -> float:
        """From a value to what is learned."""
        return self.c * np.log(value + self.floor) + self.d

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """From what is learned to a value."""
        return np.exp((y - self.d) / self.c) - self.floor

    def channels(self, state: int) -> np.ndarray:
        """``q+`` and ``q-`` of both actions, ``[2, A]``."""
        return self.inverse(self.theta @ self.features[state])

    def sweep(self, samples: Sequence[Sample], number: int) -> None:
        """Update with the samples one by one."""
        beta_reg, beta_log = decayed(0.1, number), decayed(0.01, number)
        for state, action, executed in samples:
            following, reward = step(state, executed, len(self.features))
            bootstrap = np.zeros(2)
            if following is not None:
                values = self.channels(following)
                q = values[0] - values[1]
                bootstrap = values[:, 0 if q[0] > q[1] else 1]
            phi = self.features[state]
            for channel, part in enumerate((max(reward, 0.0), max(-reward, 0.0))):
                target = min(part + self.discount * bootstrap[channel], self.max_value)
                y = self.theta[channel, action] @ phi
                value = self.inverse(y)
                averaged = value + beta_reg * (target - value)
                self.theta[channel, action] += beta_log * (self.f(averaged) - y) * phi

    def succeeds(self) -> bool:
        """Whether left is greedy everywhere."""
        values = [self.channels(state) for state in range(len(self.features))]
        return all(v[0, 0] - v[1, 0] >= v[0, 1] - v[1, 1] for v in values)
