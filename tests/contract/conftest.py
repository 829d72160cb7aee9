from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from tests.contract.world import World, make_world


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """Made once a module, in a transaction that is rolled back after it: its tests refuse, so they share it."""
    with django_db_blocker.unblock():
        connection.threada_tenant = None
        with transaction.atomic():
            yield make_world()
            transaction.set_rollback(True)
