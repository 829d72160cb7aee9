from __future__ import annotations

import pytest
from django.core.management import call_command

from tests.databases.contents import Values
from tests.telemetry.tampering import SealedLog, Verified, Verify
from tests.workitems.office import Office, open_office
from threada_site.tenancy.models import Tenant


@pytest.fixture
def office(tenant: Tenant, prepared: Values) -> Office:
    return prepared["office"](tenant) if "office" in prepared else open_office(tenant)


@pytest.fixture
def sealed_log(db: None, prepared: Values) -> SealedLog:
    """Seal a log once for all tests that change it by SQL and roll back."""
    return prepared["sealed_log"]()


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run `manage.py verify_receipts` with these arguments."""

    def run(*arguments: str) -> Verified:
        capsys.readouterr()
        code = 0
        try:
            call_command("verify_receipts", *arguments)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Verified(code, captured.out.splitlines(), captured.err)

    return run
