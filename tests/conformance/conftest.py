"""The case of every registered agent: a test that takes ``case`` runs once for each."""

import pytest
from cases import Case

from rlx import registry


@pytest.fixture(scope="session", params=registry.agents())
def case(request):
    return Case(request.param)
