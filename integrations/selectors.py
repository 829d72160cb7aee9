"""Queries of integrations and executions, each for one tenant."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from integrations.lifecycle import ExecutionStatus
from integrations.models import (
    OPEN_EXECUTION_STATUSES,
    AccessToken,
    Action,
    Attempt,
    Envelope,
    Execution,
    Integration,
    IntegrationGauge,
    IntegrationTest,
    IntegrationVersion,
    StoredSecret,
)
from threada_site.database.prepared_reads import PreparedRead
from threada_site.database.sets.unlocked_rows import UnlockedRows
from threada_site.kernel.context import ActingContext, Scope, Visibility


def integrations(ctx: ActingContext) -> QuerySet[Integration]:
    """Return the tenant's integrations with their current versions."""
    return Integration.objects.filter(tenant_id=ctx.tenant_id).select_related("current_version")


def readable_integrations(ctx: ActingContext) -> QuerySet[Integration]:
    """Return the integrations that the context may know of.

    With `workitems:read` on the tenant, all; otherwise those with a grant on them, and those with an action that a
    readable workflow names. The configuration is shown of some of them only (`shows_configuration`).
    """
    rows = integrations(ctx)
    if ctx.allows(Scope.WORKITEMS_READ):
        return rows
    named = import_string(settings.THREADA_READABLE_ACTIONS)(ctx)
    versions = Action.objects.filter(tenant_id=ctx.tenant_id, slug__in=named).values("integration_version_id")
    return rows.filter(Q(id__in=list(ctx.grants.integrations)) | Q(current_version_id__in=versions))


def configured_integrations(ctx: ActingContext) -> QuerySet[Integration]:
    """Return the integrations whose configuration and health the context may read.

    With `workitems:read` on all cases of the tenant, all; otherwise those with a grant on them.
    """
    rows = integrations(ctx)
    return rows if _reads_all_configurations(ctx) else rows.filter(id__in=list(ctx.grants.integrations))


def shows_configuration(integration: Integration, *, ctx: ActingContext) -> bool:
    """Return True if the context may read the address, the secret references and the health of an integration."""
    return _reads_all_configurations(ctx) or integration.id in ctx.grants.integrations


def _reads_all_configurations(ctx: ActingContext) -> bool:
    return Scope.WORKITEMS_READ in ctx.scopes and ctx.visibility is Visibility.TENANT


def stored_secrets(ctx: ActingContext) -> QuerySet[StoredSecret]:
    return StoredSecret.objects.filter(tenant_id=ctx.tenant_id)


def integration_tests(integration: Integration) -> QuerySet[IntegrationTest]:
    """Return the tests of an integration, newest first."""
    return IntegrationTest.objects.filter(tenant_id=integration.tenant_id, integration=integration).order_by("-id")


def access_token(version: IntegrationVersion) -> AccessToken | None:
    """Return the row of the access token of an integration version, which may contain none."""
    return AccessToken.objects.filter(tenant_id=version.tenant_id, integration_version_id=version.id).first()


def integration_by_slug(slug: str, *, ctx: ActingContext) -> Integration | None:
    return _integration.first(ctx.tenant_id, slug)


def readable_integration(slug: str, *, ctx: ActingContext) -> Integration | None:
    """Return the integration of this name if the context may know of it, or None."""
    if ctx.allows(Scope.WORKITEMS_READ):
        return integration_by_slug(slug, ctx=ctx)
    return readable_integrations(ctx).filter(slug=slug).first()


def action_of(integration: Integration, slug: str) -> Action | None:
    """Return the action `slug` of the integration's current version."""
    return Action.objects.filter(
        tenant_id=integration.tenant_id, integration_version_id=integration.current_version_id, slug=slug
    ).first()


def current_actions(integration: Integration) -> QuerySet[Action]:
    """Return the actions of the integration's current version, by slug."""
    return Action.objects.filter(
        tenant_id=integration.tenant_id, integration_version_id=integration.current_version_id
    ).order_by("slug")


def execution_for_update(execution_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    """Return the locked execution. Lock its work item first: every service locks in this order."""
    return _locked_execution.first(execution_id, tenant_id)


def unlocked_executions_for_update(execution_ids: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> list[Execution]:
    """Lock executions that nobody else has locked, in the order of their keys, and return them."""
    return _unlocked_executions(tenant_id, list(execution_ids))


_unlocked_executions: Final = UnlockedRows(
    Execution, condition="r.tenant_id = $1::uuid AND r.id = ANY($2::uuid[]) ORDER BY r.id"
)


def due_executions_for_update(
    candidates: Sequence[uuid.UUID], *, tenant_id: uuid.UUID, now: datetime, most: int
) -> list[Execution]:
    """Lock due executions that nobody else has locked, up to `most` in the order of `candidates`. Return them with
    envelope and version, in the order of their keys."""
    found = _due_executions(tenant_id, list(candidates), now, most)
    return sorted(found, key=lambda execution: execution.id)


_due_executions: Final = UnlockedRows(
    Execution,
    "envelope",
    "integration_version",
    condition=(
        "r.tenant_id = $1::uuid AND r.id = ANY($2::uuid[]) AND r.status = 'started' AND r.ready_at <= $3::timestamptz "
        "ORDER BY array_position($2::uuid[], r.id) LIMIT $4::int"
    ),
)


_locked_execution: Final = PreparedRead(
    lambda execution, tenant: (
        Execution.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant, id=execution)
        .select_related("envelope", "integration_version")
    )
)


def integration_of(execution: Execution) -> Integration | None:
    """Return the integration of an execution with its current version and its gauge."""
    return _integration.first(execution.tenant_id, execution.integration)


def gauge_of(execution: Execution) -> IntegrationGauge | None:
    """Return the gauge of an execution's integration, or None."""
    return _gauge.first(execution.tenant_id, execution.integration)


_integration: Final = PreparedRead(
    lambda tenant, slug: Integration.objects.filter(tenant_id=tenant, slug=slug).select_related(
        "current_version", "gauge"
    )
)
_gauge: Final = PreparedRead(
    lambda tenant, slug: IntegrationGauge.objects.filter(tenant_id=tenant, integration__slug=slug)
)


def execution_under_key(idempotency_key: str, *, ctx: ActingContext) -> Execution | None:
    """Return the execution that the acting principal requested with this idempotency key, or None."""
    return _execution_under_key.first(ctx.tenant_id, ctx.principal_id, idempotency_key)


_execution_under_key: Final = PreparedRead(
    lambda tenant, principal, key: Execution.objects.filter(
        tenant_id=tenant, requested_by=principal, idempotency_key=key
    )
)


def open_execution_of(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    """Return the open execution of the item, or None."""
    return (
        Execution.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant_id, work_item_id=work_item_id, status__in=OPEN_EXECUTION_STATUSES)
        .first()
    )


def executions_before(work_item_id: uuid.UUID, integration: str, *, tenant_id: uuid.UUID) -> list[Execution]:
    """Return the open executions of a locked item, and its succeeded ones of `integration`, the newest first."""
    return _executions_before(tenant_id, work_item_id, integration)


_executions_before: Final = PreparedRead(
    lambda tenant, item, integration: (
        Execution.objects.filter(tenant_id=tenant, work_item_id=item)
        .filter(Q(status__in=OPEN_EXECUTION_STATUSES) | Q(status=ExecutionStatus.SUCCEEDED, integration=integration))
        .select_related("integration_version")
        .order_by("-id")
    )
)


def last_execution_of(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    return Execution.objects.filter(tenant_id=tenant_id, work_item_id=work_item_id).order_by("-id").first()


def envelope_of(work_item_id: uuid.UUID, sha256: str, *, tenant_id: uuid.UUID) -> Envelope | None:
    """Return the envelope of this item with the given hash, or None."""
    return Envelope.objects.filter(tenant_id=tenant_id, work_item_id=work_item_id, sha256=sha256).first()


def may_have_acted(execution: Execution) -> bool:
    """Return True if the receiver may have acted on an ambiguous attempt since the last retry by a person."""
    return Attempt.objects.filter(
        tenant_id=execution.tenant_id, execution=execution, ambiguous=True, number__gt=execution.attempts_before
    ).exists()
