"""`/permits`: read, approve, narrow and revoke permits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.response import Response

from policies.language.approvals.permits import sum_from_json
from telemetry.receipts.format import Subject
from threada_site.api.filters import AnyOf, CreatedWindow, PublicIdFilter, SlugFilter, read_instant
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
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


class PermitViewSet(TenantViewSet):
    id_prefix = ids.PERMIT
    lookup_url_kwarg = "permit_id"
    resource = PERMIT
    tag = "Decisions"

    def get_queryset(self) -> QuerySet[Permit]:
        return permits(self.request.auth)

    @listing("listPermits", "List permits", PERMIT, scope=Scope.WORKITEMS_READ, filters=PermitFilters)
    def list(self, request: Any) -> Response:
        return self.page(self.filter_queryset(self.get_queryset().prefetch_related("approvals")))

    @operation("readPermit", "Read a permit with its uses", scope=Scope.WORKITEMS_READ, answers={200: PERMIT_WITH_USES})
    def retrieve(self, request: Any, permit_id: str) -> Response:
        return self._whole()

    @verb(
        "approvePermit",
        "Approve a permit",
        scope=Scope.DECISIONS_DECIDE,
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
    def approve(self, request: Any, permit_id: str, body: dict[str, Any]) -> Response:
        item, step = locked_step(self.get_object().step_id, ctx=request.auth)
        self.subject = subject_of(item)
        approve_permit(item, step, self._locked(), body["sha256"], ctx=request.auth)
        return self._whole()

    @verb(
        "narrowPermit",
        "Narrow a permit",
        scope=Scope.DECISIONS_DECIDE,
        description="Takes effect at once. Absent members keep their term; bounds are added. Executions that are not "
        "called yet and are no longer covered wait for an approval.",
        body=NARROW_PERMIT,
        answers={200: PERMIT_WITH_USES},
        reasons=("permit_too_wide", "permit_closed", "permission_denied"),
    )
    def narrow(self, request: Any, permit_id: str, body: dict[str, Any]) -> Response:
        permit = self._locked()
        self.subject = _subject(permit)
        narrowing = Narrowing(
            ends_at=_instant(body["ends_at"], "/ends_at") if "ends_at" in body else None,
            max_count=body.get("max_count"),
            max_sum=sum_from_json(body.get("max_sum")),
            principals=body.get("principals"),
            bounds=body.get("bounds", ()),
        )
        narrow_permit(permit, narrowing, ctx=request.auth)
        return self._whole()

    @verb(
        "revokePermit",
        "Revoke a permit",
        scope=Scope.DECISIONS_DECIDE,
        description="Takes effect at once. Executions that are not called yet wait for an approval. Calls that were "
        "sent already are not recalled.",
        answers={200: PERMIT_WITH_USES},
        reasons=("permission_denied",),
    )
    def revoke(self, request: Any, permit_id: str) -> Response:
        permit = self._locked()
        self.subject = _subject(permit)
        revoke_permit(permit, ctx=request.auth)
        return self._whole()

    def _locked(self) -> Permit:
        permit = permit_for_update(self.row_id, ctx=self.request.auth)
        if permit is None:
            raise errors.NotFound
        return permit

    def _whole(self) -> Response:
        """Return the answer about the permit that the path names, with its newest uses. Raise `NotFound`."""
        permit = self.get_queryset().prefetch_related("approvals").filter(id=self.row_id).first()
        if permit is None:
            raise errors.NotFound
        return Response(PERMIT_WITH_USES.represent(permit, uses=uses(permit, ctx=self.request.auth)[:USES_SHOWN]))


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


def _subject(permit: Permit) -> Subject:
    return Subject(work_item_id=permit.work_item_id, workflow=permit.workflow, integration=permit.integration)
