"""Rate limits on a server that is a standby, before somebody promotes it."""

from __future__ import annotations

import pytest
from django.db import connections

from tests.replicas.conftest import ALIAS
from tests.replicas.server import Replica
from threada_site.tenancy import rate_limits
from threada_site.tenancy.rate_leases import Bucket, Leases


def test_each_process_counts_alone_on_a_standby(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby has no rows of unlogged tables and refuses to read them."""
    monkeypatch.setattr(rate_limits, "connection", connections[ALIAS])
    leases = Leases(rate_limits._lend)
    taken = [leases.take([Bucket("credential", "credential:1", rate=1, burst=5)]) for _ in range(8)]
    assert [each is not None and each.retry_s is None for each in taken] == [True] * 5 + [False] * 3
