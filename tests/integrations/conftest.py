"""Receivers in their own process, for every test below this folder, and a way out to them for deliveries."""

from pathlib import Path

import pytest
from django.conf import settings

from tests.integrations.collected import TOKEN
from tests.integrations.delivering import SECRET
from tests.receivers.fixtures import collector, receiver, tls_receiver

__all__ = ["collector", "receiver", "tls_receiver"]


@pytest.fixture
def way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Receivers on this machine may be called, with their secrets, and files of deliveries go where pytest cleans up."""
    monkeypatch.setattr(settings, "THREADA_EGRESS_ALLOW", ["127.0.0.1/32"])
    monkeypatch.setattr(settings, "THREADA_SECRET_REFS", ["env:HOOK_SECRET", "env:COLLECTOR_TOKEN"])
    monkeypatch.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "deliveries")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("COLLECTOR_TOKEN", TOKEN)
