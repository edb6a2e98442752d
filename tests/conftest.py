"""Settings that must be made before JAX starts: eight host devices, for subprocesses too, so that sharding is tested.

Compiled programs are kept where `rlx.devices` keeps them, so a second run of the tests compiles little.
"""

import contextlib
import os

import pytest

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")


@pytest.fixture
def compilations():
    """A context manager that gives the names of the programs compiled within it."""
    import jax

    @contextlib.contextmanager
    def recorded():
        names = []

        def listener(event, duration, **info):
            if event == "/jax/core/compile/backend_compile_duration":
                names.append(info.get("fun_name"))

        jax.monitoring.register_event_duration_secs_listener(listener)
        yield names
        jax.monitoring.unregister_event_duration_listener(listener)

    return recorded
