"""A connector of a separate package: found by its entry point, parsed, called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from integrations.connectors import registry
from tests.fax_package import FAX, install
from tests.receivers.fixtures import Receiver

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


def test_connector_is_found_parsed_and_called(tmp_path: Path, receiver: Receiver) -> None:
    ran = start(install(tmp_path, FAX), receiver.url)
    assert (ran.returncode, ran.stdout) == (0, "True To wi_1\n"), ran.stderr
    (call,) = receiver.requests("/fax")
    assert (call["body"], call["headers"]["idempotency-key"]) == ("To wi_1", "ex_1")


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("raise RuntimeError('broken')", "threada_fax:FaxConnector"),
        (FAX, "threada_fax:Nothing"),
        (FAX.replace('name = "fax"', 'name = "http"'), "threada_fax:FaxConnector"),
        (FAX.replace('name = "fax"', 'name = "workflow"'), "threada_fax:FaxConnector"),
        ("class FaxConnector:\n    name = 'fax'", "threada_fax:FaxConnector"),
    ],
)
def test_one_that_cannot_be_used_stops_the_start_and_is_named(tmp_path: Path, code: str, target: str) -> None:
    ran = start(install(tmp_path, code, target), "http://127.0.0.1:9")
    assert ran.returncode != 0
    assert "The connector fax of the package threada-fax cannot be used" in ran.stderr


def test_built_in_connectors_exist_without_packages() -> None:
    assert sorted(registry._connectors) == ["chat", "http", "mail", "mcp", "mock", "webhook", "workflow"]
