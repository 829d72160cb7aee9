"""`/permits`: read, approve, narrow and revoke permits."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import django_filters
from django.core.exceptions import ValidationError
from rest_framework.response import Response

from policies.language.approvals.permits import sum_from_json
from telemetry.receipts.format import Subject
from threada_site.api.filters import AnyOf, CreatedWindow, PublicIdFilter, SlugFilter, apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from workitems.api.permits.resources import PERMIT, PERMIT_WITH_USES
from workitems.api.permits.shapes import APPROVE_PERMIT, NARROW_PERMIT
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.models import Permit
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.permits.propose import Proposal, approve_permit
from workitems.permits.selectors import permit_for_update, permits, uses

USES_SHOWN: Final = 100


class PermitFilters(CreatedWindow):
    """Filters of permits."""

    workflow_id = SlugFilter(field_name="workflow")
    integration_id = SlugFilter(field_name="integration")
    status = AnyOf(
        django_filters.ChoiceFilter(
            field_name="status", choices=[(word, word) for word in ("proposed", "in_effect", "revoked")]
        )
    )
    decision_step_id = PublicIdFilter(field_name="step_id", prefix=ids.DECISION_STEP)


class Permits(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listPermits",
        "List permits",
        tag="Decisions",
        answers={200: page_of(PERMIT)},
        filters=PermitFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(PermitFilters, permits(request.auth).prefetch_related("approvals"), request)
        return Response(paginate(rows, request, represent=PERMIT.represent))


class PermitDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readPermit", "Read a permit with its uses", tag="Decisions", answers={200: PERMIT_WITH_USES})
    def get(self, request: Any, permit_id: str) -> Response:
        return Response(_shown(path_id(ids.PERMIT, permit_id), ctx=request.auth))


class ApprovePermit(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "approvePermit",
        "Approve a permit",
        tag="Decisions",
        description="For approvers who have voted already. A permit takes effect when every required approver has "
        "approved exactly these bytes.",
        body=APPROVE_PERMIT,
        answers={200: PERMIT_WITH_USES},
        reasons=(
            "permit_changed",
            "permit_closed",
            "already_voted",
            "voter_not_eligible",
            "step_up_required",
            "vote_authentication_required",
        ),
    )
    @idempotent
    def post(self, request: Any, permit_id: str) -> Response:
        body = APPROVE_PERMIT.check(request.data)
        known = permits(request.auth).filter(id=path_id(ids.PERMIT, permit_id)).first()
        if known is None:
            raise errors.NotFound
        item, step = locked_step(known.step_id, ctx=request.auth)
        self.subject = subject_of(item)
        approve_permit(item, step, _locked(permit_id, ctx=request.auth), body["sha256"], ctx=request.auth)
        return Response(_shown(known.id, ctx=request.auth))


class NarrowPermit(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "narrowPermit",
        "Narrow a permit",
        tag="Decisions",
        description="Takes effect at once. Absent members keep their term; bounds are added. Executions that are not "
        "called yet and are no longer covered wait for an approval.",
        body=NARROW_PERMIT,
        answers={200: PERMIT_WITH_USES},
        reasons=("permit_too_wide", "permit_closed", "permission_denied"),
    )
    @idempotent
    def post(self, request: Any, permit_id: str) -> Response:
        body = NARROW_PERMIT.check(request.data)
        permit = _locked(permit_id, ctx=request.auth)
        self.subject = _subject(permit)
        narrowing = Narrowing(
            ends_at=_instant(body["ends_at"], "/ends_at") if "ends_at" in body else None,
            max_count=body.get("max_count"),
            max_sum=sum_from_json(body.get("max_sum")),
            principals=body.get("principals"),
            bounds=body.get("bounds", ()),
        )
        narrow_permit(permit, narrowing, ctx=request.auth)
        return Response(_shown(permit.id, ctx=request.auth))


class RevokePermit(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "revokePermit",
        "Revoke a permit",
        tag="Decisions",
        description="Takes effect at once. Executions that are not called yet wait for an approval. Calls that were "
        "sent already are not recalled.",
        body=EMPTY,
        answers={200: PERMIT_WITH_USES},
        reasons=("permission_denied",),
    )
    @idempotent
    def post(self, request: Any, permit_id: str) -> Response:
        EMPTY.check(request.data)
        permit = _locked(permit_id, ctx=request.auth)
        self.subject = _subject(permit)
        revoke_permit(permit, ctx=request.auth)
        return Response(_shown(permit.id, ctx=request.auth))


def proposal_in(body: Mapping[str, Any]) -> Proposal:
    """Return the proposal in the body of a vote."""
    return Proposal(
        ends_at=_instant(body["ends_at"], "/permit/ends_at"),
        max_count=body["max_count"],
        max_sum=sum_from_json(body.get("max_sum")),
        principals=body["principals"],
        bounds=body.get("bounds", ()),
    )


def _instant(text: str, pointer: str) -> datetime:
    try:
        found = read_instant(text)
    except ValidationError as problem:
        raise errors.InvalidRequest(errors=[FieldError(pointer, str(problem.message))]) from None
    if found is None:
        raise errors.InvalidRequest(errors=[FieldError(pointer, "is empty", "invalid")])
    return found


def _locked(permit_id: str, *, ctx: ActingContext) -> Permit:
    permit = permit_for_update(path_id(ids.PERMIT, permit_id), ctx=ctx)
    if permit is None:
        raise errors.NotFound
    return permit


def _subject(permit: Permit) -> Subject:
    return Subject(work_item_id=permit.work_item_id, workflow=permit.workflow, integration=permit.integration)


def _shown(permit_id: uuid.UUID, *, ctx: ActingContext) -> dict[str, Any]:
    permit = permits(ctx).prefetch_related("approvals").filter(id=permit_id).first()
    if permit is None:
        raise errors.NotFound
    return PERMIT_WITH_USES.represent(permit, uses=uses(permit, ctx=ctx)[:USES_SHOWN])
