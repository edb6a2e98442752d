"""What a person presses between two steps, as one word to the learner."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from rlx.envs.teacher import Word

LARGEST = 10.0  # of a press
LONGEST_LAG = 16  # steps


class Press(NamedTuple):
    """One press.

    Attributes:
        value: praise above 0, blame below.
        trace: which of the learner's traces the button belongs to.
        shown: number of the step that the person saw when pressing.
    """

    value: float
    trace: int
    shown: int


def word_of(presses: Sequence[Press], step: int) -> Word:
    """What the learner hears in ``step`` of the presses since the step before: their sum.

    Trace and lag are those of the strongest press, the first of equals; the lag is 0 where that saw the step before.
    """
    if not presses:
        return Word.nothing(1)
    strongest = max(presses, key=lambda press: abs(press.value))
    return Word(
        value=jnp.array([sum(press.value for press in presses)], jnp.float32),
        trace=jnp.array([strongest.trace], jnp.int32),
        lag=jnp.array([lag_of(strongest, step)], jnp.int32),
    )


def lag_of(press: Press, step: int) -> int:
    """Steps between the one a press saw and the last one before ``step``."""
    return min(max(step - 1 - press.shown, 0), LONGEST_LAG)
