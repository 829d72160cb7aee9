"""Reading integrations and executions, always inside one tenant."""

from __future__ import annotations

import uuid

from django.db.models import F, QuerySet

from integrations.models import OPEN_EXECUTION_STATUSES, Action, Attempt, Execution, Integration
from threada_site.kernel.context import ActingContext


def integrations(ctx: ActingContext) -> QuerySet[Integration]:
    """The tenant's integrations with their current versions."""
    return Integration.objects.filter(tenant_id=ctx.tenant_id).select_related("current_version")


def integration_by_slug(slug: str, *, ctx: ActingContext) -> Integration | None:
    return integrations(ctx).filter(slug=slug).first()


def action_of(integration: Integration, slug: str) -> Action | None:
    """The action `slug` of the integration's current version."""
    return Action.objects.filter(
        tenant_id=integration.tenant_id, integration_version_id=integration.current_version_id, slug=slug
    ).first()


def execution_for_update(execution_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    """The locked row. Lock its work item first: every service takes the two in this order."""
    return (
        Execution.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant_id, id=execution_id)
        .select_related("envelope", "integration_version")
    ).first()


def open_execution_of(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    """The execution that occupies the item, if any."""
    return (
        Execution.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant_id, work_item_id=work_item_id, status__in=OPEN_EXECUTION_STATUSES)
        .first()
    )


def last_execution_of(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Execution | None:
    return Execution.objects.filter(tenant_id=tenant_id, work_item_id=work_item_id).order_by("-id").first()


def may_have_acted(execution: Execution) -> bool:
    """Whether the receiver may have acted on a try whose end is in doubt; what a person retried is in doubt no more."""
    return Attempt.objects.filter(
        tenant_id=execution.tenant_id, execution=execution, ambiguous=True, number__gt=execution.attempts_before
    ).exists()


def pins_current_version(execution_id: uuid.UUID | None, *, tenant_id: uuid.UUID) -> bool:
    """Whether the integration still means what it meant when the execution was sealed. Without one, there is none to
    have changed."""
    return execution_id is None or (
        Execution.objects.filter(tenant_id=tenant_id, id=execution_id)
        .filter(integration_version=F("integration_version__integration__current_version"))
        .exists()
    )
