from __future__ import annotations

import pytest

from tests.contract.populated import Populated
from tests.contract.world import World
from tests.databases.contents import Values
from tests.step_up import step_up  # noqa: F401 - a fixture


@pytest.fixture
def world(db: None, prepared: Values) -> World:
    """Create two tenants that all tests share; their requests are refused and rolled back."""
    return prepared["world"]()


@pytest.fixture
def populated(db: None, prepared: Values) -> Populated:
    """Create a demo tenant with cases."""
    return prepared["populated"]()
