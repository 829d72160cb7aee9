"""`/delegations`: delegates who vote for approvers who are out of office."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.filters import read_instant
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.api.filters import DelegationFilters
from workitems.api.resources.steps import DELEGATION
from workitems.api.shapes import DELEGATE
from workitems.models import Delegation
from workitems.steps.delegations import (
    OutOfOffice,
    confirm_delegation,
    consent_to_delegation,
    delegate,
    end_delegation,
    locked_delegation,
)
from workitems.steps.reassignment import named_principal


class DelegationViewSet(TenantViewSet):
    id_prefix = ids.DELEGATION
    lookup_url_kwarg = "delegation_id"
    tag = "Decisions"

    def get_queryset(self) -> QuerySet[Delegation]:
        return selectors.delegations(self.request.auth)

    def represent(self, row: Delegation) -> dict[str, Any]:
        return DELEGATION.represent(row, now=clock.now())

    @listing("listDelegations", "List delegations", DELEGATION, scope=Scope.WORKITEMS_READ, filters=DelegationFilters)
    def list(self, request: Any) -> Response:
        return self.page()

    @operation("readDelegation", "Read a delegation", scope=Scope.WORKITEMS_READ, answers={200: DELEGATION})
    def retrieve(self, request: Any, delegation_id: str) -> Response:
        return self.shown(self.get_object())

    @creation(
        "createDelegation",
        "Create a delegation",
        scope=Scope.DECISIONS_DECIDE,
        description="A delegate is eligible where the delegator is; exclusions apply to both. They never chain. A "
        "delegation of somebody else is a proposal: it is in force once the delegator consents or an independent "
        "person confirms it.",
        body=DELEGATE,
        answers={201: DELEGATION},
        headers=("Location",),
        reasons=("delegate_not_eligible", "delegation_overlaps", "person_required", "vote_authentication_required"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        out_of_office = OutOfOffice(
            delegator=_person(body.get("delegator", request.auth.actor), "delegator", ctx=request.auth),
            delegate=_person(body["delegate"], "delegate", ctx=request.auth),
            starts_at=_instant(body, "starts_at"),
            ends_at=_instant(body, "ends_at") or clock.now(),
            reason=body.get("reason", ""),
        )
        return self.created(delegate(out_of_office, ctx=request.auth))

    @verb(
        "consentToDelegation",
        "Consent to a delegation",
        scope=Scope.DECISIONS_DECIDE,
        description="The delegator consents to a delegation that somebody else proposed. It is in force from then on.",
        answers={200: DELEGATION},
        reasons=(
            "permission_denied",
            "vote_authentication_required",
            "delegation_ended",
            "delegation_overlaps",
            "delegate_not_eligible",
        ),
    )
    def consent(self, request: Any, delegation_id: str) -> Response:
        delegation = locked_delegation(self.row_id, ctx=request.auth)
        consent_to_delegation(delegation, ctx=request.auth)
        return self.shown(delegation)

    @verb(
        "confirmDelegation",
        "Confirm a delegation in place of the delegator",
        scope=Scope.WORKFLOW_MANAGE,
        description="A second person confirms a proposed delegation if the delegator cannot consent. The person must "
        "be independent of the creator and of the delegate.",
        answers={200: DELEGATION},
        reasons=(
            "person_required",
            "vote_authentication_required",
            "second_person_required",
            "delegation_ended",
            "delegation_overlaps",
            "delegate_not_eligible",
        ),
    )
    def confirm(self, request: Any, delegation_id: str) -> Response:
        delegation = locked_delegation(self.row_id, ctx=request.auth)
        confirm_delegation(delegation, ctx=request.auth)
        return self.shown(delegation)

    @verb(
        "endDelegation",
        "End a delegation early",
        scope=Scope.DECISIONS_DECIDE,
        answers={200: DELEGATION},
        reasons=("delegation_ended",),
    )
    def end(self, request: Any, delegation_id: str) -> Response:
        delegation = locked_delegation(self.row_id, ctx=request.auth)
        end_delegation(delegation, ctx=request.auth)
        return self.shown(delegation)


def _person(name: str, field: str, *, ctx: ActingContext) -> User:
    found = named_principal(name, ctx=ctx)
    if found is None:
        raise errors.InvalidRequest(
            f"The {field} is not a principal of this tenant.",
            errors=[FieldError(f"/{field}", "is unknown", "unknown")],
        )
    return found


def _instant(body: dict[str, Any], field: str) -> datetime | None:
    try:
        return read_instant(body.get(field))
    except ValidationError as problem:
        raise errors.InvalidRequest(
            f"{field} {problem.message}.", errors=[FieldError(f"/{field}", str(problem.message))]
        ) from None
