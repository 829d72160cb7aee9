"""Readers of files: those of the payload or comment, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.workitems.attachments.files import row, take_files, upload, uploaded
from tests.workitems.office import Office
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db


def status(api: Api, attachment_id: str) -> tuple[int, int]:
    """Return the status of the description and of the bytes."""
    place = f"/attachments/{attachment_id}"
    content = api.get(f"{place}/content")
    if content.streaming:
        assert b"".join(content.streaming_content)
    return api.get(place).status_code, int(content.status_code)


def created(office: Office, attachment_id: str, by: str = "rita") -> Any:
    payload = {"amount": 5, "invoice": {"attachment_id": attachment_id}}
    return office.api(by).post("/work-items", {"workflow_id": "payments", "channel_id": "web", "payload": payload})


def test_files_are_read_by_readers_of_the_item_only(office: Office, other_tenant: Tenant) -> None:
    take_files(office)
    office.join("rob")
    attachment_id = uploaded(office.api("rita"))
    stranger = Api(make_token(other_tenant, make_principal(other_tenant, "zoe", roles=("tenant_admin",))))
    assert status(office.api("rita"), attachment_id) == (200, 200)
    for api in (office.api("fay"), office.api("ada"), office.api("rob"), stranger):  # not used yet
        assert status(api, attachment_id) == (404, 404)
    assert status(Api(), attachment_id) == (401, 401)

    stolen = created(office, attachment_id, by="rob")
    assert (stolen.status_code, stolen.json()["reason_code"]) == (422, "attachment_not_usable")
    assert row(office, attachment_id).work_item_id is None
    assert created(office, attachment_id).status_code == 201
    for name in ("rita", "fay", "ada"):
        assert status(office.api(name), attachment_id) == (200, 200)
    assert status(office.api("rob"), attachment_id) == (404, 404)
    assert status(stranger, attachment_id) == (404, 404)
    for name in ("att_x", "wi_01k9zq6w4ve9qtr1n5m2d3c4b5", attachment_id.replace("att_", "at_")):
        assert status(office.api("ada"), name) == (404, 404)


def test_reading_what_is_known_of_a_file_of_a_sensitive_case_leaves_a_receipt(office: Office, settings: Any) -> None:
    settings.THREADA_SENSITIVE_DATA_CLASSES = ["internal"]
    take_files(office)
    attachment_id = uploaded(office.api("rita"))
    assert created(office, attachment_id).status_code == 201
    assert office.bodies("work_item.read") == []
    assert office.api("fay").get(f"/attachments/{attachment_id}").status_code == 200
    assert len(office.bodies("work_item.read")) == 1


def test_an_agent_without_a_scope_neither_uploads_nor_downloads(office: Office) -> None:
    take_files(office)
    attachment_id = uploaded(office.api("rita"))
    created(office, attachment_id)
    bot = office.join("bot", "agent", roles=("requester",))
    reads = Api(make_token(office.tenant, bot, scopes=(Scope.WORKITEMS_READ,)))
    writes = Api(make_token(office.tenant, bot, scopes=(Scope.WORKITEMS_WRITE,)))
    assert upload(reads).json()["reason_code"] == "permission_denied"
    assert upload(writes).json()["reason_code"] == "scope_missing"
    assert upload(Api(), name="a.pdf").status_code == 401
    assert [api.get(f"/attachments/{attachment_id}/content").status_code for api in (reads, writes)] == [404, 403]
    assert bot.kind == PrincipalKind.AGENT


def test_files_of_comments_have_the_readers_of_the_comment(office: Office) -> None:
    take_files(office)
    item = office.decided()
    place = f"/work-items/{item.public_id}/comments"
    fay, rita, finn = (office.api(name) for name in ("fay", "rita", "finn"))
    for_all, internal = uploaded(fay, name="offer.pdf"), uploaded(fay, b"quote;4711\n", "quote.csv", "text/csv")
    said = fay.post(place, {"text": "See the offer.", "attachments": [for_all]})
    assert said.status_code == 201, said.content
    assert [file["name"] for file in said.json()["attachments"]] == ["offer.pdf"]
    hidden = fay.post(place, {"text": "Too dear.", "audience": "deciders", "attachments": [internal]})
    assert status(rita, for_all) == (200, 200)
    assert status(finn, internal) == (200, 200)
    assert status(rita, internal) == (404, 404)
    assert [file["name"] for file in rita.get(place).json()["data"][0]["attachments"]] == ["offer.pdf"]
    (body,) = office.bodies("comment.added")
    assert "attachments_commitment" in body["inputs"]
    assert for_all not in str(body)
    for taken in ([for_all], [internal, internal], ["att_x"], [uploaded(rita)]):
        assert fay.post(place, {"text": "Again.", "attachments": taken}).status_code == 422
    assert b"".join(finn.get(f"/attachments/{internal}/content").streaming_content) == b"quote;4711\n"
    assert fay.delete(f"{place}/{hidden.json()['comment_id']}").status_code == 204
    assert status(finn, internal) == (404, 404)
