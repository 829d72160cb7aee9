"""`/freezes`: set, read and lift freezes."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework.response import Response

from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from telemetry.receipts.format import Subject
from threada_site.api.filters import CreatedWindow, SlugFilter
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
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


class FreezeViewSet(TenantViewSet):
    id_prefix = ids.FREEZE
    lookup_url_kwarg = "freeze_id"
    tag = "Executions"

    def get_queryset(self) -> QuerySet[Freeze]:
        return selectors.freezes(self.request.auth)

    def represent(self, row: Freeze) -> dict[str, Any]:
        running = [] if row.lifted_at is not None else in_flight(row)
        return FREEZE_WITH_EXECUTIONS.represent(row, in_flight=running, held=executions_blocked_by(row))

    @listing("listFreezes", "List freezes", FREEZE, scope=Scope.ACTIONS_FREEZE, filters=FreezeFilters)
    def list(self, request: Any) -> Response:
        return self.page(represent=FREEZE.represent)

    @creation(
        "setFreeze",
        "Set a freeze",
        scope=None,
        body=SET_FREEZE,
        answers={201: FREEZE_WITH_EXECUTIONS},
        headers=("Location",),
        reasons=("unknown_workflow", "unknown_integration", "unknown_action", "permission_denied", "scope_missing"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Block all calls in a scope.

        Needs `actions:freeze`. The owner of an agent or service freezes it with `workitems:write`.

        With `principal`, all requests of this agent or service are also refused, with `principal_frozen`.

        Freezes are checked right before each call. Calls that were sent already are listed in `in_flight`; they
        cannot be recalled. Blocked executions stay `started` with `blocked_by_freeze_id`. Votes are still
        accepted; deadlines are extended.
        """
        try:
            scope = FreezeScope(**body["scope"])
        except ValueError as error:
            raise errors.InvalidRequest(errors=[FieldError("/scope", str(error), "invalid")]) from None
        self.subject = Subject(workflow=scope.workflow, integration=scope.integration)
        _require_scope(scope, ctx=request.auth)
        return self.created(set_freeze(scope, reason=body["reason"], ctx=request.auth).freeze)

    @operation(
        "readFreeze",
        "Read a freeze with its blocked executions",
        scope=Scope.ACTIONS_FREEZE,
        answers={200: FREEZE_WITH_EXECUTIONS},
    )
    def retrieve(self, request: Any, freeze_id: str) -> Response:
        return self.shown(self.get_object())

    @verb(
        "liftFreeze",
        "Lift a freeze",
        scope=Scope.INTEGRATIONS_MANAGE,
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
    def lift(self, request: Any, freeze_id: str, body: dict[str, Any]) -> Response:
        """Release the blocked executions.

        Deadlines are extended by the length of the freeze. A freeze that a person set must be lifted by a person; if
        the tenant requires four eyes, by one who is independent of the person who set it.
        """
        freeze = self.get_object()
        self.subject = Subject(workflow=freeze.workflow, integration=freeze.integration)
        return self.shown(lift_freeze(freeze.id, reason=body.get("reason", ""), ctx=request.auth))


def _require_scope(scope: FreezeScope, *, ctx: ActingContext) -> None:
    """Raise `ScopeMissing` for a token that may not freeze `scope`. One that only reads stops nothing."""
    needed = {Scope.ACTIONS_FREEZE, *([Scope.WORKITEMS_WRITE] if scope.principal else [])}
    if not any(map(ctx.has_scope_anywhere, needed)):
        names = " or ".join(sorted(scope.value for scope in needed))
        raise errors.ScopeMissing(f"This needs the scope {names}, which the credential or its roles do not have.")
