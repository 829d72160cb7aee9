"""Look-up of tools that can be called: the one check of every call of a tool."""

from __future__ import annotations

from typing import Final

from django.db.models import F, QuerySet

from integrations.connectors.mcp_messages import PROTOCOL_VERSION
from integrations.documents import IntegrationDocument
from integrations.lifecycle import ToolStatus
from integrations.models import Execution, Integration, Tool, ToolList
from threada_site.database.prepared_reads import Key, PreparedRead
from threada_site.kernel import errors

_ADVICE: Final = {
    ToolStatus.PENDING: "is not accepted yet. A person has to accept it at the integration in the console.",
    ToolStatus.CHANGED: (
        "has another description than the accepted one. A person has to accept the difference at the integration in "
        "the console."
    ),
    ToolStatus.REMOVED: "is not offered by the server any more.",
}


WAITING: Final = (ToolStatus.PENDING, ToolStatus.CHANGED)
"""Statuses of tools that a person can accept."""


def tools_of(integration: Integration) -> QuerySet[Tool]:
    """Return the tools of an integration by name, whatever their status."""
    return Tool.objects.filter(tenant_id=integration.tenant_id, integration=integration).order_by("name")


def tool_list_of(integration: Integration) -> ToolList | None:
    """Return the last reading of the tools of an integration."""
    return ToolList.objects.filter(tenant_id=integration.tenant_id, integration=integration).first()


def version_spoken(integration: Integration) -> str:
    """Return the version of the protocol that the server of an integration spoke last."""
    row = _list.first(integration.tenant_id, integration.id)
    return (row.protocol_version if row is not None else "") or PROTOCOL_VERSION


_list: Final = PreparedRead(
    lambda tenant, integration: ToolList.objects.filter(tenant_id=tenant, integration_id=integration)
)


def callable_tools(integration: Integration, document: IntegrationDocument) -> QuerySet[Tool]:
    """Return the tools that can be called: accepted, unchanged, and read from the address of the document."""
    return _callable_tools(integration.tenant_id, integration.slug, document.base_url or "").order_by("name")


def callable_tool(integration: Integration, document: IntegrationDocument, name: str) -> Tool:
    """Return a tool that can be called. Raise `ToolNotAccepted`."""
    tool = _callable.first(integration.tenant_id, integration.slug, document.base_url or "", name)
    if tool is not None:
        return tool
    other = tools_of(integration).filter(name=name).first()
    said = _ADVICE.get(other.status) if other is not None else "is not among the tools of the server."
    said = said or "was read from another address. A job reads the tools of the new address within a minute."
    raise errors.ToolNotAccepted(f"The tool {name[:128]!r} of {integration.slug} {said}")


def is_callable(name: str, sha256: str, *, execution: Execution, base_url: str) -> bool:
    """Return True if the tool of an execution can be called, and its accepted description has the digest."""
    tool = _callable.first(execution.tenant_id, execution.integration, base_url, name)
    return tool is not None and tool.accepted_sha256 == sha256


def _callable_tools(tenant: Key, integration: Key, base_url: Key) -> QuerySet[Tool]:
    lists = ToolList.objects.filter(tenant_id=tenant, integration__slug=integration, base_url=base_url)
    rows = Tool.objects.filter(tenant_id=tenant, found_sha256=F("accepted_sha256")).exclude(accepted_sha256="")
    return rows.filter(integration_id__in=lists.values("integration_id"))


_callable: Final = PreparedRead(
    lambda tenant, integration, base_url, name: _callable_tools(tenant, integration, base_url).filter(name=name)
)
