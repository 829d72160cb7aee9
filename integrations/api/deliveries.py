"""Endpoints `/telemetry/deliveries`: continuous delivery of sealed receipts."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from integrations.api.resources import DELIVERY
from integrations.deliveries.deliver import configure_delivery
from integrations.deliveries.otlp_headers import MAX_HEADERS
from telemetry import selectors
from telemetry.deliveries.batches import pause_delivery, remove_delivery, resume_delivery
from telemetry.deliveries.rules import TARGETS
from telemetry.models import Delivery
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY, SLUG, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import clock, errors
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
