"""Signed records of deleted tenants: signed notes with canonical JSON. They explain why a tenant is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from telemetry.tlog.note import SignedNote, VerifierKey
from telemetry.tlog.texts import MalformedText
from threada_site.kernel.json.canonical import canonical_bytes

_FIRST_LINE: Final = "threada tenant deletion"


def record_text(facts: dict[str, Any]) -> str:
    """Return the text of a record that is signed."""
    return f"{_FIRST_LINE}\n{canonical_bytes(facts).decode()}\n"


def deletion_in(note: str | None) -> SignedNote | None:
    """Return the note of an entry if it is the record of a deletion. Does not verify it."""
    if note is None or not note.startswith(f"{_FIRST_LINE}\n"):
        return None
    try:
        return SignedNote.parse(note)
    except MalformedText:
        return None


def is_signed_deletion(record: SignedNote, tenant: str, keys: Sequence[bytes]) -> bool:
    """Return True if one of the public `keys` signed the record, and it is of `tenant` (a public id)."""
    names = {signature.name for signature in record.signatures}
    try:
        record.verified_by([VerifierKey(name, key) for name in names for key in keys])
        facts = json.loads(record.text.splitlines()[1])
    except (ValueError, IndexError):
        return False
    return isinstance(facts, dict) and facts.get("tenant_id") == tenant
