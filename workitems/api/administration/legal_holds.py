"""`/legal-holds` and `/retention-runs`: cases that must be kept, and dry runs of what is due for removal."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.filters import CreatedWindow, InstantField, SlugFilter
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    BOOLEAN,
    COUNT,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_TEXT,
    OBJECTS,
    SLUG,
    TEXT,
    maybe,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import SLUG as SLUG_SCHEMA
from threada_site.api.shapes import id_schema, shape
from threada_site.api.views import path_id
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError
from workitems.models import LegalHold, RetentionRun
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.retention.run import plan_retention

_REASON: Final = {"type": "string", "minLength": 1, "maxLength": 4000, "description": "Reason, for the record."}
_INSTANT: Final = {"type": "string", "maxLength": 40}
LEGAL_HOLD: Final = Resource(
    "LegalHold",
    field("legal_hold_id", public_id(ids.LEGAL_HOLD), "id"),
    field("in_force", BOOLEAN, lambda hold: hold.lifted_at is None),
    field("reason", TEXT, description="Reason of the hold."),
    field("work_item_id", maybe(public_id(ids.WORK_ITEM)), description="The only work item that is held, or null."),
    field("workflow_id", maybe(SLUG), "workflow"),
    field("channel_id", maybe(SLUG), "channel"),
    field("requester", maybe_public_id(ids.PRINCIPAL), "requester_id"),
    field("created_after", MAYBE_INSTANT),
    field("created_before", MAYBE_INSTANT),
    field("set_by", maybe_public_id(ids.PRINCIPAL)),
    field("set_at", INSTANT),
    field("lifted_by", maybe_public_id(ids.PRINCIPAL)),
    field("lifted_at", MAYBE_INSTANT),
    field("lifted_reason", MAYBE_TEXT),
)
SET_LEGAL_HOLD: Final = shape(
    {
        "reason": _REASON,
        "work_item_id": {**id_schema(ids.WORK_ITEM), "description": "Hold this work item alone."},
        "workflow_id": SLUG_SCHEMA,
        "channel_id": SLUG_SCHEMA,
        "requester": {**id_schema(ids.PRINCIPAL), "description": "Hold the cases of this requester."},
        "created_after": {**_INSTANT, "description": "Start of the time of creation, included (RFC 3339)."},
        "created_before": {**_INSTANT, "description": "End of the time of creation, excluded (RFC 3339)."},
    },
    required=("reason",),
    example={"reason": "Lawsuit 12/26.", "workflow_id": "payments", "created_after": "2026-01-01T00:00:00Z"},
)
LIFT_LEGAL_HOLD: Final = shape({"reason": _REASON}, required=("reason",), example={"reason": "The lawsuit has ended."})
RETENTION_RUN: Final = Resource(
    "RetentionRun",
    field("retention_run_id", public_id(ids.RETENTION_RUN), "id"),
    field("status", TEXT, description="`planned`: a dry run; `running`; `done`; `superseded` by a later dry run."),
    field("planned_at", INSTANT, "as_of", description="Time for which it says what is due."),
    field("rules", OBJECTS, description="Rules with the numbers of contents and cases that are due."),
    field("planned_contents", COUNT, description="Work items whose contents are due."),
    field("planned_cases", COUNT, description="Work items that are due with their receipts."),
    field("contents_removed", COUNT, description="Work items whose contents were removed."),
    field("cases_removed", COUNT, description="Work items that were removed."),
    field("receipts_removed", COUNT, description="Receipts that were removed."),
    field("started_at", MAYBE_INSTANT),
    field("finished_at", MAYBE_INSTANT),
)


class LegalHoldFilters(CreatedWindow):
    """Filters of legal holds. `in_force=true`: those that have not been lifted."""

    workflow_id = SlugFilter(field_name="workflow")
    in_force = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="filter_in_force")

    def filter_in_force(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(lifted_at__isnull=value == "true")


class LegalHoldViewSet(TenantViewSet):
    id_prefix = ids.LEGAL_HOLD
    lookup_url_kwarg = "legal_hold_id"
    resource = LEGAL_HOLD
    tag = "Retention"

    def get_queryset(self) -> QuerySet[LegalHold]:
        require_steward(self.request.auth)
        return LegalHold.objects.filter(tenant_id=self.request.auth.tenant_id)

    @listing(
        "listLegalHolds",
        "List legal holds",
        LEGAL_HOLD,
        scope=Scope.WORKFLOW_MANAGE,
        filters=LegalHoldFilters,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "setLegalHold",
        "Set a legal hold",
        scope=Scope.WORKFLOW_MANAGE,
        body=SET_LEGAL_HOLD,
        answers={201: LEGAL_HOLD},
        headers=("Location",),
        reasons=("permission_denied",),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Keep one work item, or all that match all criteria, also later ones. Only a `tenant_admin` may do this."""
        require_steward(request.auth)
        item, requester = body.get("work_item_id"), body.get("requester")
        hold = set_legal_hold(
            LegalHoldRequest(
                reason=body["reason"],
                work_item_id=path_id(ids.WORK_ITEM, item) if item else None,
                workflow=body.get("workflow_id", ""),
                channel=body.get("channel_id", ""),
                requester_id=_requester(requester) if requester else None,
                created_after=_instant(body, "created_after"),
                created_before=_instant(body, "created_before"),
            ),
            ctx=request.auth,
        )
        return self.created(hold)

    @operation(
        "readLegalHold",
        "Read a legal hold",
        scope=Scope.WORKFLOW_MANAGE,
        answers={200: LEGAL_HOLD},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, legal_hold_id: str) -> Response:
        return self.shown(self.get_object())

    @verb(
        "liftLegalHold",
        "Lift a legal hold",
        scope=Scope.WORKFLOW_MANAGE,
        body=LIFT_LEGAL_HOLD,
        answers={200: LEGAL_HOLD},
        may_need_confirmation=True,
        reasons=("permission_denied", "person_required", "vote_authentication_required", "conflict"),
    )
    def lift(self, request: Any, legal_hold_id: str, body: dict[str, Any]) -> Response:
        """Let retention and erasure reach its cases again, from the next dry run on.

        A person must do this; under `legal_hold_four_eyes` an independent steward confirms it.
        """
        hold = self.get_object()
        return self.shown(lift_legal_hold(hold.id, reason=body["reason"], ctx=request.auth))


class RetentionRunViewSet(TenantViewSet):
    id_prefix = ids.RETENTION_RUN
    lookup_url_kwarg = "retention_run_id"
    resource = RETENTION_RUN
    tag = "Retention"

    def get_queryset(self) -> QuerySet[RetentionRun]:
        require_steward(self.request.auth)
        return RetentionRun.objects.filter(tenant_id=self.request.auth.tenant_id)

    @listing(
        "listRetentionRuns",
        "List retention runs",
        RETENTION_RUN,
        scope=Scope.WORKFLOW_MANAGE,
        filters=CreatedWindow,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "planRetention",
        "Make a dry run of what is due for removal",
        scope=Scope.WORKFLOW_MANAGE,
        answers={201: RETENTION_RUN},
        headers=("Location",),
        reasons=("permission_denied", "conflict"),
    )
    def create(self, request: Any) -> Response:
        """Nothing is removed. The removal itself is a command or the automatic run, which follows the last dry run."""
        require_steward(request.auth)
        return self.created(plan_retention(now=clock.now(), ctx=request.auth))

    @operation(
        "readRetentionRun",
        "Read a retention run",
        scope=Scope.WORKFLOW_MANAGE,
        answers={200: RETENTION_RUN},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, retention_run_id: str) -> Response:
        return self.shown(self.get_object())


def _instant(body: dict[str, Any], name: str) -> datetime | None:
    """Return an instant of the body, or None. Raise `InvalidRequest`."""
    try:
        return InstantField(required=False).clean(body.get(name))
    except ValidationError as error:
        raise _invalid(f"/{name}", "is no RFC 3339 instant with offset") from error


def _requester(public_id: str) -> uuid.UUID:
    parsed = ids.parse_public_id(ids.PRINCIPAL, public_id)
    if parsed is None:
        raise _invalid("/requester", "is no id of a principal")
    return parsed


def _invalid(pointer: str, said: str) -> errors.InvalidRequest:
    return errors.InvalidRequest("The body is invalid.", errors=[FieldError(pointer, said, "invalid")])
