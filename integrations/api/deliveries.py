"""`/telemetry/deliveries`: continuous delivery of sealed receipts."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from integrations.api.resources import DELIVERY, DELIVERY_ATTEMPT
from integrations.deliveries.deliver import configure_delivery
from integrations.deliveries.otlp_headers import MAX_HEADERS
from telemetry import selectors
from telemetry.deliveries.attempt_list import attempts, request_resend, request_test_event
from telemetry.deliveries.batches import pause_delivery, remove_delivery, resume_delivery
from telemetry.deliveries.rules import TARGETS
from telemetry.models import Delivery
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.shapes import SLUG, id_schema, shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
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


class DeliveryViewSet(TenantViewSet):
    lookup_url_kwarg = "delivery_id"
    tag = "Telemetry"

    def get_queryset(self) -> QuerySet[Delivery]:
        return selectors.deliveries(self.request.auth)

    def get_object(self) -> Delivery:
        return self._found(self.get_queryset())

    def represent(self, row: Delivery) -> dict[str, Any]:
        return DELIVERY.represent(row, log_size=selectors.log_size(self.request.auth.tenant_id))

    @listing("listDeliveries", "List continuous deliveries", DELIVERY, scope=Scope.TELEMETRY_READ)
    def list(self, request: Any) -> Response:
        size = selectors.log_size(request.auth.tenant_id)
        return self.page(represent=lambda row: DELIVERY.represent(row, log_size=size))

    @creation(
        "putDelivery",
        "Create or change a continuous delivery of sealed receipts",
        scope=Scope.INTEGRATIONS_MANAGE,
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
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """At least once and in the order of the tenant's log, as CloudEvents whose `sequence` is the log index.

        The index is dense, so that a gap is visible. A webhook receives batches, signed according to Standard Webhooks.
        An OpenTelemetry collector (`otlp`, the complete address: `https://…/v1/logs`) receives log records. Also
        requires `telemetry:read`.
        """
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
        address = f"/telemetry/deliveries/{result.row.slug}"
        return self.shown(result.row, status=201 if result.is_new else 200, Location=address)

    @operation("readDelivery", "Read a continuous delivery", scope=Scope.TELEMETRY_READ, answers={200: DELIVERY})
    def retrieve(self, request: Any, delivery_id: str) -> Response:
        return self.shown(self.get_object())

    @verb(
        "pauseDelivery",
        "Pause a continuous delivery",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={200: DELIVERY},
        reasons=("transition_not_allowed",),
    )
    def pause(self, request: Any, delivery_id: str) -> Response:
        require(request.auth, Scope.TELEMETRY_READ)  # the answer shows the delivery
        delivery = self._managed()
        pause_delivery(delivery, now=clock.now(), ctx=request.auth)
        return self.shown(delivery)

    @verb(
        "resumeDelivery",
        "Resume a continuous delivery",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={200: DELIVERY},
        reasons=("transition_not_allowed",),
    )
    def resume(self, request: Any, delivery_id: str) -> Response:
        require(request.auth, Scope.TELEMETRY_READ)  # the answer shows the delivery
        delivery = self._managed()
        resume_delivery(delivery, ctx=request.auth)
        return self.shown(delivery)

    @verb(
        "testDelivery",
        "Send a test event",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={202: DELIVERY_ATTEMPT},
        reasons=("delivery_busy",),
    )
    def test(self, request: Any, delivery_id: str) -> Response:
        """Request one event of the type `threada.delivery.test`, signed as all others, without `sequence`.

        A worker sends it to the webhook or collector, or writes it to a file of its own. It moves no position. The
        result is in the list of attempts. Works for paused deliveries, too.
        """
        attempt = request_test_event(self._managed(), ctx=request.auth)
        return Response(DELIVERY_ATTEMPT.represent(attempt), status=202)

    @verb(
        "resendDelivery",
        "Send delivered events again",
        scope=Scope.INTEGRATIONS_MANAGE,
        body=RESEND,
        answers={202: DELIVERY_ATTEMPT},
        reasons=("conflict", "delivery_busy"),
    )
    def resend(self, request: Any, delivery_id: str, body: dict[str, Any]) -> Response:
        """Request one event, or a range of at most 1,000: the same events in messages with new ids.

        A worker sends them; a delivery to a file gets a second file, named after the attempt. Only events that the
        delivery selects are sent. One test or resend of a tenant is open at a time; in an hour a delivery takes 60 of
        them with 10,000 events.
        """
        attempt = request_resend(
            self._managed(),
            receipt=body.get("receipt_id", ""),
            first=body.get("first_index"),
            last=body.get("last_index"),
            ctx=request.auth,
        )
        return Response(DELIVERY_ATTEMPT.represent(attempt), status=202)

    @action(detail=True)
    @listing("listDeliveryAttempts", "List attempts of a delivery", DELIVERY_ATTEMPT, scope=Scope.TELEMETRY_READ)
    def attempts(self, request: Any, delivery_id: str) -> Response:
        """List the newest 200 scheduled attempts, and requested ones of 30 days, without events and answers."""
        rows = self.filter_queryset(attempts(self.get_object()))
        return self.page(rows, represent=DELIVERY_ATTEMPT.represent)

    @verb(
        "removeDelivery",
        "Remove a continuous delivery permanently; its file stays",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={204: None},
    )
    def remove(self, request: Any, delivery_id: str) -> Response:
        remove_delivery(self._managed(), ctx=request.auth)
        return Response(status=204)

    def _managed(self) -> Delivery:
        """Return the delivery of the path, locked. Raise `PermissionDenied`, `NotFound`."""
        require(self.request.auth, Scope.INTEGRATIONS_MANAGE)
        return self._found(self.get_queryset().select_for_update())

    def _found(self, rows: QuerySet[Delivery]) -> Delivery:
        found = rows.filter(slug=path_slug(self.kwargs["delivery_id"])).first()
        if found is None:
            raise errors.NotFound
        return found
