"""Tokens of rendered forms: each form is sent at most once, and only by the person to whom it was shown.

The token is the idempotency key of the request. Answers are stored for `THREADA_IDEMPOTENCY_HOURS`, so older tokens are
refused.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core import signing

from threada_site.kernel.context import ActingContext

_SALT: Final = "threada.request-form"
_MARGIN: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FormToken:
    """Form of a workflow version, shown to one person in one tenant."""

    key: str
    version_id: uuid.UUID


def new_token(version_id: uuid.UUID, *, ctx: ActingContext) -> str:
    """Return the signed token of a new form."""
    return signing.TimestampSigner(salt=_SALT).sign(f"{secrets.token_hex(16)}.{version_id.hex}.{_owner(ctx)}")


def read_token(token: str, *, ctx: ActingContext) -> FormToken | None:
    """Return the form of a token; None if it is forged, too old, or of somebody else."""
    longest = timedelta(hours=settings.THREADA_IDEMPOTENCY_HOURS) - _MARGIN
    try:
        value = signing.TimestampSigner(salt=_SALT).unsign(token[:500], max_age=longest)
        key, version, owner = value.split(".")
        return FormToken(f"request-{key}", uuid.UUID(version)) if owner == _owner(ctx) else None
    except (signing.BadSignature, ValueError):
        return None


def _owner(ctx: ActingContext) -> str:
    return f"{ctx.tenant_id.hex}-{ctx.principal_id.hex}"
