"""The workflow of a new work item, read by the statement that authenticates: same answers, one statement fewer.

The web server gives small bodies in memory; Django's test client does not, so its requests read the workflow later.
"""

from __future__ import annotations

import io
import json
import secrets
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.client import Api
from tests.factories import make_principal, make_tenant, make_token
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Credential
from workitems.models import WorkItem

ITEM = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}}


def in_memory(api: Api, body: Any) -> Any:
    """Send a body as the web server gives it to the application."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    environ: dict[str, Any] = {"wsgi.input": io.BytesIO(raw)}
    client: Any = api.client
    return client.generic(
        "POST", "/work-items", data=raw, content_type="application/json", headers=api.headers, **environ
    )


def told(answer: Any) -> tuple[int, Any]:
    """Return what an answer says, without what differs between two requests."""
    return answer.status_code, {
        name: value
        for name, value in answer.json().items()
        if name in ("reason_code", "detail", "errors", "status", "workflow_id", "workflow_version_id", "channel_id")
    }


def test_the_workflow_takes_no_statement_of_its_own(office: Office) -> None:
    api = office.api("rita")
    assert api.post("/work-items", ITEM).status_code == 201
    with CaptureQueriesContext(connection) as later:
        assert api.post("/work-items", ITEM).status_code == 201
    with CaptureQueriesContext(connection) as alongside:
        assert in_memory(api, ITEM).status_code == 201
    assert len(alongside) == len(later) - 1
    assert not [query for query in alongside if query["sql"].startswith("SELECT w.id")]


@pytest.mark.parametrize(
    "body",
    [
        ITEM,
        {**ITEM, "workflow_id": "nothing"},
        {**ITEM, "channel_id": "nothing"},
        {name: ITEM[name] for name in ("workflow_id", "payload")},
        {**ITEM, "workflow_id": "pay\0ments"},
        {**ITEM, "workflow_id": 5},
        {**ITEM, "channel_id": ["web"]},
        {**ITEM, "payload": {"amount": "much"}},
        {**ITEM, "payload": {"amount": 5, "text": "x" * 20_000}},
        [ITEM],
        b"",
        b"{",
        b'{"workflow_id": "nothing", "workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}}',
    ],
)
def test_answers_do_not_depend_on_where_the_workflow_was_read(office: Office, body: Any) -> None:
    api = office.api("rita")
    assert told(in_memory(api, body)) == told(api.post("/work-items", body))


def test_the_workflow_of_another_tenant_is_not_found(office: Office) -> None:
    other = make_tenant("globex")
    stranger = Api(make_token(other, make_principal(other, "client", kind="service", roles=("tenant_admin",))))
    assert told(in_memory(office.api("rita"), ITEM))[0] == 201
    status, answer = told(in_memory(stranger, ITEM))
    assert (status, answer["reason_code"]) == (422, "unknown_workflow")


def test_a_caller_who_is_refused_is_refused_first(office: Office) -> None:
    api = office.api("rita")
    assert in_memory(Api(), ITEM).status_code == 401
    assert in_memory(Api(f"thr_{secrets.token_hex(20)}"), ITEM).status_code == 401
    assert in_memory(Api(make_token(office.tenant, office.people["wim"])), ITEM).status_code == 403
    with unit_of_work(office.tenant.id):
        Credential.objects.filter(user=office.people["rita"]).update(revoked_at=clock.now())
    status, answer = told(in_memory(api, ITEM))
    assert (status, answer["reason_code"]) == (401, "credential_revoked")
    with unit_of_work(office.tenant.id):
        assert WorkItem.objects.count() == 0


def test_a_changed_workflow_is_read_anew(office: Office) -> None:
    first = in_memory(office.api("rita"), ITEM).json()
    office.upsert_workflow(data_class="confidential")
    second = in_memory(office.api("rita"), ITEM).json()
    assert first["workflow_version_id"] != second["workflow_version_id"]
