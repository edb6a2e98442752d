"""The case of every registered agent: a test that takes ``case`` runs once for each."""

import contextlib

import jax
import pytest
from cases import Case

from rlx import registry


@pytest.fixture(scope="session", params=registry.agents())
def case(request):
    return Case(request.param)


@pytest.fixture
def compilations():
    """A context manager that gives the names of the programs compiled within it."""

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
