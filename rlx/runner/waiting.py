"""Waiting for devices and for the compiler such that Ctrl-C is heard: no Python runs while C++ is waited for."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import jax

from rlx.types import PyTree

# Seconds. A pause is as long as the wait so far, at most the last: a short wait loses little, a long one costs nothing.
FIRST_PAUSE, LONGEST_PAUSE = 1e-4, 0.02


def wait(tree: PyTree, unless: threading.Event | None = None) -> bool:
    """Wait until the arrays of ``tree`` are computed, or ``unless`` is set; return whether they are computed.

    Raises:
        RuntimeError: if they cannot be, as for want of memory; NumPy would wait for such an array for ever.
    """
    leaves: list[Any] = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    # Keys do not tell; they come with other results of the same program.
    arrays = [leaf for leaf in leaves if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    if not all(_poll(array.is_ready, unless) for array in arrays):
        return False
    jax.block_until_ready(leaves)  # for the error, if there was one
    return True


def compile_ahead(program: Any, *arguments: Any) -> Any:
    """The jitted ``program`` compiled for such arguments, as it is from then on when it is called with them."""
    lowered = program.lower(*arguments)  # here, since what a context says of JAX holds in one thread only
    compiled: Future[Any] = Future()

    def work() -> None:
        try:
            compiled.set_result(lowered.compile())
        except BaseException as error:
            compiled.set_exception(error)

    threading.Thread(target=work, name="compiler").start()
    _poll(compiled.done)
    return compiled.result()


def _poll(done: Callable[[], bool], unless: threading.Event | None = None) -> bool:
    pause = FIRST_PAUSE
    while not done():
        if unless is not None and unless.is_set():
            return False
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return True
