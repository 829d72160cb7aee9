"""Endpoints `/telemetry/deliveries`: continuous delivery of sealed receipts."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from integrations.deliveries.deliver import configure_delivery
from integrations.deliveries.otlp_headers import MAX_HEADERS
from telemetry import selectors
from telemetry.deliveries.batches import pause_delivery, remove_delivery, resume_delivery
from telemetry.deliveries.rules import TARGETS
from telemetry.lifecycle import DeliveryStatus
from telemetry.models import Delivery
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation, page_of, representation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.shapes import EMPTY, SLUG, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import Scope

_MAYBE_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
_PLACE: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
DELIVERY: Final = representation(
    "Delivery",
    {
        "delivery_id": SLUG,
        "target": {"enum": list(TARGETS)},
        "url": {"type": ["string", "null"]},
        "secret": {"type": ["object", "null"], "description": "Reference to the secret, never its value."},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Sent to a collector; ${secret} is replaced by the secret.",
        },
        "status": {"enum": [DeliveryStatus.ACTIVE.value, DeliveryStatus.PAUSED.value]},
        "next_index": {**_PLACE, "description": "Log index of the first receipt that is not delivered yet."},
        "log_size": {**_PLACE, "description": "Number of sealed receipts."},
        "failure": {
            "type": ["object", "null"],
            "properties": {"reason_code": {"type": "string"}, "detail": {"type": "string"}},
            "description": "Reason of the last failed attempt, or why the delivery paused itself.",
        },
        "rejected": {**_PLACE, "description": "Receipts that a collector accepted and discarded; not sent again."},
        "attempts": {**_PLACE, "description": "Failed attempts since the last success."},
        "failing_since": _MAYBE_INSTANT,
        "next_try_at": _MAYBE_INSTANT,
        "paused_at": _MAYBE_INSTANT,
        "delivered_at": _MAYBE_INSTANT,
        "created_at": {"type": "string", "format": "date-time"},
    },
)
PUT_DELIVERY: Final = shape(
    {
        "delivery_id": SLUG,
        "target": {"enum": list(TARGETS)},
        "url": {"type": "string", "minLength": 1, "maxLength": 2000},
        "secret": {
            "type": "object",
            "description": "{stored: name}, {env: NAME} or {file: /path}: a webhook's Standard Webhooks secret; what a "
            "collector's headers say ${secret} for.",
        },
        "headers": {
            "type": "object",
            "maxProperties": MAX_HEADERS,
            "additionalProperties": {"type": "string", "maxLength": 1000},
            "description": "For a collector. Where there is a secret: Authorization: Bearer ${secret}, unless said.",
        },
        "from": {
            "enum": ["now", "beginning"],
            "default": "now",
            "description": "Start of a new delivery. An existing one keeps its position.",
        },
    },
    required=("delivery_id", "target"),
    example={"delivery_id": "archive", "target": "file", "from": "beginning"},
)


class Deliveries(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ, "POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "listDeliveries",
        "List continuous deliveries",
        tag="Telemetry",
        answers={200: page_of(DELIVERY)},
        filters=NoFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(NoFilters, selectors.deliveries(request.auth), request)
        size = selectors.log_size(request.auth.tenant_id)
        return Response(paginate(rows, request, represent=lambda row: represent_delivery(row, log_size=size)))

    @operation(
        "putDelivery",
        "Create or change a continuous delivery of sealed receipts",
        tag="Telemetry",
        body=PUT_DELIVERY,
        answers={200: DELIVERY, 201: DELIVERY},
        headers=("Location",),
        reasons=("secret_reference_not_allowed", "conflict", "optional_package_missing"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """At least once and in the order of the tenant's log, as CloudEvents whose `sequence` is the log index.

        The index is dense, so that a gap is visible. A webhook receives batches, signed according to Standard Webhooks.
        An OpenTelemetry collector (`otlp`, the complete address: `https://…/v1/logs`) receives log records. Also
        requires `telemetry:read`.
        """
        body = PUT_DELIVERY.check(request.data)
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        require(request.auth, Scope.TELEMETRY_READ)
        result = configure_delivery(
            body["delivery_id"],
            target=body["target"],
            url=body.get("url", ""),
            secret=body.get("secret"),
            headers=body.get("headers"),
            from_beginning=body.get("from") == "beginning",
            ctx=request.auth,
        )
        return Response(
            _shown(request, result.row),
            status=201 if result.is_new else 200,
            headers={"Location": f"/telemetry/deliveries/{result.row.slug}"},
        )


class DeliveryDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation("readDelivery", "Read a continuous delivery", tag="Telemetry", answers={200: DELIVERY})
    def get(self, request: Any, delivery_id: str) -> Response:
        return Response(_shown(request, _found(request, delivery_id)))


class PauseDelivery(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "pauseDelivery",
        "Pause a continuous delivery",
        tag="Telemetry",
        body=EMPTY,
        answers={200: DELIVERY},
        reasons=("transition_not_allowed",),
    )
    @idempotent
    def post(self, request: Any, delivery_id: str) -> Response:
        delivery = _locked(request, delivery_id)
        pause_delivery(delivery, now=clock.now(), ctx=request.auth)
        return Response(_shown(request, delivery))


class ResumeDelivery(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "resumeDelivery",
        "Resume a continuous delivery",
        tag="Telemetry",
        body=EMPTY,
        answers={200: DELIVERY},
        reasons=("transition_not_allowed",),
    )
    @idempotent
    def post(self, request: Any, delivery_id: str) -> Response:
        delivery = _locked(request, delivery_id)
        resume_delivery(delivery, ctx=request.auth)
        return Response(_shown(request, delivery))


class RemoveDelivery(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "removeDelivery",
        "Remove a continuous delivery permanently; its file stays",
        tag="Telemetry",
        body=EMPTY,
        answers={204: None},
    )
    @idempotent
    def post(self, request: Any, delivery_id: str) -> Response:
        remove_delivery(_locked(request, delivery_id), ctx=request.auth)
        return Response(status=204)


def represent_delivery(delivery: Delivery, *, log_size: int) -> dict[str, Any]:
    """Return a delivery with its target and position."""
    return {
        "delivery_id": delivery.slug,
        "target": delivery.target,
        "url": delivery.url or None,
        "secret": delivery.secret,
        "headers": delivery.headers,
        "status": delivery.status,
        "next_index": delivery.next_index,
        "log_size": log_size,
        "failure": {"reason_code": delivery.failure, "detail": delivery.detail} if delivery.failure else None,
        "rejected": delivery.rejected,
        "attempts": delivery.attempts,
        "failing_since": delivery.failing_since and rfc3339(delivery.failing_since),
        "next_try_at": delivery.next_try_at and rfc3339(delivery.next_try_at),
        "paused_at": delivery.paused_at and rfc3339(delivery.paused_at),
        "delivered_at": delivery.delivered_at and rfc3339(delivery.delivered_at),
        "created_at": rfc3339(delivery.created_at),
    }


def _shown(request: Any, delivery: Delivery) -> dict[str, Any]:
    return represent_delivery(delivery, log_size=selectors.log_size(request.auth.tenant_id))


def _locked(request: Any, delivery_id: str) -> Delivery:
    EMPTY.check(request.data)
    require(request.auth, Scope.INTEGRATIONS_MANAGE)
    return _found(request, delivery_id, for_update=True)


def _found(request: Any, delivery_id: str, *, for_update: bool = False) -> Delivery:
    rows = selectors.deliveries(request.auth)
    found = (rows.select_for_update() if for_update else rows).filter(slug=path_slug(delivery_id)).first()
    if found is None:
        raise errors.NotFound
    return found
