"""Endpoints `/telemetry/deliveries`: continuous delivery of sealed receipts."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from integrations.api.resources import DELIVERY, DELIVERY_ATTEMPT
from integrations.deliveries.deliver import configure_delivery
from integrations.deliveries.otlp_headers import MAX_HEADERS
from telemetry import selectors
from telemetry.deliveries.attempt_list import attempts, request_resend, request_test_event
from telemetry.deliveries.batches import pause_delivery, remove_delivery, resume_delivery
from telemetry.deliveries.rules import TARGETS
from telemetry.models import Delivery
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY, SLUG, id_schema, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope

PUT_DELIVERY: Final = shape(
    {
        "delivery_id": SLUG,
        "target": {"enum": list(TARGETS)},
        "url": {"type": "string", "minLength": 1, "maxLength": 2000},
        "secret": {
            "type": "object",
            "description": "{stored: name}, {env: NAME} or {file: /path}. Signs the messages of a webhook; "
            "replaces ${secret} in the headers of a collector.",
        },
        "headers": {
            "type": "object",
            "maxProperties": MAX_HEADERS,
            "additionalProperties": {"type": "string", "maxLength": 1000},
            "description": "Headers for a collector. Default with a secret: `Authorization: Bearer ${secret}`.",
        },
        "kinds": {
            "type": "array",
            "maxItems": 200,
            "items": {"type": "string", "maxLength": 64},
            "default": [],
            "description": "Kinds of events to send, for example `execution.succeeded`. Empty: all.",
        },
        "workflows": {
            "type": "array",
            "maxItems": 200,
            "items": SLUG,
            "default": [],
            "description": "Workflows whose events are sent. Empty: all events, also those of no workflow.",
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


_INDEX: Final[dict[str, Any]] = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
RESEND: Final = shape(
    {
        "receipt_id": {**id_schema(ids.RECEIPT), "description": "The event to send again."},
        "first_index": {**_INDEX, "description": "First log index (`sequence`) of the range."},
        "last_index": {**_INDEX, "description": "Last log index of the range; at most 1,000 events."},
    },
    oneOf=[{"required": ["receipt_id"]}, {"required": ["first_index", "last_index"]}],
    example={"first_index": 120, "last_index": 140},
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
        return Response(paginate(rows, request, represent=lambda row: DELIVERY.represent(row, log_size=size)))

    @operation(
        "putDelivery",
        "Create or change a continuous delivery of sealed receipts",
        tag="Telemetry",
        body=PUT_DELIVERY,
        answers={200: DELIVERY, 201: DELIVERY},
        headers=("Location",),
        reasons=(
            "secret_reference_not_allowed",
            "secret_origin_refused",
            "document_invalid",
            "conflict",
            "optional_package_missing",
            "quota_exceeded",
        ),
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
            kinds=body.get("kinds", ()),
            workflows=body.get("workflows", ()),
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
        require(request.auth, Scope.TELEMETRY_READ)  # the answer shows the delivery
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
        require(request.auth, Scope.TELEMETRY_READ)  # the answer shows the delivery
        delivery = _locked(request, delivery_id)
        resume_delivery(delivery, ctx=request.auth)
        return Response(_shown(request, delivery))


class TestDelivery(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "testDelivery",
        "Send a test event",
        tag="Telemetry",
        body=EMPTY,
        answers={202: DELIVERY_ATTEMPT},
        reasons=("delivery_busy",),
    )
    @idempotent
    def post(self, request: Any, delivery_id: str) -> Response:
        """Request one event of the type `threada.delivery.test`, signed as all others, without `sequence`.

        A worker sends it to the webhook or collector, or writes it to a file of its own. It moves no position. The
        result is in the list of attempts. Works for paused deliveries, too.
        """
        attempt = request_test_event(_locked(request, delivery_id), ctx=request.auth)
        return Response(DELIVERY_ATTEMPT.represent(attempt), status=202)


class ResendDelivery(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "resendDelivery",
        "Send delivered events again",
        tag="Telemetry",
        body=RESEND,
        answers={202: DELIVERY_ATTEMPT},
        reasons=("conflict", "delivery_busy"),
    )
    @idempotent
    def post(self, request: Any, delivery_id: str) -> Response:
        """Request one event, or a range of at most 1,000: the same events in messages with new ids.

        A worker sends them; a delivery to a file gets a second file, named after the attempt. Only events that the
        delivery selects are sent. One test or resend of a tenant is open at a time; in an hour a delivery takes 60 of
        them with 10,000 events.
        """
        body = RESEND.check(request.data)
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        attempt = request_resend(
            _found(request, delivery_id, for_update=True),
            receipt=body.get("receipt_id", ""),
            first=body.get("first_index"),
            last=body.get("last_index"),
            ctx=request.auth,
        )
        return Response(DELIVERY_ATTEMPT.represent(attempt), status=202)


class DeliveryAttempts(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "listDeliveryAttempts",
        "List attempts of a delivery",
        tag="Telemetry",
        answers={200: page_of(DELIVERY_ATTEMPT)},
        filters=NoFilters,
        is_paged=True,
    )
    def get(self, request: Any, delivery_id: str) -> Response:
        """List the newest 200 scheduled attempts, and requested ones of 30 days, without events and answers."""
        rows = apply_filters(NoFilters, attempts(_found(request, delivery_id)), request)
        return Response(paginate(rows, request, represent=DELIVERY_ATTEMPT.represent))


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


def _shown(request: Any, delivery: Delivery) -> dict[str, Any]:
    return DELIVERY.represent(delivery, log_size=selectors.log_size(request.auth.tenant_id))


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
