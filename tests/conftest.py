"""Settings that must be made before JAX starts: eight host devices, for subprocesses too, so that sharding is tested.

Compiled programs are kept where `rlx.devices` keeps them, so a second run of the tests compiles little. Workers of
``pytest -n`` get whole files, and an agent's conformance tests together, so that each program compiles in one of them.
"""

import contextlib
import os

import pytest

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        params = getattr(item, "callspec", None)
        together = params.params.get("case") if params else None
        group = f"conformance of {together}" if isinstance(together, str) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
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
