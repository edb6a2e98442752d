"""Whoever waits for a program or for the compiler hears Ctrl-C."""

import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.runner.waiting import compile_ahead, wait


class SlowCompiler:
    """A program whose compilation ends when it is told to, and presses Ctrl-C as it begins."""

    def __init__(self):
        self.may_end, self.thread = threading.Event(), None

    def lower(self, *arguments):
        return self

    def compile(self):
        self.thread = threading.current_thread()
        signal.raise_signal(signal.SIGINT)
        self.may_end.wait(timeout=60)


def test_ctrl_c_is_heard_while_the_compiler_is_at_work():
    program, handler = SlowCompiler(), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            compile_ahead(program)
        assert not program.may_end.is_set()
        assert program.thread is not threading.main_thread()
    finally:
        program.may_end.set()
        signal.signal(signal.SIGINT, handler)


def test_what_is_compiled_ahead_computes_and_is_not_compiled_again(compilations):
    program = jax.jit(lambda x: 2.0 * x)
    x = jnp.arange(3.0)
    with compilations() as names:
        compiled = compile_ahead(program, x)
        np.testing.assert_array_equal(compiled(x), [0.0, 2.0, 4.0])
        np.testing.assert_array_equal(program(x), [0.0, 2.0, 4.0])
    assert len(names) == 1


def test_what_the_compiler_complains_of_is_heard():
    class Refusing(SlowCompiler):
        def compile(self):
            raise RuntimeError("too large")

    with pytest.raises(RuntimeError, match="too large"):
        compile_ahead(Refusing())


ENDLESS = """
import os, signal, sys, threading
import jax, jax.numpy as jnp
from rlx.runner.waiting import wait

signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background inherits that it is ignored

@jax.jit
def forever(number):
    return jax.lax.fori_loop(0, number, lambda i, x: jnp.sin(x + i), jnp.zeros(1000))

computing = forever(jnp.int32(2**31 - 1))
enough = threading.Event()
threading.Timer(0.3, enough.set).start()
assert wait({"array": computing, "number": 3}, unless=enough) is False
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    wait(computing)
except KeyboardInterrupt:
    print("heard", flush=True)
    os._exit(0)  # what is computed would be waited for
"""


def test_a_program_that_never_ends_is_not_waited_for_against_ones_will():
    done = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=300)
    assert done.stdout == "heard\n", done.stderr


def test_what_is_computed_is_waited_for():
    key = jax.random.key(0)
    assert wait((jnp.arange(3), key, np.zeros(2), 1.0))
