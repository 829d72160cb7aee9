"""An MCP server whose tools agents call at `/mcp/tools`, in an instance that runs."""

from __future__ import annotations

from integrations.configuration.configure import upsert_integration
from integrations.models import Integration, Tool
from integrations.tools.reading import read_tools
from tests.factories import acting_system
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant
from workitems.gallery.catalogue import gallery_pack
from workitems.gallery.installation import install_from_gallery


def offer_tools(slug: str, url: str) -> None:
    """Install the pack and the integration `tools` in a tenant, read the tools of the server and accept them."""
    tenant = Tenant.objects.get(slug=slug)
    system = acting_system(tenant, EntryPoint.COMMAND)
    spec = {"connector": "mcp", "base_url": url, "timeout": 120, "actions": {"call_tool": {"resolves": True}}}
    with unit_of_work(tenant.id):
        install_from_gallery(gallery_pack("mcp_tools"), ctx=system)
        upsert_integration("tools", spec, ctx=system)
        integration = Integration.objects.get(slug="tools")
    read_tools(tenant, integration.id, ctx=system)
    with unit_of_work(tenant.id):
        for tool in Tool.objects.filter(integration=integration):
            tool.accepted, tool.accepted_sha256 = tool.found, tool.found_sha256
            tool.save()
