"""`/tenant-deletion`: request the deletion of the tenant, see when it is due, and withdraw it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import BOOLEAN, MAYBE_INSTANT, maybe_public_id
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import EMPTY, SLUG, shape
from threada_site.api.views import TenantView
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.deletions.models import TenantDeletion
from workitems.retention.tenant_deletion import pending_deletion, request_deletion, withdraw_deletion

TENANT_DELETION: Final = Resource(
    "TenantDeletion",
    field(
        "is_confirmed",
        BOOLEAN,
        lambda row: row.due_at is not None and row.withdrawn_at is None,
        description="True if the deletion is confirmed and nobody has withdrawn it.",
    ),
    field("requested_by", maybe_public_id(ids.PRINCIPAL), description="Steward who requested it."),
    field("confirmed_by", maybe_public_id(ids.PRINCIPAL), description="Independent steward who confirmed it."),
    field("confirmed_at", MAYBE_INSTANT, description="Time of the confirmation."),
    field("due_at", MAYBE_INSTANT, description="Time from which the operator can carry it out."),
    example={
        "is_confirmed": True,
        "requested_by": "pr_01kc6h5w7ee3etz1aa8dtb4h5v",
        "confirmed_by": "pr_01kc6h5w7ee3etz1aa8dtb4h5w",
        "confirmed_at": "2026-01-31T12:00:00Z",
        "due_at": "2026-02-07T12:00:00Z",
    },
)
REQUEST_DELETION: Final = shape(
    {"tenant_id": {**SLUG, "description": "The id of this tenant, so that no other one is meant."}},
    required=("tenant_id",),
    example={"tenant_id": "acme"},
)


def _none() -> TenantDeletion:
    """Return what is shown if no deletion waits."""
    row = TenantDeletion()
    row.confirmed_at = None  # type: ignore[assignment]
    return row


class TenantDeletionView(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "readTenantDeletion",
        "Read the deletion of the tenant",
        tag="Retention",
        answers={200: TENANT_DELETION},
        reasons=("permission_denied",),
    )
    def get(self, request: Any) -> Response:
        require_steward(request.auth)
        return Response(TENANT_DELETION.represent(pending_deletion(ctx=request.auth) or _none()))

    @operation(
        "requestTenantDeletion",
        "Request the deletion of the tenant",
        tag="Retention",
        body=REQUEST_DELETION,
        answers={200: TENANT_DELETION},
        may_need_confirmation=True,
        reasons=("permission_denied", "person_required", "vote_authentication_required", "conflict"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Ask for the deletion of the tenant with all its cases, files and receipts.

        A person must do this, and an independent steward must publish the change set. From `due_at` on, the operator
        carries it out. Refused under a legal hold.
        """
        body = REQUEST_DELETION.check(request.data)
        return Response(TENANT_DELETION.represent(request_deletion(body["tenant_id"], ctx=request.auth)))


class WithdrawTenantDeletion(TenantView):
    scopes: ClassVar = {"POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "withdrawTenantDeletion",
        "Withdraw the deletion of the tenant",
        tag="Retention",
        body=EMPTY,
        answers={200: TENANT_DELETION},
        reasons=("permission_denied", "person_required", "vote_authentication_required", "not_found"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Withdraw a confirmed deletion. One steward is enough."""
        EMPTY.check(request.data)
        return Response(TENANT_DELETION.represent(withdraw_deletion(ctx=request.auth)))
