"""Configuration of integrations. Every change creates a new version, which executions pin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

from integrations.attempts.failures import TransportFailure
from integrations.configuration import simulation
from integrations.connectors import connector_named
from integrations.connectors.answer_conditions import read_tested
from integrations.documents import IntegrationDocument
from integrations.models import (
    OPEN_EXECUTION_STATUSES,
    Action,
    Execution,
    Integration,
)
from integrations.secrets.access import check_references, check_verifying
from integrations.transport import EgressPolicy
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel.context import ActingContext, EntryPoint, Scope
from threada_site.kernel.errors import (
    Conflict,
    DocumentInvalid,
    FieldError,
    InUse,
    NotFound,
)
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import (
    put_version,
    says_already,
    source_argument,
    store_source,
    with_source,
)

_MOST_NAMED: Final = 10
RE_EVALUATE_FOR_INTEGRATIONS: Final = "workitems.re_evaluate_for_integrations"
"""Name of the task that rebuilds the envelopes of executions that wait for an approval.

Argument: `integration_version_ids`, the pinned versions.
"""


def upsert_integration(
    slug: str, spec: Any, *, ctx: ActingContext, name: str | None = None, pointer: str = "/spec"
) -> UpsertResult[Integration]:
    """Create or change the integration `slug`, for new executions and for those that wait for an approval.

    The latter get a new envelope and must be approved again. `spec` is a JSON value at `pointer` of its document. None
    as `name` keeps the name, an empty one removes it.
    Receipt `integration.version_added`, or `integration.renamed` if only the name changes. Raises `DocumentInvalid`,
    `SecretReferenceNotAllowed` (the instance's operator has not listed the reference), `SecretOriginRefused` (the
    secret is not for this address), `Conflict` (the connector cannot be changed, except from or to `mock`).
    """
    require_unit_of_work(ctx.tenant_id)
    document = checked_integration(spec, ctx=ctx, pointer=pointer)
    integration = _locked(slug, document.connector, ctx=ctx)
    label = integration.name if name is None else name
    before = integration.connector
    if before != document.connector and not _may_replace(before, document.connector):
        raise Conflict(f"The integration {slug} has the connector {before}; it cannot be changed.")
    if says_already(integration, spec):
        change = _rename(integration, label, ctx=ctx)
        store_source("Integration", slug, canonical_sha256(spec), ctx.source, ctx=ctx)
        return UpsertResult(integration, change)
    _confirm(integration, label, spec, ctx=ctx)
    if before != document.connector:
        integration.connector = document.connector
        integration.save(update_fields=["connector"])
    put = put_version(integration, spec, ctx=ctx, name=label)
    store_source("Integration", slug, put.version.spec_sha256, ctx.source, ctx=ctx)
    Action.objects.bulk_create(
        Action(
            tenant_id=ctx.tenant_id, integration_version_id=put.version.id, slug=action, spec=spec["actions"][action]
        )
        for action in document.actions
    )
    record(
        Entry(
            kind="integration.version_added",
            subject=Subject(integration=slug),
            inputs={"spec_sha256": put.version.spec_sha256, "actions": sorted(document.actions)},
            outcome={
                "integration_version_id": put.version.public_id,
                **put.as_outcome(),
                **(
                    {"connector": document.connector, "connector_before": before}
                    if before != document.connector
                    else {}
                ),
                **({"simulated": True} if simulation.is_simulated(document.connector) else {}),
            },
        ),
        ctx=ctx,
    )
    if put.replaced is not None:
        enqueue(RE_EVALUATE_FOR_INTEGRATIONS, tenant_id=ctx.tenant_id, integration_version_ids=[str(put.replaced.id)])
    return UpsertResult(integration, put.change)


def withdraw_integration(slug: str, *, ctx: ActingContext) -> None:
    """Accept no new executions of an integration; its versions stay. Receipt `integration.withdrawn`.

    Raises `InUse` with the open executions.
    """
    require_unit_of_work(ctx.tenant_id)
    row = Integration.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if row is None:
        raise NotFound
    rows = Execution.objects.filter(
        Q(status__in=OPEN_EXECUTION_STATUSES) | Q(undo_due_at__isnull=False), tenant_id=ctx.tenant_id, integration=slug
    )
    found = list(rows.order_by("id")[:_MOST_NAMED])
    if found:
        raise InUse(
            f"There are executions on the integration {slug} that are open, or that end by themselves. Cancel or "
            "undo them, or let them end.",
            errors=[FieldError("", f"{execution.public_id} is {execution.status}", "in_use") for execution in found],
        )
    if row.current_version is not None:
        require_policy_confirmation(
            "integration.withdraw",
            f"Withdraw the integration {slug}",
            arguments={"integration": slug},
            before=_state(row, row.name, row.current_version.spec),
            after=None,
            ctx=ctx,
        )
    row.current_version = None
    row.save(update_fields=["current_version"])
    record(Entry(kind="integration.withdrawn", subject=Subject(integration=slug)), ctx=ctx)


def _confirm(integration: Integration, name: str, spec: Any, *, ctx: ActingContext) -> None:
    slug, current = integration.slug, integration.current_version
    require_policy_confirmation(
        "integration.put",
        f"Change the integration {slug}" if current else f"Create the integration {slug}",
        arguments={"integration": slug, "name": name, "spec": spec, **source_argument(ctx)},
        before=_state(integration, integration.name, current.spec) if current else None,
        after=_state(integration, name, spec),
        ctx=ctx,
    )


def _state(integration: Integration, name: str, spec: Any) -> dict[str, Any]:
    return {"integration": integration.slug, "name": name, "spec": spec}


@operation("integration.put", scope=Scope.INTEGRATIONS_MANAGE)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    named = arguments["name"]
    upsert_integration(arguments["integration"], arguments["spec"], name=named, ctx=with_source(arguments, ctx))


@operation("integration.withdraw", scope=Scope.INTEGRATIONS_MANAGE)
def _withdraw(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    withdraw_integration(arguments["integration"], ctx=ctx)


def checked_integration(spec: Any, *, ctx: ActingContext, pointer: str = "/spec") -> IntegrationDocument:
    """Return the parsed document if this instance and this caller may use it."""
    document = read_tested(spec, pointer=pointer)
    connector_named(document.connector)
    simulation.check_document(document.connector, pointer=pointer)
    if ctx.is_system and ctx.entry_point is EntryPoint.COMMAND:
        # The instance's operator may reference any secret, and may use settings that only the workers have. The address
        # is checked again at every call.
        return document
    if document.connection_url is not None:
        _check_reachable(document.connection_url, f"{pointer}/{'server' if document.base_url is None else 'base_url'}")
    is_called_back = not simulation.is_simulated(document.connector)
    if (
        is_called_back
        and not settings.THREADA_PUBLIC_URL
        and any(action.waits_for_callback_s is not None for action in document.actions.values())
    ):
        detail = "completes by callback, which requires THREADA_PUBLIC_URL, the address of this instance"
        raise DocumentInvalid(errors=[FieldError(f"{pointer}/actions", detail, "unreachable")])
    if document.auth is not None and document.auth.token_url:
        _check_reachable(document.auth.token_url, f"{pointer}/auth/token_url")
    for reference in document.sent_references:
        check_references([reference], sent_to=document.address_of(reference), pointer=pointer, ctx=ctx)
    if document.auth is not None and document.auth.token_url:  # a token is sent where its client's secret may be sent
        check_references([document.auth.secret], sent_to=document.sent_to, pointer=pointer, ctx=ctx)
    check_verifying(document.callback_secrets, pointer=f"{pointer}/callback_secrets", ctx=ctx)
    return document


def _may_replace(before: str, after: str) -> bool:
    """Return True if one of the connectors simulates the calls of the other."""
    return (simulation.is_simulated(before) or simulation.is_simulated(after)) and "workflow" not in (before, after)


def _rename(integration: Integration, name: str, *, ctx: ActingContext) -> Change:
    if name == integration.name:
        return Change.UNCHANGED
    if integration.current_version is not None:
        _confirm(integration, name, integration.current_version.spec, ctx=ctx)
    integration.name = name
    integration.save(update_fields=["name"])
    record(Entry(kind="integration.renamed", subject=Subject(integration=integration.slug)), ctx=ctx)
    return Change.CHANGED


def _check_reachable(url: str, pointer: str) -> None:
    try:
        EgressPolicy(settings.THREADA_EGRESS_ALLOW).check_url(url)
    except TransportFailure as failure:
        raise DocumentInvalid(errors=[FieldError(pointer, failure.detail, "blocked_address")]) from None


def _locked(slug: str, connector: str, *, ctx: ActingContext) -> Integration:
    """Return the locked integration, created if it does not exist."""
    made = Integration(tenant_id=ctx.tenant_id, slug=slug, connector=connector)
    Integration.objects.bulk_create([made], ignore_conflicts=True)
    return Integration.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, slug=slug)
