"""Connector of a third-party package."""

from __future__ import annotations

from pathlib import Path

FAX = """
from integrations.connectors.exchange import exchange, outbound_request
from integrations.documents import Destination, integration_schema
from integrations.documents.http_actions import read_base_url
from integrations.documents.templates import Place, render


class FaxGrammar:
    schema = integration_schema(
        {"base_url": {"type": "string"}},
        required=["base_url"],
        action={"text": {"type": "string"}},
        action_required=["text"],
    )

    def read_spec(self, spec):
        base_url, origin = read_base_url(spec)
        return Destination(base_url=base_url, origin=origin)

    def read_call(self, slug, action, destination):
        return action.template("text", Place.TEXT)


class FaxConnector:
    name = "fax"
    grammar = FaxGrammar()

    def build_request(self, integration, action, facts):
        return {"method": "POST", "url": integration.base_url + "/fax", "headers": {}, "text": render(action.call, facts)}

    def call(self, request, terms):
        return exchange(outbound_request(request, request["text"].encode(), terms, {}), terms, secrets=())
"""


def install(folder: Path, code: str, target: str = "threada_fax:FaxConnector") -> Path:
    """Write a package like `pip install`: a module, and metadata with an entry point."""
    (folder / "threada_fax.py").write_text(code)
    metadata = folder / "threada_fax-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: threada-fax\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[threada.connectors]\nfax = {target}\n")
    return folder
