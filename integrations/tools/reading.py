"""Readings of the tools of MCP servers by a job, and the sweep that finds due ones."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber

from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.documents.mcp_actions import MCP
from integrations.freezes.block import freeze_on, freezes_in_force
from integrations.freezes.scope import Place
from integrations.models import Integration, Tool, ToolList
from integrations.tools.descriptions import digest_of
from integrations.tools.fetch import Tools, UnreadableTools, fetch_tools
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import TOOLS_QUEUE, enqueue, live_jobs
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

READ_TOOLS: Final = "integrations.read_tools"
"""Name of the task that reads the tools of an integration. Argument: `integration_id`."""
INTERVAL: Final = timedelta(minutes=5)
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Longest time between two readings of a server that cannot be read."""
SHORTEST_PAUSE: Final = timedelta(seconds=30)
"""Shortest time between two readings. One that is asked for earlier is carried out by the next sweep after that."""
BATCH: Final = 200
MOST_OF_TENANT: Final = 10
"""Readings of one tenant that one sweep enqueues, so that others do not wait for servers that hang."""

log = structlog.get_logger("threada.integrations")


def read_tools(tenant: Tenant, integration_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Read the tools of an integration, unless that was done in the last 30 seconds. Safe to run twice.

    Receipt `integration.tools_found` if they differ from the last reading. A failure leaves them as they are. A frozen
    integration is not read.
    """
    now = clock.now()
    with unit_of_work(tenant.id):
        begun = _begin(tenant, integration_id, now=now)
    if begun is None:
        return
    integration, tried = begun
    version = integration.current_version
    assert version is not None  # noqa: S101 - checked by _begin
    document = document_of(version)
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: the answers may take seconds
    found: Tools | None = None
    version_spoken = ""
    try:
        found, problem, version_spoken = fetch_tools(document, secret_access(version, tenant=tenant.slug))
    except UnreadableTools as error:
        problem = str(error)
        log.warning("tools_not_read", integration=integration.slug, problem=problem)
    with unit_of_work(tenant.id):
        row = ToolList.objects.select_for_update().get(tenant_id=tenant.id, id=tried.id)
        if row.tried_at != tried.tried_at:
            return  # a later reading has begun
        row.problem = problem[:500]
        row.failures = 0 if found is not None else min(row.failures + 1, 100)
        due_at = now + (INTERVAL if found is not None else _pause(row.failures))
        is_wanted_again = row.due_at < tried.due_at  # asked for while this reading went on
        row.due_at = min(row.due_at, due_at) if is_wanted_again else due_at
        if found is not None:
            _store(integration, row, found, base_url=document.base_url or "", ctx=ctx)
            row.read_at, row.base_url, row.protocol_version = clock.now(), document.base_url or "", version_spoken
        row.save(update_fields=["problem", "failures", "due_at", "read_at", "base_url", "protocol_version"])


def enqueue_due_readings(*, now: datetime) -> int:
    """Enqueue readings that are due, and those of new versions, some of each tenant. Return the number of jobs.

    Readings that failed before come last, because their servers may not answer.
    """
    with platform_role():
        lists = ToolList.objects.filter(tenant_id=OuterRef("tenant_id"), integration_id=OuterRef("id"))
        waits = lists.filter(due_at__gt=now, integration_version_id=OuterRef("current_version_id"))
        rows = Integration.objects.filter(~Q(Exists(waits)), connector=MCP, current_version__isnull=False)
        rows = rows.alias(failures=Coalesce(Subquery(lists.values("failures")), 0))
        place = Window(RowNumber(), partition_by=F("tenant_id"), order_by=["failures", "id"])
        rows = rows.alias(place=place).filter(place__lte=MOST_OF_TENANT).order_by("failures", "id")
        due = list(rows.values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(READ_TOOLS, "integration_id", [str(integration_id) for _, integration_id in due])
        missing = [(tenant_id, found) for tenant_id, found in due if str(found) not in live]
        for tenant_id, integration_id in missing:
            enqueue_reading(tenant_id, integration_id)
    return len(missing)


def enqueue_reading(tenant_id: uuid.UUID, integration_id: uuid.UUID) -> None:
    """Enqueue a reading of the tools of an integration, unless one waits."""
    enqueue(
        READ_TOOLS,
        tenant_id=tenant_id,
        queue=TOOLS_QUEUE,
        once=f"read_tools {integration_id}",
        integration_id=str(integration_id),
    )


def _begin(tenant: Tenant, integration_id: uuid.UUID, *, now: datetime) -> tuple[Integration, ToolList] | None:
    """Return the integration and its list, marked as tried now; None if it is not read now."""
    rows = Integration.objects.select_related("current_version").filter(tenant_id=tenant.id, id=integration_id)
    integration = rows.filter(connector=MCP, current_version__isnull=False).first()
    if integration is None:
        return None
    ToolList.objects.bulk_create([ToolList(tenant_id=tenant.id, integration=integration)], ignore_conflicts=True)
    row = ToolList.objects.select_for_update().get(tenant_id=tenant.id, integration=integration)
    is_new = row.integration_version_id != integration.current_version_id
    if not is_new and row.tried_at is not None and row.tried_at > now - SHORTEST_PAUSE:
        row.due_at = min(row.due_at, row.tried_at + SHORTEST_PAUSE)
        row.save(update_fields=["due_at"])
        return None
    row.due_at, row.integration_version_id = now + INTERVAL, integration.current_version_id
    is_frozen = freeze_on(freezes_in_force(tenant.id), Place("", integration.slug, "", None))
    if not is_frozen:
        row.tried_at = now
    row.save(update_fields=["due_at", "integration_version_id", "tried_at"])
    return None if is_frozen else (integration, row)


def _store(integration: Integration, row: ToolList, found: Tools, *, base_url: str, ctx: ActingContext) -> None:
    """Store the descriptions found, and record the differences. Another address is another server: nothing of the
    earlier one stays accepted."""
    tools = {tool.name: tool for tool in Tool.objects.filter(tenant_id=row.tenant_id, integration=integration)}
    is_other_server = row.base_url not in ("", base_url)
    changes: dict[str, list[dict[str, Any]]] = {"found": [], "changed": [], "removed": []}
    for name, description in sorted(found.items()):
        sha256 = digest_of(name, description)
        tool = tools.get(name) or Tool(tenant_id=row.tenant_id, integration=integration, name=name)
        if tool.found_sha256 == sha256 and not is_other_server:
            continue
        changes["changed" if tool.accepted_sha256 else "found"].append({"tool": name, "sha256": sha256})
        tool.found, tool.found_sha256, tool.found_at = description, sha256, clock.now()
        if is_other_server:
            _forget_acceptance(tool)
        tool.save()
    for name in sorted(tools.keys() - found.keys()):
        tool = tools[name]
        if tool.found_sha256:
            changes["removed"].append({"tool": name, "sha256": tool.found_sha256})
        if is_other_server or not tool.accepted_sha256:
            tool.delete()
        elif tool.found_sha256:
            tool.found, tool.found_sha256, tool.found_at = None, "", clock.now()
            tool.save()
    if any(changes.values()):
        record(_entry(integration, base_url, changes), ctx=ctx)


def _forget_acceptance(tool: Tool) -> None:
    tool.accepted, tool.accepted_sha256, tool.accepted_by, tool.accepted_at = None, "", None, None


def _entry(integration: Integration, base_url: str, changes: Mapping[str, list[dict[str, Any]]]) -> Entry:
    return Entry(
        kind="integration.tools_found",
        subject=Subject(integration=integration.slug),
        inputs={"base_url": base_url},
        outcome={name: tools for name, tools in changes.items() if tools},
    )


def _pause(failures: int) -> timedelta:
    """Return the time from a failed reading to the next one."""
    return min(INTERVAL * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
