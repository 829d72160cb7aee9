"""Optional parts cost nothing while they are off: neither their code nor their packages are loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from telemetry.exports.request import new_export
from tests.factories import acting_system
from threada_site.jobs.engines.choice import engine_problem
from threada_site.kernel import errors
from threada_site.kernel.extras import _PACKAGES, missing_extra
from threada_site.tenancy.models import Tenant

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = (
    "celery", "kombu", "amqp", "pyarrow", "fsspec", "opentelemetry", "threada_site.jobs.engines.celery",
    "telemetry.inclusion_promises", "telemetry.instance_log", "telemetry.otlp", "telemetry.admin.instance_log",
    "lxml", "signxml", "mcp", "mcp_types", "starlette", "workitems.mcp.server", "threada_site.sign_in.saml", "storages", "boto3",
)  # fmt: skip
MODELS = {
    "telemetry.inclusion_promises", "telemetry.inclusion_promises.models",
    "telemetry.instance_log", "telemetry.instance_log.models",
}  # fmt: skip
"""Loaded in any case, because their tables exist in any case."""
WEB = """
import json, sys, django
django.setup()
from django.conf import settings
from django.urls import get_resolver
from threada_site.jobs.registry import all_tasks
from threada_site.jobs.enqueue import depth_left_behind
import threada_site.wsgi, threada_site.runtime.startup, threada_site.jobs.engines.procrastinate.worker
import threada_site.runtime.management.commands.verify_receipts, threada_site.runtime.management.commands.worker
get_resolver().url_patterns, all_tasks()
for collector in settings.THREADA_METRICS_COLLECTORS:
    __import__(collector.rpartition(".")[0])
print(json.dumps(sorted(sys.modules)))
"""
COMMAND = """
import json, sys, django
django.setup()
import threada_site.identity.management.commands.create_credential
print(json.dumps(sorted(sys.modules)))
"""
NOT_OF_COMMANDS = (
    "httpcore",
    "integrations.connectors",
    "policies.admin",
    "policies.selectors",
    "threada_site.console.site",
    "workitems.tasks",
)
"""Parts that take most of the time of a start: pages, jobs, calls, and the evaluation of rules."""
SEALER = "import json, sys\nimport threada_site.runtime.sealer.process\nprint(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize("program", [WEB, SEALER], ids=["web and worker", "sealer"])
def test_nothing_optional_is_loaded_while_it_is_off(program: str) -> None:
    found = [
        name
        for name in loaded_by(program)
        if name.startswith(tuple(f"{part}." for part in OPTIONAL)) or name in OPTIONAL
    ]
    assert [name for name in found if name not in MODELS] == []


def test_commands_load_neither_pages_nor_jobs() -> None:
    assert set(NOT_OF_COMMANDS).isdisjoint(loaded_by(COMMAND))


def loaded_by(program: str) -> list[str]:
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("THREADA_")},
            "DJANGO_SETTINGS_MODULE": "threada_site.settings",
            "THREADA_DATA_DIR": os.environ.get("THREADA_DATA_DIR", ""),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: list[str] = json.loads(said.stdout.splitlines()[-1])
    return loaded


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert set(extras) == set(_PACKAGES)
    for extra, package in _PACKAGES.items():
        assert any(package in listed for listed in extras[extra])
    [own] = [listed for listed in project["dependency-groups"]["dev"] if listed.startswith("threada[")]
    assert own == f"threada[{','.join(sorted(extras))}]"  # tests run with all of them


def test_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    assert [missing_extra(extra) for extra in _PACKAGES] == [None] * len(_PACKAGES)
    monkeypatch.setitem(sys.modules, "celery", None)
    settings.THREADA_ENGINE, settings.THREADA_BROKER_URL = "celery", "amqp://broker"  # type: ignore[attr-defined]
    assert engine_problem() == (
        "THREADA_ENGINE is celery, and the package celery is not installed. Install it with: uv sync --extra celery"
    )
    assert engine_problem(works=False) is None  # a process that only enqueues does not need it


def test_parquet_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(errors.OptionalPackageMissing, match="uv sync --extra parquet") as refused:
        new_export({}, ctx=acting_system(tenant), file_format="parquet")
    assert (refused.value.reason_code, refused.value.status) == ("optional_package_missing", 501)
