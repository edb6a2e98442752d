"""How many members a device still gains from, measured on the programs that the sweep will run."""

import time

import jax

from rlx.runner.layout import layout_for
from rlx.runner.population import Member, Population
from rlx.sweeps.parts import Part
from rlx.types import Clock

# Twice the members must train so much faster together, or they may as well take turns.
GAIN = 1.1
SECONDS = 0.5


def measured_side_by_side(part: Part, most: int) -> int:
    """The fewest members side by side on a device that are within `GAIN` of the fastest, ``most`` at most.

    Sizes are doubled, each compiled and timed for about half a second, until one gains less.
    """
    chosen, speed, size = 1, speed_of(part, 1), 2
    while size <= most:
        faster = speed_of(part, size)
        if faster < GAIN * speed:
            break
        chosen, speed, size = size, faster, 2 * size
    return chosen


def speed_of(part: Part, side_by_side: int) -> float:
    """Members times iterations a second, of so many members on every device."""
    number = side_by_side * len(jax.local_devices())
    layout = layout_for(number, side_by_side=side_by_side)
    population = Population([Member(part.agent, seed) for seed in range(number)], part.env, layout=layout)
    needs = part.agent.needs
    states = population.start(Clock.start(2**30, needs.num_envs * needs.rollout_length))
    iterations = 1
    while True:
        began = time.perf_counter()
        states, healthy, _ = population.advance(states, iterations, new_window=True)
        jax.block_until_ready(healthy)
        taken = time.perf_counter() - began
        if iterations > 1 and taken >= SECONDS:
            return number * iterations / taken
        iterations *= max(2, min(16, int(SECONDS / max(taken, 1e-9)) + 1))
