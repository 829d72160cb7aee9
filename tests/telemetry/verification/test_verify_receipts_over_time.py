"""`manage.py verify_receipts` over time: key rotation, forks, and receipts that never reached the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.telemetry.sealed import SealingSetup, newest, write_receipts
from tests.telemetry.tampering import SealedLog, Verify, back_to, by_sql, found
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sealed(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedLog:
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(tmp_path / "checkpoints"))
    return SealedLog.made(tenant, SealingSetup(tmp_path))


def test_a_change_of_keys_is_followed_back(verify: Verify, sealed: SealedLog) -> None:
    sealing_setup = sealed.sealing_setup
    sealing_setup.key_file.begin_rotation()
    sealing_setup.heartbeat()
    sealing_setup.key_file.finish_rotation()
    write_receipts(sealed.tenant, 1)
    sealing_setup.seal()
    said = verify("--tenant", "acme")
    assert (said.code, said.lines[-1].endswith("all valid")) == (0, True)


def test_a_fork_from_an_older_dump(verify: Verify, sealed: SealedLog, tmp_path: Path) -> None:
    """An older state continues with other receipts, sealed and signed with the right key: a valid but different log."""
    size = sealed.size
    saved = tmp_path / "saved.txt"
    saved.write_text(newest(sealed.tenant).note)
    by_sql(*back_to(size - 200))
    (tmp_path / "checkpoints").rename(tmp_path / "lost")
    write_receipts(sealed.tenant, 250)
    SealingSetup(tmp_path).seal()
    assert verify("--tenant", "acme").code == 0
    assert found(verify, "--against", str(saved)) == [
        f"acme: forked: its first {size} receipts are not the ones that were sealed then"
    ]


def test_deleted_before_it_was_sealed(verify: Verify, sealed: SealedLog) -> None:
    write_receipts(sealed.tenant, 1)
    by_sql("DELETE FROM telemetry_receipt r USING telemetry_sealqueueentry q WHERE q.id = r.id")
    (line,) = found(verify)
    assert line.endswith(": queued to be sealed, and not in the database any more")
