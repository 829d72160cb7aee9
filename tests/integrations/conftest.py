"""Receivers in a separate process for all tests below this folder, and the settings that allow calls to them."""

from pathlib import Path

import pytest
from django.conf import settings

from tests.integrations.deliveries.collected import TOKEN
from tests.integrations.deliveries.delivering import SECRET
from tests.receivers.fixtures import collector, receiver, tls_receiver

__all__ = ["collector", "receiver", "tls_receiver"]


@pytest.fixture
def way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Allow calls to the receivers of the test and their secrets, and write delivery files to a temporary folder."""
    used = {"receiver", "tls_receiver", "collector"} & set(request.fixturenames)
    ports = ("", ":9", ":4318")
    urls = [
        *(f"http://127.0.0.1{port}" for port in ports),
        *(request.getfixturevalue(name).url for name in sorted(used)),
    ]
    listed = [f"env:{name}@{url}" for name in ("HOOK_SECRET", "COLLECTOR_TOKEN") for url in urls]
    monkeypatch.setattr(settings, "THREADA_EGRESS_ALLOW", ["127.0.0.1/32"])
    monkeypatch.setattr(settings, "THREADA_SECRET_REFS", listed)
    monkeypatch.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "deliveries")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("COLLECTOR_TOKEN", TOKEN)
