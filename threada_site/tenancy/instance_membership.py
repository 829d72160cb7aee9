"""Whether this machine belongs to the instance: its keys and settings are those of the others, and so is its time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from threada_site.tenancy.instance_record import SKEW_TOLERATED_S, Fact, settle, skew

__all__ = [
    "SKEW_TOLERATED_S",
    "accept_facts",
    "clock_skew",
    "difference",
    "differing_facts",
    "facts_here",
]

SECRETS_KEY: Final = "THREADA_SECRETS_KEY"
PEOPLE_KEY: Final = "THREADA_PEOPLE_KEY"
KEYS: Final = {
    "THREADA_SECRET_KEY": "sessions of the console would not be known on the other machines",
    "THREADA_CURSOR_KEY": "cursors of lists would not be read on the other machines",
    SECRETS_KEY: "stored secrets could not be decrypted",
    PEOPLE_KEY: "contents of cases about people could not be read",
    "THREADA_PROMISE_KEY": "promises of receipts would be signed with a key that the sealer does not vouch for",
}
SETTINGS: Final = {
    "THREADA_PUBLIC_URL": "links and callbacks would lead elsewhere",
    "THREADA_ENGINE": "jobs would wait where no worker looks",
    "THREADA_BATCH_CAPS": "what may be decided together would depend on the machine that is asked",
    "THREADA_SENSITIVE_DATA_CLASSES": "what may be decided together would depend on the machine that is asked",
    "THREADA_SECRET_REFS": "which secrets a tenant may name would depend on the machine that is asked",
    "THREADA_EGRESS_ALLOW": "which receivers may be called would depend on the machine that works",
    "THREADA_IDEMPOTENCY_HOURS": "how long a repeated request is known would depend on the machine that is asked",
    "THREADA_RETENTION_NOTICE_HOURS": "what was announced to be removed would be removed sooner or later elsewhere",
}


def differing_facts(*, with_settings: bool) -> list[str]:
    """The names of what differs here from what the first machine wrote down; it is written down by whoever is first."""
    with transaction.atomic(), connection.cursor() as cursor:
        return settle(cursor, facts_here(with_settings=with_settings))


def accept_facts(names: Iterable[str]) -> list[str]:
    """Write these down as this machine has them; the names of what still differs."""
    with transaction.atomic(), connection.cursor() as cursor:
        return settle(cursor, facts_here(with_settings=True), accepted=frozenset(names))


def difference(name: str) -> str:
    """What is wrong, and what to do."""
    what = "key" if name in KEYS else "setting"
    return (
        f"{name} is not the {what} that this instance was started with: {(KEYS | SETTINGS)[name]}. Bring the {what} of "
        f"the other machines here; if it was changed on purpose, say so once: manage.py instance accept {name}"
    )


def clock_skew() -> float:
    """By how many seconds this machine's clock is ahead of the database's, as far as the way there can tell."""
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (theirs,) = cursor.fetchone()
    after = time.time()
    return skew(before, float(theirs), after)


def facts_here(*, with_settings: bool) -> list[Fact]:
    """What this machine has. With the embedded database there is one machine, whose settings are its own affair."""
    facts = [
        Fact("THREADA_SECRET_KEY", (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)),
        Fact("THREADA_CURSOR_KEY", tuple(settings.THREADA_CURSOR_KEYS)),
        Fact(SECRETS_KEY, _secrets_keys()),
        Fact(PEOPLE_KEY, tuple(dict.fromkeys(settings.THREADA_PEOPLE_KEY.split()))),
        Fact("THREADA_PROMISE_KEY", (settings.THREADA_PROMISE_KEY,)),
    ]
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
