"""Public ids: a prefix and a time-ordered UUIDv7 in TypeID form (https://github.com/jetify-com/typeid, spec 0.3.0).

Rows contain a plain `uuid`; the prefixed text is used in the API, console, commands and receipts only. Ids that
people choose (workflow, channel, integration, action, policy, tenant) are slugs.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from typeid.codecs import base32

WORK_ITEM: Final = "wi"
EVIDENCE: Final = "ev"
DECISION_STEP: Final = "ds"
VOTE: Final = "vt"
COMMENT: Final = "cm"
ATTACHMENT: Final = "att"
REQUESTER_QUESTION: Final = "qu"
DELEGATION: Final = "dg"
PERMIT: Final = "permit"
PROOF: Final = "pf"
ACCESS_REVIEW: Final = "ar"
ACCESS_REVIEW_ENTRY: Final = "ae"
POLICY_DECISION: Final = "pd"
POLICY_VERSION: Final = "pv"
POLICY_REPLAY: Final = "rp"
POLICY_SHADOW: Final = "sh"
OVERLAY: Final = "ov"
WORKFLOW_VERSION: Final = "wv"
INTEGRATION_VERSION: Final = "iv"
INTEGRATION_TEST: Final = "it"
ENVELOPE: Final = "en"
EXECUTION: Final = "ex"
ATTEMPT: Final = "at"
RECEIPT: Final = "rc"
EXPORT: Final = "te"
DELIVERY: Final = "dl"
DELIVERY_ATTEMPT: Final = "da"
CHECKPOINT: Final = "cp"
PRINCIPAL: Final = "pr"
CREDENTIAL: Final = "cr"
TENANT: Final = "tn"
RETENTION_VERSION: Final = "rv"
RETENTION_RUN: Final = "rr"
LEGAL_HOLD: Final = "lh"
FREEZE: Final = "fz"
MESSAGE: Final = "nm"
DATA_SUBJECT: Final = "su"
PACK_VERSION: Final = "kv"
CHANGE_SET: Final = "chg"
REQUEST_DRAFT: Final = "rd"
ACCOUNT_LINK: Final = "al"
SESSION: Final = "se"
FACTOR: Final = "sf"
IDENTITY_PROVIDER_VERSION: Final = "ipv"
IDENTITY_LINK: Final = "il"
TRUSTED_ISSUER_VERSION: Final = "tv"
PROVISIONED_GROUP: Final = "pg"

SLUG_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
_TAIL_BITS: Final = 74
"""Bits of a UUIDv7 after its time, without version and variant."""
_LOW: Final = 2**62 - 1
_LAST: Final = threading.local()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SLUG: Final = re.compile(SLUG_PATTERN)
SUFFIX_PATTERN: Final = r"[0-7][0-9a-hjkmnp-tv-z]{25}"
_SUFFIX: Final = re.compile(SUFFIX_PATTERN)
LAST: Final = uuid.UUID(int=2**128 - 1)
"""Every id there is is smaller."""
CLOCKS_DIFFER: Final = timedelta(days=1)
"""Most by which the clocks of two machines differ, whose ids contain their times."""


def new_uuid() -> uuid.UUID:
    """Return a new UUIDv7 (RFC 9562). Later ids sort later: to the millisecond, and within it those of one thread.

    The counter within a millisecond is that of the thread. A counter of the process would tell a tenant how many ids
    others got in between.
    """
    millisecond = time.time_ns() // 1_000_000
    last, tail = getattr(_LAST, "id", (0, 0))
    tail = tail + 1 + _random(32) if last == millisecond else _random(_TAIL_BITS - 1)
    _LAST.id = (millisecond, tail)
    low = tail & _LOW
    return uuid.UUID(int=millisecond << 80 | 7 << 76 | (tail >> 62 & 0xFFF) << 64 | 2 << 62 | low)


def new_uuid_after(last: uuid.UUID | None) -> uuid.UUID:
    """Return a new UUIDv7 that sorts after `last`, also if a clock was ahead when that was made."""
    made = new_uuid()
    return made if last is None else max(made, uuid.UUID(int=last.int + 1))


def new_account_id() -> uuid.UUID:
    """Return a new UUIDv4 for an account, which outlives its tenants: its id does not tell when it was created."""
    return uuid.uuid4()


def _random(bits: int) -> int:
    return int.from_bytes(os.urandom(-(-bits // 8))) >> (-bits % 8)


def instant_of(value: uuid.UUID) -> datetime:
    """Return the time (UTC, whole milliseconds) of a UUIDv7."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def first_id_at(instant: datetime) -> uuid.UUID:
    """Return the smallest UUIDv7 at or after `instant`, a bound for "created after" on a column of ids."""
    milliseconds = -((_EPOCH - instant) // _MILLISECOND)
    return uuid.UUID(int=max(milliseconds, 0) << 80)


def public_id(prefix: str, value: uuid.UUID) -> str:
    """Return `value` as `prefix_suffix`, e.g. `wi_01kb4x…`."""
    return f"{prefix}_{base32.encode(value.bytes)}"


def parse_public_id(prefix: str, text: str) -> uuid.UUID | None:
    """Return the UUID in `text`, or None if it is not a well-formed id with this prefix."""
    head, separator, suffix = text.rpartition("_")
    if not separator or head != prefix or not _SUFFIX.fullmatch(suffix):
        return None
    return uuid.UUID(bytes=bytes(base32.decode(suffix)))


def is_slug(text: str) -> bool:
    """Return True if `text` is a valid slug."""
    return bool(_SLUG.fullmatch(text))
