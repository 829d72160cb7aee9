"""`/freezes`: set, read and lift freezes."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from rest_framework.response import Response

from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from telemetry.receipts.format import Subject
from threada_site.api.filters import CreatedWindow, SlugFilter, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from workitems import selectors
from workitems.api.resources.executions import FREEZE, FREEZE_WITH_EXECUTIONS
from workitems.api.shapes import LIFT_FREEZE, SET_FREEZE
from workitems.executions.freezes import executions_blocked_by, in_flight, lift_freeze, set_freeze


class FreezeFilters(CreatedWindow):
    """Filters of freezes. `in_force=true`: those that have not been lifted."""

    workflow_id = SlugFilter(field_name="workflow")
    integration_id = SlugFilter(field_name="integration")
    in_force = django_filters.ChoiceFilter(choices=[("true", "true"), ("false", "false")], method="filter_in_force")

    def filter_in_force(self, queryset: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(lifted_at__isnull=value == "true")


class Freezes(TenantView):
    scopes: ClassVar = {"GET": Scope.ACTIONS_FREEZE, "POST": None}

    @operation(
        "listFreezes",
        "List freezes",
        tag="Executions",
        answers={200: page_of(FREEZE)},
        filters=FreezeFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(FreezeFilters, selectors.freezes(request.auth), request)
        return Response(paginate(rows, request, represent=FREEZE.represent))

    @operation(
        "setFreeze",
        "Set a freeze",
        tag="Executions",
        body=SET_FREEZE,
        answers={201: FREEZE_WITH_EXECUTIONS},
        headers=("Location",),
        reasons=("unknown_workflow", "unknown_integration", "unknown_action", "permission_denied", "scope_missing"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Block all calls in a scope.

        Needs `actions:freeze`. The owner of an agent or service freezes it with `workitems:write`.

        With `principal`, all requests of this agent or service are also refused, with `principal_frozen`.

        Freezes are checked right before each call. Calls that were sent already are listed in `in_flight`; they
        cannot be recalled. Blocked executions stay `started` with `blocked_by_freeze_id`. Votes are still
        accepted; deadlines are extended.
        """
        body = SET_FREEZE.check(request.data)
        try:
            scope = FreezeScope(**body["scope"])
        except ValueError as error:
            raise errors.InvalidRequest(errors=[FieldError("/scope", str(error), "invalid")]) from None
        self.subject = Subject(workflow=scope.workflow, integration=scope.integration)
        _require_scope(scope, ctx=request.auth)
        stopped = set_freeze(scope, reason=body["reason"], ctx=request.auth)
        location = {"Location": f"/freezes/{stopped.freeze.public_id}"}
        return Response(_whole(stopped.freeze), status=201, headers=location)


class FreezeDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.ACTIONS_FREEZE}

    @operation(
        "readFreeze",
        "Read a freeze with its blocked executions",
        tag="Executions",
        answers={200: FREEZE_WITH_EXECUTIONS},
    )
    def get(self, request: Any, freeze_id: str) -> Response:
        return Response(_whole(_found(freeze_id, ctx=request.auth)))


class LiftFreeze(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "liftFreeze",
        "Lift a freeze",
        tag="Executions",
        body=LIFT_FREEZE,
        answers={200: FREEZE_WITH_EXECUTIONS},
        reasons=(
            "freeze_lifted",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
            "permission_denied",
        ),
    )
    @idempotent
    def post(self, request: Any, freeze_id: str) -> Response:
        """Release the blocked executions.

        Deadlines are extended by the length of the freeze. A freeze that a person set must be lifted by a person; if
        the tenant requires four eyes, by one who is independent of the person who set it.
        """
        body = LIFT_FREEZE.check(request.data)
        freeze = _found(freeze_id, ctx=request.auth)
        self.subject = Subject(workflow=freeze.workflow, integration=freeze.integration)
        return Response(_whole(lift_freeze(freeze.id, reason=body.get("reason", ""), ctx=request.auth)))


def _require_scope(scope: FreezeScope, *, ctx: ActingContext) -> None:
    """Raise `ScopeMissing` for a token that may not freeze `scope`. One that only reads stops nothing."""
    needed = {Scope.ACTIONS_FREEZE, *([Scope.WORKITEMS_WRITE] if scope.principal else [])}
    if not any(map(ctx.has_scope_anywhere, needed)):
        names = " or ".join(sorted(scope.value for scope in needed))
        raise errors.ScopeMissing(f"This needs the scope {names}, which the credential or its roles do not have.")


def _found(freeze_id: str, *, ctx: ActingContext) -> Freeze:
    freeze = selectors.freezes(ctx).filter(id=path_id(ids.FREEZE, freeze_id)).first()
    if freeze is None:
        raise errors.NotFound
    return freeze


def _whole(freeze: Freeze) -> dict[str, Any]:
    is_over = freeze.lifted_at is not None
    running = [] if is_over else in_flight(freeze)
    return FREEZE_WITH_EXECUTIONS.represent(freeze, in_flight=running, held=executions_blocked_by(freeze))
