"""Idempotency keys: the same key with the same body returns the first answer again.

The record is written in the transaction that does the work, so there is no "started and forgotten" state. A running
request holds an advisory lock until its transaction ends; a second request with the key is refused (409).
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from rest_framework.response import Response

from threada_site.api.models import IdempotencyRecord
from threada_site.api.operations import handler_name, operation_of
from threada_site.api.stored_answers import closed_answer, opened_answer
from threada_site.database.batched_writes import insert_rows
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_LONGEST_PATH: Final = 255
_KEPT_HEADERS: Final = ("Location", "Retry-After", "ETag")


@dataclass(frozen=True, slots=True)
class KeyReservation:
    """One use of an idempotency key: principal, path, body."""

    context: ActingContext
    path: str
    key: str
    body_sha256: str

    def reserve_key(self) -> IdempotencyRecord | None:
        """Lock the key until the transaction ends. Return the first answer under it, or None. One statement.

        Raise `IdempotencyInFlight` if another request has locked it, `IdempotencyKeyReused` if that was sent with
        another body.
        """
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                "SELECT * FROM threada_reserve_key($1, $2, $3, $4)",
                [self.context.tenant_id, self.context.principal_id, self.path, self.key],
            )
            is_reserved, record_id, body_sha256, status, headers, answer, expires_at = cursor.fetchone()
        if not is_reserved:
            raise errors.IdempotencyInFlight(headers={"Retry-After": "1"})
        if record_id is None:
            return None
        if expires_at <= clock.now():
            IdempotencyRecord.objects.filter(tenant_id=self.context.tenant_id, id=record_id).delete()
            return None
        if body_sha256 != self.body_sha256:
            raise errors.IdempotencyKeyReused("This Idempotency-Key was sent with another body. Use a new key.")
        return self._record(status=status, headers=orjson.loads(headers), response=answer, expires_at=expires_at)

    def remember(self, response: Response) -> None:
        """Store `response` as the answer under a reserved key that had none."""
        record = self._record(
            status=response.status_code,
            headers={
                **{name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
                # The response is not rendered yet: its header still contains Django's default.
                "Content-Type": response.content_type or "application/json",
            },
            response=closed_answer(orjson.dumps(response.data), response.data),
            expires_at=clock.now() + timedelta(hours=settings.THREADA_IDEMPOTENCY_HOURS),
        )
        insert_rows(record)

    def remember_refusal(self, response: Response) -> IdempotencyRecord | None:
        """Store a refusal, in a transaction after the one that was rolled back.

        Meanwhile another request may have reserved the key: if it has an answer by now, that is returned and kept; if
        it is in progress, nothing is stored.
        """
        try:
            first = self.reserve_key()
        except errors.IdempotencyInFlight:
            return None
        if first is None:
            self.remember(response)
        return first

    def _record(self, **answer: Any) -> IdempotencyRecord:
        return IdempotencyRecord(
            tenant_id=self.context.tenant_id,
            principal_id=self.context.principal_id,
            path=self.path,
            key=self.key,
            body_sha256=self.body_sha256,
            **answer,
        )


def forget_answers(reservations: Sequence[KeyReservation]) -> None:
    """Delete the answers under several keys of one principal and one path."""
    first = reservations[0]
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(
            "DELETE FROM api_idempotencyrecord "
            "WHERE tenant_id = $1 AND principal_id = $2 AND path = $3 AND key = ANY($4::text[])",
            [first.context.tenant_id, first.context.principal_id, first.path, [each.key for each in reservations]],
        )


def idempotent(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the POST handler of a view to honour `Idempotency-Key`. The view stores refusals after its rollback.

    A handler that sets `key_reservation` of its view to None has its answer not stored.
    """

    @functools.wraps(handler)
    def wrapper(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        if key is None:
            return handler(view, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise errors.InvalidRequest(
                "Idempotency-Key must be 1 to 255 visible ASCII characters.",
                errors=[FieldError("#header/Idempotency-Key", "is not a valid key", "invalid")],
            )
        if len(request.path) > _LONGEST_PATH or "\x00" in request.path:
            raise errors.NotFound  # no id is that long, and a record could not store the path
        declared = operation_of(type(view), handler_name(view, request.method))
        is_secret = declared is not None and declared.body is not None and declared.body.is_secret
        reservation = KeyReservation(request.auth, request.path, key, _digest(request.data, is_secret=is_secret))
        record = reservation.reserve_key()
        if record is not None:
            return view.replayed(request, record)
        view.key_reservation = reservation
        response = handler(view, request, *args, **kwargs)
        if view.key_reservation is not None:
            reservation.remember(response)
        return response

    wrapper.is_idempotent = True  # type: ignore[attr-defined]
    return wrapper


def _digest(body: Any, *, is_secret: bool) -> str:
    """Return the digest that identifies a body. It is keyed if the body contains a secret, which prevents guessing."""
    digest = canonical_sha256(body)
    return hmac.new(settings.SECRET_KEY.encode(), digest.encode(), "sha256").hexdigest() if is_secret else digest


def stored_answer(ctx: ActingContext, path: str, key: str) -> dict[str, Any]:
    """Return the body of the answer that is stored under a key of the acting principal; empty if there is none."""
    found = IdempotencyRecord.objects.filter(
        tenant_id=ctx.tenant_id, principal_id=ctx.principal_id, path=path, key=key
    ).first()
    return dict(orjson.loads(opened_answer(found))) if found is not None else {}


def replay(record: IdempotencyRecord) -> HttpResponse:
    """Return the stored answer unchanged, marked as a repetition. Raise `IdempotencyAnswerGone`."""
    response = HttpResponse(opened_answer(record), status=record.status, headers=record.headers)
    if "Content-Type" not in record.headers:
        response.headers["Content-Type"] = "application/json"
    response.headers[REPLAYED] = "true"
    return response
