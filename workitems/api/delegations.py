"""`/delegations`: delegates who vote for approvers who are out of office."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from rest_framework.response import Response

from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.api.filters import DelegationFilters
from workitems.api.resources.steps import DELEGATION
from workitems.api.shapes import DELEGATE
from workitems.steps.delegations import (
    OutOfOffice,
    confirm_delegation,
    consent_to_delegation,
    delegate,
    end_delegation,
    locked_delegation,
)
from workitems.steps.reassignment import named_principal


class Delegations(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.DECISIONS_DECIDE}

    @operation(
        "listDelegations",
        "List delegations",
        tag="Decisions",
        answers={200: page_of(DELEGATION)},
        filters=DelegationFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(DelegationFilters, selectors.delegations(request.auth), request)
        now = clock.now()
        return Response(paginate(rows, request, represent=lambda row: DELEGATION.represent(row, now=now)))

    @operation(
        "createDelegation",
        "Create a delegation",
        tag="Decisions",
        description="A delegate is eligible where the delegator is; exclusions apply to both. They never chain. A "
        "delegation of somebody else is a proposal: it is in force once the delegator consents or an independent "
        "person confirms it.",
        body=DELEGATE,
        answers={201: DELEGATION},
        headers=("Location",),
        reasons=("delegate_not_eligible", "delegation_overlaps", "person_required", "vote_authentication_required"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = DELEGATE.check(request.data)
        out_of_office = OutOfOffice(
            delegator=_person(body.get("delegator", request.auth.actor), "delegator", ctx=request.auth),
            delegate=_person(body["delegate"], "delegate", ctx=request.auth),
            starts_at=_instant(body, "starts_at"),
            ends_at=_instant(body, "ends_at") or clock.now(),
            reason=body.get("reason", ""),
        )
        created = delegate(out_of_office, ctx=request.auth)
        location = {"Location": f"/delegations/{created.public_id}"}
        return Response(DELEGATION.represent(created, now=clock.now()), status=201, headers=location)


class DelegationDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readDelegation", "Read a delegation", tag="Decisions", answers={200: DELEGATION})
    def get(self, request: Any, delegation_id: str) -> Response:
        row = selectors.delegations(request.auth).filter(id=path_id(ids.DELEGATION, delegation_id)).first()
        if row is None:
            raise errors.NotFound
        return Response(DELEGATION.represent(row, now=clock.now()))


class ConsentToDelegation(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "consentToDelegation",
        "Consent to a delegation",
        tag="Decisions",
        description="The delegator consents to a delegation that somebody else proposed. It is in force from then on.",
        body=EMPTY,
        answers={200: DELEGATION},
        reasons=(
            "permission_denied",
            "vote_authentication_required",
            "delegation_ended",
            "delegation_overlaps",
            "delegate_not_eligible",
        ),
    )
    @idempotent
    def post(self, request: Any, delegation_id: str) -> Response:
        EMPTY.check(request.data)
        row = locked_delegation(path_id(ids.DELEGATION, delegation_id), ctx=request.auth)
        consent_to_delegation(row, ctx=request.auth)
        return Response(DELEGATION.represent(row, now=clock.now()))


class ConfirmDelegation(TenantView):
    scopes: ClassVar = {"POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "confirmDelegation",
        "Confirm a delegation in place of the delegator",
        tag="Decisions",
        description="A second person confirms a proposed delegation if the delegator cannot consent. The person must "
        "be independent of the creator and of the delegate.",
        body=EMPTY,
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
    @idempotent
    def post(self, request: Any, delegation_id: str) -> Response:
        EMPTY.check(request.data)
        row = locked_delegation(path_id(ids.DELEGATION, delegation_id), ctx=request.auth)
        confirm_delegation(row, ctx=request.auth)
        return Response(DELEGATION.represent(row, now=clock.now()))


class EndDelegation(TenantView):
    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    @operation(
        "endDelegation",
        "End a delegation early",
        tag="Decisions",
        body=EMPTY,
        answers={200: DELEGATION},
        reasons=("delegation_ended",),
    )
    @idempotent
    def post(self, request: Any, delegation_id: str) -> Response:
        EMPTY.check(request.data)
        row = locked_delegation(path_id(ids.DELEGATION, delegation_id), ctx=request.auth)
        end_delegation(row, ctx=request.auth)
        return Response(DELEGATION.represent(row, now=clock.now()))


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
