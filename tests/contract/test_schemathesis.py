"""Generated requests, valid and not, against every operation: no 5xx, and no answer that is not documented.

The demo tenant stands behind it with cases in many states, and what it holds is fed into paths, queries and bodies, so
that requests get past "not found". Each is rolled back. THREADA_SCHEMATHESIS_SEED and THREADA_SCHEMATHESIS_EXAMPLES
change what is generated, and how much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.openapi import checks as _registered  # noqa: F401  (declares the checks below)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.client import Api
from tests.contract.document import PROBLEM_TYPE, Operation, operations
from tests.contract.world import made
from tests.factories import make_principal, make_token
from tests.jobs import run_jobs
from tests.journeys.demo import LARGE, SMALL, Demo
from threada_site.api.documentation import openapi_schema
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant
from threada_site.wsgi import application

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SEED: Final = int(os.environ.get("THREADA_SCHEMATHESIS_SEED", "20260131"))
EXAMPLES: Final = int(os.environ.get("THREADA_SCHEMATHESIS_EXAMPLES", "25"))
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS: Final = {str(operation): operation for operation in operations()}
# What narrows a request to nothing unless it is meant.
ALWAYS_FED: Final = {"Threada-Tenant", "Threada-Role", "If-Match"}
MODES: Final = {"valid": GenerationMode.POSITIVE, "invalid": GenerationMode.NEGATIVE}


@dataclass(frozen=True)
class Populated:
    """A tenant in use. `values`: name of a path variable, parameter or body member → what may stand there; `envelopes`:
    decision step → the hash that a vote on it names."""

    token: str
    values: dict[str, list[Any]]
    envelopes: dict[str, str]


@pytest.fixture(scope="module")
def populated(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Populated]:
    with django_db_blocker.unblock():
        connection.threada_tenant = None
        with transaction.atomic():
            secrets = seed_demo()
            yield populate(Demo(Tenant.objects.get(slug="demo"), secrets))
            transaction.set_rollback(True)


def populate(demo: Demo) -> Populated:
    """Cases new, in review, awaiting approval, failed, cancelled; a draft; an export; and a principal who may all."""
    token = make_token(demo.tenant, make_principal(demo.tenant, "fuzzer", roles=("tenant_admin", "finance")))
    admin = Api(token)
    cancelled = demo.hand_in(SMALL)
    made(admin.post(f"/work-items/{cancelled}/cancel", {}))
    demo.hand_in(SMALL, confidence=0.1)
    demo.execute(demo.hand_in(LARGE))
    demo.execute(demo.hand_in(SMALL))
    demo.execute(demo.secrets.work_item_id, action="request_approval", integration="int_workflow")
    run_jobs()
    demo.hand_in(LARGE)
    rule = {"id": "never", "when": "false", "effect": "deny", "reason": "NEVER"}
    draft = made(admin.post("/policies/payments/versions", {"document": {"rules": [rule]}}))
    made(admin.post("/telemetry/exports", {}))
    steps = _listed(admin, "/decision-steps")
    executions = _listed(admin, "/executions")
    versions = [version for version in _listed(admin, "/policies/payments/versions") if version != draft]
    return Populated(
        token,
        {
            "work_item_id": _column(_listed(admin, "/work-items"), "work_item_id"),
            "decision_step_id": _column(steps, "decision_step_id"),
            "execution_id": _column(executions, "execution_id"),
            "policy_decision_id": [name for name in _column(executions, "policy_decision_id") if name],
            "policy_version_id": _column(versions, "policy_version_id"),
            "version": ["1", "2", "3", draft["policy_version_id"]],
            "overlay_id": _column(_listed(admin, "/overlays"), "overlay_id"),
            "receipt_id": _column(_listed(admin, "/telemetry/events"), "receipt_id"),
            "export_id": [made(admin.post("/telemetry/exports", {}))["export_id"]],
            "workflow_id": _column(_listed(admin, "/workflows"), "workflow_id"),
            "channel_id": _column(_listed(admin, "/channels"), "channel_id"),
            "policy_id": ["payments", "policy_review_rules"],
            "integration_id": ["int_workflow", "int_bank"],
            "action_id": ["request_approval", "assign", "close", "pay"],
            "requester": ["demo-client", "admin"],
            "payload": [LARGE, SMALL, {"question": "?"}],
            "evidence": [["a"], {"fallback_reason": "none"}],
            "kind": ["work_item.created", "review", "approval"],
            "Threada-Tenant": ["demo"],
            "Threada-Role": ["tenant_admin"],
            "If-Match": ["*"],
        },
        {step["decision_step_id"]: step["envelope_sha256"] for step in steps},
    )


def _listed(admin: Api, path: str) -> list[dict[str, Any]]:
    return made(admin.get(path, {"limit": 200}))["data"]


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


@pytest.fixture(scope="module")
def published() -> Any:
    """The document as schemathesis reads it, served by the WSGI application itself."""
    generation = GenerationConfig(max_examples=EXAMPLES)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    schema = schemathesis.openapi.from_dict(openapi_schema(), config=config)
    schema.app = application
    return schema


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_documented(populated: Populated, published: Any, name: str, mode: str) -> None:
    operation = OPERATIONS[name]
    print(f"THREADA_SCHEMATHESIS_SEED={SEED}")
    statuses: dict[int, int] = {}

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=published[operation.path][operation.method].as_strategy(MODES[mode]),
        feeds=st.integers(0, 6),
        data=st.data(),
    )
    def ask(case: Any, feeds: int, data: Any) -> None:
        if feeds:
            feed(case, populated, data)
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)  # Django's own test client connects them again
        with transaction.atomic():
            answer = case.call(headers={"Authorization": f"Bearer {populated.token}"})
            transaction.set_rollback(True)
        case.validate_response(answer, checks=CHECKS)
        check_reason(operation, answer)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    ask()
    print(statuses)


def feed(case: Any, populated: Populated, data: Any) -> None:
    """Replace what was generated by what the tenant holds: all of the path and of what narrows, most of the rest."""
    for name in list(case.path_parameters or ()):
        if name in populated.values:
            case.path_parameters[name] = data.draw(st.sampled_from(populated.values[name]), label=name)
    for part in (case.query, case.headers, case.body):
        for name in list(part) if hasattr(part, "keys") else ():
            if name not in populated.values:
                continue
            if name in ALWAYS_FED or data.draw(st.integers(0, 4), label=f"feed {name}"):
                part[name] = data.draw(st.sampled_from(populated.values[name]), label=name)
    step = (case.path_parameters or {}).get("decision_step_id")
    if isinstance(case.body, dict) and "envelope_sha256" in case.body:
        case.body["envelope_sha256"] = populated.envelopes[step]


def check_reason(operation: Operation, answer: Any) -> None:
    """A problem's reason code is one that the document names for this status."""
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == [PROBLEM_TYPE]
        code = orjson.loads(answer.content)["reason_code"]
        assert code in operation.documented_reasons(answer.status_code), f"{answer.status_code} {code} is undocumented"
