"""A connector from a package of its own: found by its entry point, read, sealed, called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from integrations.connectors import registry
from tests.receivers.fixtures import Receiver

PACKAGE = """
from integrations.connectors.exchange import exchange, outbound_request
from integrations.documents import Destination
from integrations.documents.grammar import OUTBOUND_ACTION, OUTBOUND_SPEC
from integrations.documents.http_actions import read_base_url
from integrations.templates import Place, render


class FaxGrammar:
    spec_fields = OUTBOUND_SPEC | {"base_url"}

    def action_fields(self, slug):
        return OUTBOUND_ACTION | {"text"}

    def read_spec(self, spec):
        base_url, origin = read_base_url(spec)
        return Destination(base_url=base_url, origin=origin)

    def read_call(self, slug, action, destination):
        return action.template("text", Place.TEXT) if action.text("text", required=True) else None


class FaxConnector:
    name = "fax"
    grammar = FaxGrammar()

    def build_request(self, integration, action, facts):
        return {"method": "POST", "url": integration.base_url + "/fax", "headers": {}, "text": render(action.call, facts)}

    def call(self, request, terms):
        return exchange(outbound_request(request, request["text"].encode(), terms, {}), terms, secrets=())
"""
PROGRAM = """
import sys, django
django.setup()
from integrations.connectors import CallTerms, connector_named
from integrations.documents import read_integration
from integrations.transport import EgressPolicy
spec = {"connector": "fax", "base_url": sys.argv[1], "actions": {"send": {"text": "To ${item.id}"}}}
document = read_integration(spec)
fax = connector_named("fax")
request = fax.build_request(document, document.action("send"), {"item": {"id": "wi_1"}, "ctx": {}, "input": {}})
terms = CallTerms(idempotency_key="ex_1", timeout_s=5, egress=EgressPolicy(["127.0.0.1"]), user_agent="Threada/test")
print(fax.call(request, terms).succeeded, request["text"])
"""


def install(folder: Path, code: str, target: str = "threada_fax:FaxConnector") -> Path:
    """A package as `pip install` leaves it: a module, and metadata with an entry point."""
    (folder / "threada_fax.py").write_text(code)
    metadata = folder / "threada_fax-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: threada-fax\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[threada.connectors]\nfax = {target}\n")
    return folder


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=settings.THREADA_BASE_DIR,
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}:{settings.THREADA_BASE_DIR}",
            "DJANGO_SETTINGS_MODULE": "threada_site.settings",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_found_read_sealed_and_called(tmp_path: Path, receiver: Receiver) -> None:
    ran = start(install(tmp_path, PACKAGE), receiver.url)
    assert (ran.returncode, ran.stdout) == (0, "True To wi_1\n"), ran.stderr
    (call,) = receiver.requests("/fax")
    assert (call["body"], call["headers"]["idempotency-key"]) == ("To wi_1", "ex_1")


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("raise RuntimeError('broken')", "threada_fax:FaxConnector"),
        (PACKAGE, "threada_fax:Nothing"),
        (PACKAGE.replace('name = "fax"', 'name = "http"'), "threada_fax:FaxConnector"),
        (PACKAGE.replace('name = "fax"', 'name = "workflow"'), "threada_fax:FaxConnector"),
        ("class FaxConnector:\n    name = 'fax'", "threada_fax:FaxConnector"),
    ],
)
def test_one_that_cannot_be_used_stops_the_start_and_is_named(tmp_path: Path, code: str, target: str) -> None:
    ran = start(install(tmp_path, code, target), "http://127.0.0.1:9")
    assert ran.returncode != 0
    assert "The connector fax of the package threada-fax cannot be used" in ran.stderr


def test_without_packages_there_are_those_that_come_along() -> None:
    assert sorted(registry.connector_names()) == ["chat", "http", "mail", "webhook", "workflow"]
