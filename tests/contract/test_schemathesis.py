"""Generated valid and invalid requests against every operation: no 5xx, and only documented answers.

The demo tenant has cases in many states; their ids are used in paths, queries and bodies, so that requests find
something. Each request is rolled back. THREADA_SCHEMATHESIS_SEED and THREADA_SCHEMATHESIS_EXAMPLES change the
generated requests and their number.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Final

import orjson
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.openapi import checks as _registered  # noqa: F401  (declares the checks below)
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ensure_resource_availability,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from tests.contract.document import Operation, operations
from tests.contract.populated import Populated
from threada_site.api.documentation.pages import openapi_schema
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
IS_FULL: Final = os.environ.get("THREADA_SCHEMATHESIS") == "all"
"""Run all checks that apply, and sequences of requests, at night.

Three do not apply. `ignored_auth` repeats a request with the header that this test sets; test_access.py does without.
`positive_data_acceptance`: documents have rules beyond their schema. `object_level_authorization` needs two users.
"""
if IS_FULL:
    CHECKS += [
        missing_required_header,
        unsupported_method,
        allow_header_conformance,
        use_after_free,
        ensure_resource_availability,
    ]
OPERATIONS: Final = {str(operation): operation for operation in operations()}
# Parameters that make a request find nothing unless they have stored values.
ALWAYS_FED: Final = {"Threada-Tenant", "Threada-Role", "If-Match"}
MODES: Final = {"valid": GenerationMode.POSITIVE, "invalid": GenerationMode.NEGATIVE}


@pytest.fixture(scope="module")
def published() -> Any:
    """Return the document as schemathesis reads it, served by the WSGI application."""
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
            signal.disconnect(close_old_connections)  # Django's test client connects them again
        with transaction.atomic():
            answer = case.call(headers={"Authorization": f"Bearer {populated.token}"})
            transaction.set_rollback(True)
        checks_invalid = IS_FULL and not feeds and not has_invalid_header(case)
        case.validate_response(
            answer,
            checks=[*CHECKS, *([negative_data_rejection] if checks_invalid else [])],
            # A document is documented as a text; schemathesis compares what its YAML means.
            excluded_checks=[response_schema_conformance] if operation.path.endswith("/source") else [],
        )
        check_reason(operation, answer)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    ask()
    print(statuses)


@pytest.mark.skipif(not IS_FULL, reason="THREADA_SCHEMATHESIS=all runs sequences of requests (`.ci/run` at night)")
@pytest.mark.timeout(3600)
def test_sequences_of_requests_are_documented(populated: Populated, published: Any) -> None:
    """Follow the links that schemathesis infers: later requests use the ids that earlier answers contain."""
    statuses: Counter[int] = Counter()

    class Sequences(published.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.transaction = transaction.atomic()
            self.transaction.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

        def before_call(self, case: Any) -> None:
            for name in ALWAYS_FED & set(case.headers or ()):
                del case.headers[name]

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            for signal in (request_started, request_finished):
                signal.disconnect(close_old_connections)
            return {"headers": {"Authorization": f"Bearer {populated.token}"}}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    Sequences.run(
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=10,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
    )
    print(dict(statuses))
    assert statuses[200] + statuses[201] > EXAMPLES


def has_invalid_header(case: Any) -> bool:
    """Return True if a generated header violates its schema; one of ours replaces it, or the API ignores it."""
    return any(
        part.name == "HEADER" and info.mode is GenerationMode.NEGATIVE for part, info in case.meta.components.items()
    )


def feed(case: Any, populated: Populated, data: Any) -> None:
    """Replace generated values by stored ones: the whole path, all narrowing parameters, most others."""
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
    """Check that the document lists the reason code of a refusal for this status, in the form of the answer."""
    if answer.status_code >= 400:
        (media_type,) = answer.headers["content-type"]
        assert media_type in operation.raw["responses"][str(answer.status_code)]["content"]
        code = orjson.loads(answer.content)["reason_code"]
        assert code in operation.documented_reasons(answer.status_code), f"{answer.status_code} {code} is undocumented"
