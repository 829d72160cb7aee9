"""Facts that all machines must share: recorded by the first, compared by the others, changed by a command."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import Settings

from tests.client import Api
from threada_site.api.monitoring import readiness
from threada_site.database.role_names import APP
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_of_this_instance
from threada_site.tenancy.instance_membership import accept_facts, differing_facts
from threada_site.tenancy.instance_models import Instance
from threada_site.tenancy.instance_record import Fact, fingerprint, settle, skew

OTHER = "another-key-of-at-least-thirty-two-characters"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def first_machine(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the facts of a machine like this one, on a server that several machines use. No answer of `/readyz` is
    cached."""
    monkeypatch.setattr(readiness, "_problems_until", {})
    settings.DATABASE_URL = "postgresql://db.internal/threada"
    settings.THREADA_SECRETS_KEY = "the-first-key-for-secrets-of-this-test"
    settings.THREADA_INCLUSION_PROMISES = True
    settings.THREADA_PROMISE_KEY = "the-first-promise-key-of-this-test"
    assert differing_facts(with_settings=True) == []


def test_stored_facts_reveal_no_key(settings: Settings) -> None:
    row = Instance.objects.get()
    text = json.dumps(row.facts)
    keys = [
        settings.SECRET_KEY,
        settings.THREADA_CURSOR_KEYS[0],
        settings.THREADA_PEOPLE_KEY,
        settings.THREADA_PROMISE_KEY,
        settings.THREADA_SECRETS_KEY,
    ]
    assert not any(key in text for key in keys)
    assert sorted(name for name, value in row.facts.items() if value.startswith("scrypt:")) == [
        "THREADA_CURSOR_KEY",
        "THREADA_PEOPLE_KEY",
        "THREADA_PROMISE_KEY",
        "THREADA_SECRETS_KEY",
        "THREADA_SECRET_KEY",
    ]
    salt = bytes(row.salt)
    kept = row.facts["THREADA_CURSOR_KEY"]
    assert kept == fingerprint(settings.THREADA_CURSOR_KEYS[0], name="THREADA_CURSOR_KEY", salt=salt)
    assert kept != fingerprint(settings.THREADA_CURSOR_KEYS[0], name="THREADA_SECRET_KEY", salt=salt)
    assert kept != fingerprint(settings.THREADA_CURSOR_KEYS[0], name="THREADA_CURSOR_KEY", salt=b"s" * 32)
    assert len(kept) == len("scrypt:") + 32


@pytest.mark.parametrize(
    ("setting", "value", "name"),
    [
        ("SECRET_KEY", OTHER, "THREADA_SECRET_KEY"),
        ("THREADA_CURSOR_KEYS", [OTHER], "THREADA_CURSOR_KEY"),
        ("THREADA_SECRETS_KEY", OTHER, "THREADA_SECRETS_KEY"),
        ("THREADA_PEOPLE_KEY", OTHER, "THREADA_PEOPLE_KEY"),
        ("THREADA_PROMISE_KEY", OTHER, "THREADA_PROMISE_KEY"),
        ("THREADA_BATCH_CAPS", {"low": 1, "elevated": 1, "high": 1}, "THREADA_BATCH_CAPS"),
        ("THREADA_SENSITIVE_DATA_CLASSES", [], "THREADA_SENSITIVE_DATA_CLASSES"),
        ("THREADA_SECRET_REFS", ["acme/env:BANK_TOKEN@https://bank.example"], "THREADA_SECRET_REFS"),
        ("THREADA_EGRESS_ALLOW", ["10.0.0.0/8"], "THREADA_EGRESS_ALLOW"),
        ("THREADA_IDEMPOTENCY_HOURS", 1, "THREADA_IDEMPOTENCY_HOURS"),
        ("THREADA_RETENTION_NOTICE_HOURS", 1, "THREADA_RETENTION_NOTICE_HOURS"),
        ("THREADA_INSTANCE_LOG", True, "THREADA_INSTANCE_LOG"),
        ("THREADA_INCLUSION_PROMISES", False, "THREADA_INCLUSION_PROMISES"),
    ],
)
def test_machine_with_another_value_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, setting: str, value: Any, name: str
) -> None:
    before = Instance.objects.values().get()
    setattr(settings, setting, value)
    with pytest.raises(NotSafeToRunError) as refused:
        refuse_unless_of_this_instance()
    first, *rest = str(refused.value).split("\n")
    assert first == "This machine does not join:"
    assert [line.partition(" ")[0] for line in rest] == [name]
    assert f"manage.py instance accept {name}" in rest[0]
    monkeypatch.setattr(readiness, "_same", set())
    answer = Api().get("/readyz")
    assert (answer.status_code, answer.json()["reason_code"]) == (503, "not_ready")
    assert f"{name} is not the " in answer.json()["detail"]
    assert Instance.objects.values().get() == before


def test_address_may_be_set_later_and_must_then_match(settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example.org"
    assert differing_facts(with_settings=True) == []
    settings.THREADA_PUBLIC_URL = "https://other.example.org"
    assert differing_facts(with_settings=True) == ["THREADA_PUBLIC_URL"]
    assert differing_facts(with_settings=False) == []
    assert accept_facts(["THREADA_PUBLIC_URL"]) == []
    settings.THREADA_PUBLIC_URL = "https://threada.example.org"
    assert differing_facts(with_settings=True) == ["THREADA_PUBLIC_URL"]


def test_settings_are_not_compared_with_the_embedded_database(settings: Settings) -> None:
    settings.DATABASE_URL = ""
    settings.THREADA_BATCH_CAPS = {"low": 1, "elevated": 1, "high": 1}
    assert differing_facts(with_settings=True) == []
    settings.THREADA_PEOPLE_KEY = OTHER
    assert differing_facts(with_settings=True) == ["THREADA_PEOPLE_KEY"]


def test_key_is_rotated_with_both_keys_set_meanwhile(settings: Settings) -> None:
    old = settings.THREADA_CURSOR_KEYS[0]
    for both in ([old, OTHER], [OTHER, old]):
        settings.THREADA_CURSOR_KEYS = both
        assert differing_facts(with_settings=True) == []
    settings.THREADA_CURSOR_KEYS = [OTHER]
    assert differing_facts(with_settings=True) == ["THREADA_CURSOR_KEY"]
    settings.THREADA_CURSOR_KEYS = [OTHER, old]
    call_command("instance", "accept", "THREADA_CURSOR_KEY", stdout=io.StringIO())
    settings.THREADA_CURSOR_KEYS = [OTHER]
    assert differing_facts(with_settings=True) == []
    settings.THREADA_CURSOR_KEYS = [old]
    assert differing_facts(with_settings=True) == ["THREADA_CURSOR_KEY"]


def test_command_reports_differences(settings: Settings) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command("instance", "check", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == ("Keys and settings are those of the instance.\n", "")
    settings.THREADA_CURSOR_KEYS = [OTHER]
    with pytest.raises(SystemExit) as ended:
        call_command("instance", "check", stdout=io.StringIO(), stderr=err)
    assert ended.value.code == 1
    assert err.getvalue().startswith("THREADA_CURSOR_KEY is not the key that this instance was started with: ")


def test_command_that_decrypts_is_refused_with_another_key(settings: Settings) -> None:
    settings.THREADA_SECRETS_KEY = OTHER
    err = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("rotate_secrets", stderr=err, stdout=io.StringIO())
    assert ended.value.code == 1
    assert err.getvalue().startswith("THREADA_SECRETS_KEY is not the key")


def test_rotate_secrets_records_the_new_key(settings: Settings) -> None:
    old = settings.THREADA_SECRETS_KEY
    settings.THREADA_SECRETS_KEY = f"{OTHER} {old}"
    call_command("rotate_secrets", stdout=io.StringIO())
    settings.THREADA_SECRETS_KEY = old
    assert differing_facts(with_settings=False) == ["THREADA_SECRETS_KEY"]
    settings.THREADA_SECRETS_KEY = OTHER
    assert differing_facts(with_settings=False) == []


def test_cursor_signed_with_the_older_key_is_accepted(settings: Settings) -> None:
    from threada_site.api.pagination import _opened, _sealed
    from threada_site.database.keyset import Edge
    from threada_site.kernel import errors, ids

    place, old = Edge(ids.new_uuid()), settings.THREADA_CURSOR_KEYS[0]
    cursor = _sealed(place, b"here")
    settings.THREADA_CURSOR_KEYS = [OTHER, old]
    assert _opened(cursor, b"here") == place
    settings.THREADA_CURSOR_KEYS = [OTHER]
    with pytest.raises(errors.InvalidCursor):
        _opened(cursor, b"here")


@pytest.mark.parametrize(
    ("theirs", "ahead"), [(10.0, 0.0), (10.2, 0.0), (10.5, 0.0), (7.0, 3.0), (14.0, -3.5), (9.5, 0.5)]
)
def test_clock_skew_excludes_the_round_trip_time(theirs: float, ahead: float) -> None:
    assert skew(10.0, theirs, 10.5) == ahead


@pytest.mark.parametrize("text", [None, "https://threada.example.org"])
def test_web_login_compares_and_records_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(readiness, "_same", set())
    if text is None:
        Instance.objects.all().delete()
    else:
        settings.THREADA_PUBLIC_URL = text  # not recorded, although other facts are
    before = list(Instance.objects.values())
    assert Api().get("/readyz").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {APP}")
        assert differing_facts(with_settings=True) == []
        cursor.execute("RESET ROLE")
    assert list(Instance.objects.values()) == before
    assert differing_facts(with_settings=True) == []
    settings.THREADA_PUBLIC_URL = "https://other.example.org"
    assert Api().get("/readyz").status_code == (200 if text is None else 503)
    settings.THREADA_PEOPLE_KEY = OTHER
    assert Api().get("/readyz").status_code == 503


@pytest.mark.django_db(transaction=True)
def test_one_of_two_first_machines_records_and_the_other_compares() -> None:
    for _ in range(10):
        Instance.objects.all().delete()
        barrier, found = threading.Barrier(2), dict[str, list[str]]()

        def join(key: str, barrier: threading.Barrier = barrier, found: dict[str, list[str]] = found) -> None:
            with connection.cursor() as cursor:  # connect before the race starts
                cursor.execute("SELECT 1")
            barrier.wait()
            with transaction.atomic(), connection.cursor() as cursor:
                differing = settle(cursor, [Fact("THREADA_CURSOR_KEY", (key,))])
            found[key] = differing
            connection.close()

        machines = [threading.Thread(target=join, args=[key]) for key in ("one", "two")]
        for machine in machines:
            machine.start()
        for machine in machines:
            machine.join()
        assert sorted(found.values()) == [[], ["THREADA_CURSOR_KEY"]]
        row = Instance.objects.get()
        (winner,) = [key for key, differing in found.items() if not differing]
        assert row.facts == {"THREADA_CURSOR_KEY": fingerprint(winner, name="THREADA_CURSOR_KEY", salt=bytes(row.salt))}
