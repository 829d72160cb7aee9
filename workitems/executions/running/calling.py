"""The call of an execution that holds its lease: outside any transaction, while the lease is renewed."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.connectors import CallTerms, OutboundConnector, connector_named
from integrations.documents import ActionDocument
from integrations.executions.lease import Lease
from integrations.executions.receiver_key import receiver_key
from integrations.models import Execution
from integrations.secrets.access import SecretAccess
from integrations.secrets.access_tokens import AccessTokens
from integrations.secrets.references import Secret, SecretReference
from integrations.transport import EgressPolicy
from threada_site.kernel import tracing
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant
from workitems.attachments.access import FileAccess
from workitems.executions.callbacks import callback_id
from workitems.executions.lease_renewal import renewed_lease
from workitems.executions.running.lanes import Receiver
from workitems.models import WorkItem


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """Everything the call needs: the lease, the request of the envelope, and the settings of the action.

    `checked_at` is the monotonic time of the last checks before the call.
    """

    execution_id: uuid.UUID
    lease: Lease
    connector: str
    request: dict[str, Any]
    action: ActionDocument
    secrets: SecretAccess
    files: FileAccess
    target: str
    correlation_id: str
    traceparent: str
    kept_for: str
    receiver: Receiver
    checked_at: float = field(default_factory=time.monotonic)


def plan_of(
    tenant: Tenant,
    item: WorkItem,
    execution: Execution,
    envelope_fields: dict[str, Any],
    action: ActionDocument,
    *,
    lease: Lease,
    ctx: ActingContext,
) -> ExecutionPlan:
    """Return the plan of the call of an execution that was just leased."""
    return ExecutionPlan(
        execution.id,
        lease,
        envelope_fields["integration"]["connector"],
        envelope_fields["request"],
        action,
        secrets=secret_access(execution.integration_version, tenant=tenant.slug),
        files=FileAccess(tenant.id, item.id),
        target=f"{execution.integration}.{execution.action}",
        correlation_id=ctx.correlation_id,
        traceparent=execution.traceparent,
        kept_for=f"{tenant.id}:{execution.integration_version_id}",
        receiver=receiver_of(execution),
    )


def receiver_of(execution: Execution) -> Receiver:
    """Return the receiver of the calls of an execution, for their places."""
    limits = document_of(execution.integration_version).limits
    return Receiver(execution.tenant_id, execution.integration, has_limit=limits.concurrency is not None)


def call_receiver(tenant: Tenant, plan: ExecutionPlan) -> Outcome | None:
    """Make the call and return its outcome; None if the action concerns the item itself, which calls nobody."""
    connector = connector_named(plan.connector)
    if not isinstance(connector, OutboundConnector):
        return None
    _return_connection()  # a call may take minutes
    with renewed_lease(tenant, plan.lease), tracing.span(f"call {plan.target}", "client") as span:
        outcome = connector.call(plan.request, _terms(tenant, plan))
        if outcome.failure is not None:
            span.fail(outcome.failure.value)
    return outcome


def _terms(tenant: Tenant, plan: ExecutionPlan) -> CallTerms:
    def secret(reference: SecretReference, sent_to: str) -> Secret:
        try:
            return plan.secrets(reference, sent_to)
        finally:
            _return_connection()

    return CallTerms(
        idempotency_key=receiver_key(plan.execution_id),
        timeout_s=plan.action.timeout_s,
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        user_agent=f"Threada/{settings.THREADA_VERSION}",
        traceparent=tracing.traceparent(),
        callback_url=_callback_url(tenant, plan),
        secrets=secret,
        tokens=AccessTokens(plan.secrets, _return_connection),
        files=plan.files,
        kept_for=plan.kept_for,
    )


def _callback_url(tenant: Tenant, plan: ExecutionPlan) -> str | None:
    if plan.action.waits_for_callback_s is None:
        return None
    return f"{settings.THREADA_PUBLIC_URL.rstrip('/')}/callbacks/{callback_id(tenant.id, plan.execution_id)}"


def _return_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()
