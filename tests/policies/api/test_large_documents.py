"""A workflow with a schema of several hundred kilobytes: stored, compiled once, and used like any other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from policies import selectors
from policies.documents import payload_schema as module
from tests.client import Api
from tests.policies.documents.webhook_schema import webhook_payload, webhook_schema
from tests.policies.over_http import client, pointers, refusal
from threada_site.tenancy.models import Tenant

LARGE = webhook_schema(events=210, definitions=130, fields=31)
PAYLOAD = webhook_payload(7, definitions=130, fields=31)
SMALL = {"type": "object", "properties": {"event": {"type": "string"}}}


def padded(document: Any, size: int) -> bytes:
    """Return the JSON of a document with white space up to a size."""
    return json.dumps(document).encode().ljust(size)


def put(admin: Api, slug: str, schema: Any, *, size: int = 0) -> Any:
    return admin.post("/workflows", padded({"workflow_id": slug, "spec": {"payload_schema": schema}}, size))


def test_bodies_with_documents_may_have_four_megabytes(admin: Api) -> None:
    assert put(admin, "webhooks", LARGE, size=4_194_304).status_code == 201
    assert refusal(put(admin, "more", LARGE, size=4_194_305)) == (413, "payload_too_large")
    assert refusal(admin.post("/channels", b"{}".ljust(1_048_577))) == (413, "payload_too_large")
    answer = put(admin, "larger", {"description": "x" * 1_048_576})
    assert (refusal(answer), pointers(answer)) == ((422, "document_invalid"), ["/spec/payload_schema"])


def test_a_large_schema_is_compiled_once_and_costs_what_others_cost(
    admin: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(admin, "webhooks", LARGE).status_code == 201
    assert put(admin, "small", SMALL).status_code == 201
    rita = client(tenant, "rita", "requester")
    compiled: list[Any] = []
    build: Callable[..., Any] = module._build

    def counting(schema: Any, *, assert_format: bool) -> Any:
        compiled.append(schema)
        return build(schema, assert_format=assert_format)

    def create(slug: str) -> None:
        answer = rita.post("/work-items", {"workflow_id": slug, "payload": PAYLOAD})
        assert answer.status_code == 201, answer.content

    module._by_identity.clear()
    module._by_text.clear()
    selectors._workflow_documents.clear()
    monkeypatch.setattr(module, "_build", counting)
    seconds: dict[str, float] = {}
    for slug in ("small", "webhooks"):
        create(slug)
        built = len(compiled)
        began = time.thread_time()
        for _ in range(10):
            create(slug)
        seconds[slug] = time.thread_time() - began
        assert len(compiled) == built
    assert seconds["webhooks"] < 2 * seconds["small"]
    answer = rita.post("/work-items", {"workflow_id": "webhooks", "payload": {**PAYLOAD, "event": "none"}})
    assert refusal(answer)[0] == 422
