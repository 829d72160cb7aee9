"""Acceptance of tools by people. Only accepted tools are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.configuration.configure import RE_EVALUATE_FOR_INTEGRATIONS
from integrations.models import Integration, Tool, ToolList
from integrations.tools.usable import tools_of
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.credentials.deciding import require_person


def accept_tools(integration: Integration, chosen: Mapping[str, str], *, ctx: ActingContext) -> list[Tool]:
    """Accept the tools named in `chosen` with the digests that the person has seen; all or nothing.

    Receipt `integration.tools_accepted`. Executions that wait for an approval get a new envelope.
    Raise `PersonRequired`, `PermissionDenied`, `Conflict` if one of the digests is not that of the tool found last, and
    `ConfirmationRequired` where a second person must accept too.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.INTEGRATIONS_MANAGE, integration=integration.id):
        raise errors.PermissionDenied("You do not hold integrations:manage here.")
    require_person("A person has to accept tools, because descriptions are instructions to agents.", ctx=ctx)
    ToolList.objects.select_for_update().filter(tenant_id=ctx.tenant_id, integration=integration).first()
    tools = {tool.name: tool for tool in tools_of(integration)}
    outdated = [name for name, sha256 in chosen.items() if name not in tools or tools[name].found_sha256 != sha256]
    if outdated or not all(chosen.values()):
        raise errors.Conflict(
            "Some tools are not what was shown. Read the list again.",
            errors=[
                FieldError("", f"{name[:128]} has another description, or is not offered", "stale") for name in outdated
            ],
        )
    rows = [tools[name] for name in sorted(chosen) if tools[name].accepted_sha256 != chosen[name]]
    if not rows:
        return []
    require_policy_confirmation(
        "integration.accept_tools",
        f"Accept {len(rows)} tools of the integration {integration.slug}",
        arguments={"integration": integration.slug, "tools": dict(chosen)},
        before={tool.name: tool.accepted for tool in rows},
        after={tool.name: tool.found for tool in rows},
        ctx=ctx,
    )
    for tool in rows:
        tool.accepted, tool.accepted_sha256 = tool.found, tool.found_sha256
        tool.accepted_by, tool.accepted_at = ctx.principal_id, clock.now()
        tool.save(update_fields=["accepted", "accepted_sha256", "accepted_by", "accepted_at"])
    record(
        Entry(
            kind="integration.tools_accepted",
            subject=Subject(integration=integration.slug),
            outcome={"accepted": [{"tool": tool.name, "sha256": tool.accepted_sha256} for tool in rows]},
        ),
        ctx=ctx,
    )
    versions = [str(integration.current_version_id)]
    enqueue(RE_EVALUATE_FOR_INTEGRATIONS, tenant_id=ctx.tenant_id, integration_version_ids=versions)
    return rows


@operation("integration.accept_tools", scope=Scope.INTEGRATIONS_MANAGE)
def _accept(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    rows = Integration.objects.filter(tenant_id=ctx.tenant_id, slug=arguments["integration"])
    integration = rows.select_related("current_version").first()
    if integration is None:
        raise errors.NotFound
    accept_tools(integration, arguments["tools"], ctx=ctx)
