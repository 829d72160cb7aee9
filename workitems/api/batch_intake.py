"""`POST /work-items/batch`: up to 100 work items with individual results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from django.db import transaction
from django.http.response import HttpResponseBase
from rest_framework.response import Response

from threada_site.api.idempotency import KeyReservation
from threada_site.api.problems import PROBLEM, problem_response
from threada_site.api.refusals import as_threada_error, record_refusal
from threada_site.api.resources.field_types import BOOLEAN, COUNT, INTEGER, array, schema_of
from threada_site.api.resources.resource import FieldType, Resource, given
from threada_site.api.shapes import shape
from threada_site.api.stored_answers import opened_answer
from threada_site.api.viewsets import TenantViewSet, creation
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError, ThreadaError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.request_limits import charge_further
from workitems.api.items import created_item
from workitems.api.resources.work_items import WORK_ITEM
from workitems.api.shapes import CREATE_WORK_ITEM
from workitems.items.batch_locks import lock_batch

MOST: Final = 100
_KEY: Final = "idempotency_key"
_NOT_STORED: Final = (
    errors.IdempotencyAnswerGone,
    errors.IdempotencyInFlight,
    errors.IdempotencyKeyReused,
    errors.RateLimited,
)
log = structlog.get_logger("threada.api")

_PATH: Final = "/work-items"
"""Keys are those of single requests: an item that was created alone is returned by a batch, and the reverse."""


def _or_null(representation: Resource) -> FieldType:
    return FieldType({"anyOf": [representation, {"type": "null"}]})


RESULT: Final = Resource(
    "BatchResult",
    given("index", COUNT, description="Place of the work item in the request, from 0."),
    given("status", INTEGER, description="Status that a single request would have: 201, or that of the refusal."),
    given("replayed", BOOLEAN, description="True if this is the answer of an earlier request with the same key."),
    given("work_item", _or_null(WORK_ITEM), description="The work item, or null if it was refused."),
    given("problem", _or_null(PROBLEM), description="The refusal, or null. Its pointers begin at the work item."),
)
RESULTS: Final = Resource(
    "BatchResults",
    given("results", array(schema_of(RESULT)), description="Results in the order of the request."),
    given("created", COUNT, description="Work items that exist now."),
    given("refused", COUNT, description="Work items that were refused."),
)
CREATE_WORK_ITEMS: Final = shape(
    {
        "work_items": {
            "type": "array",
            "items": {"type": "object"},
            "minItems": 1,
            "maxItems": MOST,
            "description": "Bodies of `POST /work-items`, each with an optional `idempotency_key`, checked one by one.",
        }
    },
    required=("work_items",),
    example={
        "work_items": [
            {"idempotency_key": "import-2026-01-31-1", **CREATE_WORK_ITEM.example},
            {"workflow_id": "policy_review", "payload": {"question": "May we extend the contract?"}},
        ]
    },
)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Refusal of one item, which still needs its receipt; and what stores its answer under the key of the item."""

    refusal: ThreadaError
    answer: Response
    reservation: KeyReservation | None

    def stored_before(self) -> Any:
        """Store the answer under the key of the item. Return the answer that another request has stored, or None."""
        return None if self.reservation is None else self.reservation.remember_refusal(self.answer)


class WorkItemBatchViewSet(TenantViewSet):
    tag = "Work items"
    refused: list[_Refused]

    def payloads_in(self, body: Any) -> Sequence[Any]:
        items = body.get("work_items") if isinstance(body, dict) else None
        return [each.get("payload") for each in items if isinstance(each, dict)] if isinstance(items, list) else []

    def check_first(self, body: Any) -> None:
        """Raise `InvalidRequest` for names that the body does not have, and for too many work items."""
        if isinstance(body, dict) and isinstance(items := body.get("work_items"), list):
            body = {**body, "work_items": items[: MOST + 1]}
        CREATE_WORK_ITEMS.check(body)

    @creation(
        "createWorkItems",
        "Create up to 100 work items",
        scope=Scope.WORKITEMS_WRITE,
        body=CREATE_WORK_ITEMS,
        answers={200: RESULTS},
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Create each work item as a request of its own would, with the same checks, quotas and rate limits.

        A refused work item does not affect the others; its result contains the problem, and it leaves the receipt of a
        refusal. Send an `idempotency_key` with each: after an answer that was lost, a batch with the same keys creates
        what is missing and returns the rest.
        """
        self.refused = []
        lock_batch(body["work_items"], ctx=request.auth)
        results = [self._result(request, index, entry) for index, entry in enumerate(body["work_items"])]
        for one in self.refused:
            record_refusal(one.refusal, ctx=request.auth, request=request)
        created = sum(result["work_item"] is not None for result in results)
        return Response(RESULTS.represent(None, results=results, created=created, refused=len(results) - created))

    def _result(self, request: Any, index: int, entry: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in entry.items() if name != _KEY}
        reservation: KeyReservation | None = None
        try:
            reservation = _reservation(request, entry, body)
            with transaction.atomic():
                record = reservation.reserve_key() if reservation else None
                if record is None:
                    if index:
                        charge_further(request.auth)
                    answer = created_item(body, ctx=request.auth)
                    if reservation:
                        reservation.remember(answer)
                    return _shown(index, answer.status_code, answer.data)
            return _shown(index, record.status, orjson.loads(opened_answer(record)), replayed=True)
        except Exception as error:  # noqa: BLE001 - answered as the refusal of this item alone
            return self._refusal(request, index, as_threada_error(error), reservation)

    def _refusal(
        self, request: Any, index: int, refusal: ThreadaError, reservation: KeyReservation | None
    ) -> dict[str, Any]:
        """Store the refusal of one item under its key; it is recorded later. Failures of the instance end the batch.

        A refusal by a rate limit is not stored, as for single requests: the item can be sent again with its key.
        """
        if refusal.status >= 500:
            raise refusal
        answer = problem_response(refusal, correlation_id=request.correlation_id)
        if isinstance(refusal, _NOT_STORED):
            reservation = None
        if reservation is None or reservation.remember_refusal(answer) is None:
            self.refused.append(_Refused(refusal, answer, reservation))
        return _shown(index, answer.status_code, answer.data)

    def _refused(self, refusal: ThreadaError) -> HttpResponseBase:
        """Record the refusals of single items, too, since those of a batch that failed were rolled back with it."""
        ctx = getattr(self._http_request, "acting_context", None)
        for one in getattr(self, "refused", ()):
            try:
                record_refusal(one.refusal, ctx=ctx, request=self._http_request, instead=one.stored_before)
            except Exception:  # noqa: BLE001 - the batch is refused in any case
                log.warning("refusal_not_recorded", reason_code=one.refusal.reason_code)
        return super()._refused(refusal)


def _reservation(request: Any, entry: dict[str, Any], body: dict[str, Any]) -> KeyReservation | None:
    """Return the reservation of the key of an item, or None if it has no key. Raise `InvalidRequest`."""
    if _KEY not in entry:
        return None
    key = entry[_KEY]
    if not (isinstance(key, str) and 0 < len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        problem = FieldError(f"/{_KEY}", "must be 1 to 255 visible ASCII characters", "invalid")
        raise errors.InvalidRequest("The idempotency_key is invalid.", errors=[problem])
    return KeyReservation(request.auth, _PATH, key, canonical_sha256(body))


def _shown(index: int, status: int, body: Any, *, replayed: bool = False) -> dict[str, Any]:
    item, problem = (body, None) if status < 300 else (None, body)
    return RESULT.represent(None, index=index, status=status, replayed=replayed, work_item=item, problem=problem)
