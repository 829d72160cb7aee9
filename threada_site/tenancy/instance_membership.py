"""Check that this machine belongs to the instance: keys, settings and time are equal to those of the others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from threada_site.tenancy.instance_record import SKEW_TOLERATED_S, Fact, compare, settle, skew

__all__ = [
    "SKEW_TOLERATED_S",
    "accept_facts",
    "clock_skew",
    "compare_facts",
    "difference",
    "differing_facts",
    "facts_here",
]

SECRETS_KEY: Final = "THREADA_SECRETS_KEY"
PEOPLE_KEY: Final = "THREADA_PEOPLE_KEY"
RECEIPT_KEYS: Final = "THREADA_RECEIPT_PUBLIC_KEYS"
KEYS: Final = {
    "THREADA_SECRET_KEY": "console sessions would not be valid on the other machines",
    "THREADA_CURSOR_KEY": "list cursors would not be valid on the other machines",
    SECRETS_KEY: "stored secrets could not be decrypted",
    PEOPLE_KEY: "contents of cases about data subjects could not be decrypted",
    RECEIPT_KEYS: "receipts would be signed with keys that the other machines and the sealer do not know",
    "THREADA_PROMISE_KEY": "promises of receipts would be signed with a key that the sealer does not vouch for",
}
SETTINGS: Final = {
    "THREADA_PUBLIC_URL": "links and callbacks would use different addresses",
    "THREADA_ENGINE": "jobs would be queued where no worker reads them",
    "THREADA_BATCH_CAPS": "batch limits would depend on the machine",
    "THREADA_SENSITIVE_DATA_CLASSES": "batch limits would depend on the machine",
    "THREADA_SECRET_REFS": "allowed secret references would depend on the machine",
    "THREADA_PLAIN_SECRET_ORIGINS": "addresses that secrets may be sent to would depend on the machine",
    "THREADA_EGRESS_ALLOW": "allowed receivers would depend on the machine",
    "THREADA_IDEMPOTENCY_HOURS": "the life of idempotency keys would depend on the machine",
    "THREADA_RETENTION_NOTICE_HOURS": "the notice period of retention would depend on the machine",
    "THREADA_INSTANCE_LOG": "detection of missing tenants would depend on the machine",
    "THREADA_INCLUSION_PROMISES": "inclusion promises in answers would depend on the machine",
}


def differing_facts(*, with_settings: bool) -> list[str]:
    """Return the names of facts that differ from the recorded ones. The first machine records them."""
    with transaction.atomic(), connection.cursor() as cursor:
        return settle(cursor, facts_here(with_settings=with_settings))


def compare_facts(*, with_settings: bool) -> tuple[list[str], bool]:
    """Return the names of facts that differ from the recorded ones, and True if all are recorded. Record nothing."""
    with connection.cursor() as cursor:
        return compare(cursor, facts_here(with_settings=with_settings))


def accept_facts(names: Iterable[str]) -> list[str]:
    """Record these facts as this machine has them. Return the names that still differ."""
    with transaction.atomic(), connection.cursor() as cursor:
        return settle(cursor, facts_here(with_settings=True), accepted=frozenset(names))


def difference(name: str) -> str:
    """Return a sentence that says what differs and what to do."""
    what = "key" if name in KEYS else "setting"
    return (
        f"{name} is not the {what} that this instance was started with: {(KEYS | SETTINGS)[name]}. Bring the {what} of "
        f"the other machines here; if it was changed on purpose, say so once: manage.py instance accept {name}"
    )


def clock_skew() -> float:
    """Return the seconds by which this machine's clock is ahead of the database's, within the round-trip time."""
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (theirs,) = cursor.fetchone()
    after = time.time()
    return skew(before, float(theirs), after)


def facts_here(*, with_settings: bool) -> list[Fact]:
    """Return the facts of this machine. With the embedded database, settings are not compared."""
    facts = [
        Fact("THREADA_SECRET_KEY", (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)),
        Fact("THREADA_CURSOR_KEY", tuple(settings.THREADA_CURSOR_KEYS)),
        Fact(SECRETS_KEY, _secrets_keys()),
        Fact(PEOPLE_KEY, tuple(dict.fromkeys(settings.THREADA_PEOPLE_KEY.split()))),
        Fact(RECEIPT_KEYS, tuple(import_string(settings.THREADA_CURRENT_RECEIPT_KEYS)()), is_key=False),
    ]
    if settings.THREADA_INCLUSION_PROMISES:
        facts.append(Fact("THREADA_PROMISE_KEY", (settings.THREADA_PROMISE_KEY,)))
    if with_settings and settings.DATABASE_URL:
        facts += [Fact(name, (_text(getattr(settings, name, "")),), is_key=False) for name in SETTINGS]
    return facts


def _secrets_keys() -> tuple[str, ...]:
    text = settings.THREADA_SECRETS_KEY
    if not text:
        try:
            text = Path(settings.THREADA_SECRETS_KEY_FILE).read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return ()
    return tuple(dict.fromkeys(text.split()))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
