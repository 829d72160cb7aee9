"""Work items found again: by reference, people, flags, metadata and change, in several orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.workitems.office import Office
from threada_site.kernel import ids

type Found = Callable[..., list[str]]


@pytest.fixture
def found(office: Office) -> Found:
    api = office.api("wim")

    def find(**query: Any) -> list[str]:
        answer = api.get("/work-items", query)
        assert answer.status_code == 200, answer.json()
        return [row["work_item_id"] for row in answer.json()["data"]]

    return find


def test_work_items_are_found_by_what_their_requester_knows(office: Office, found: Found) -> None:
    api = office.api("rita")
    office.upsert_workflow("travel", channel_required=False)

    def create(**more: Any) -> str:
        body = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}, **more}
        answer = api.post("/work-items", body)
        assert answer.status_code == 201, answer.json()
        return str(answer.json()["work_item_id"])

    plain = create(external_ref="A,1")
    flagged = create(risk_flags=["fraud", "urgent"], metadata={"order": "4711", "env": "prod"})
    other = create(risk_flags=["urgent"], metadata={"order": "4712", "env": "prod"}, workflow_id="travel")

    assert found(external_ref="A,1") == [plain]
    assert found(external_ref=["A,1", "B"], status=["new", "ready"]) == [plain]
    assert found(workflow_id=["payments", "travel"]) == [other, flagged, plain]
    assert found(risk_flag="fraud") == [flagged]
    assert found(risk_flag=["fraud", "urgent"]) == [other, flagged]
    assert found(metadata="env=prod") == [other, flagged]
    assert found(metadata=["env=prod", "order=4712"]) == [other]
    assert found(metadata="env=") == found(metadata="nv=prod") == []
    assert found(data_class="internal") == [other, flagged, plain]
    assert found(requester=ids.public_id(ids.PRINCIPAL, office.people["rita"].id)) == [other, flagged, plain]
    assert found(requester=ids.public_id(ids.PRINCIPAL, office.people["wim"].id)) == []
    assert api.get(f"/work-items/{flagged}").json()["metadata"] == {"order": "4711", "env": "prod"}

    address = f"/work-items/{flagged}"
    read = api.get(address)["ETag"]
    edited = api.edit(address, {"metadata": {"env": None, "order": "4713", "batch": "7"}})
    assert (edited.json()["metadata"], edited["ETag"] != read) == ({"order": "4713", "batch": "7"}, True)
    assert [found(metadata=entry) for entry in ("env=prod", "order=4711", "order=4713", "batch=7")] == [
        [other], [], [flagged], [flagged],
    ]  # fmt: skip
    assert found(risk_flag="fraud") == [flagged]
    for body, code in (
        ({"metadata": {"a=b": "1"}}, "invalid_request"),
        ({"metadata": {"a": 1}}, "invalid_request"),
        ({"metadata": {str(number): "x" for number in range(49)}}, "invalid_request"),
    ):
        assert api.edit(address, body).json()["reason_code"] == code, body
    stale = api.patch(address, {"metadata": {}}, headers={"If-Match": read})
    assert stale.json()["reason_code"] == "precondition_failed"
    refused = office.api("wim").patch(address, {"metadata": {}}, headers={"If-Match": "*"})
    assert refused.json()["reason_code"] in ("scope_missing", "permission_denied")
    (change,) = [event for event in api.get(f"{address}/timeline").json()["data"] if "metadata" in event["kind"]]
    assert (change["kind"], "4713" in str(change)) == ("work_item.metadata_changed", False)
    api.post(f"{address}/cancel", {})
    assert api.edit(address, {"metadata": {"order": "1"}}).json()["reason_code"] == "transition_not_allowed"

    for query, parameter in (
        ({"metadata": "order"}, "?metadata"),
        ({"status": ["new", "sideways"]}, "?status"),
        ({"requester": "rita"}, "?requester"),
        ({"external_ref": ["a"] * 51}, "?external_ref"),
        ({"external_ref": ["a\x00", "b"]}, "?external_ref"),
        ({"updated_after": ["2026-01-01T00:00:00Z"] * 2}, "?updated_after"),
        ({"sort": "payload"}, "?sort"),
        ({"sort": "updated_at", "q": "office"}, "?sort"),
    ):
        answer = api.get("/work-items", query)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, parameter), query
    for metadata in ({"": "x"}, {"a=b": "x"}, {"k" * 41: "x"}, {"k": "x" * 501}, {"k": 1}):
        body = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}, "metadata": metadata}
        assert api.post("/work-items", body).status_code == 422, metadata


def test_items_and_steps_are_found_by_the_people_who_work_on_them(office: Office, found: Found) -> None:
    item, step, _ = office.awaiting()
    office.awaiting()
    office.vote(step, "finn")
    finn = ids.public_id(ids.PRINCIPAL, office.people["finn"].id)
    assert found(decided_by=finn) == [item.public_id]
    assert found(assignee=finn) == []
    steps = office.api("wim").get("/decision-steps", {"decided_by": finn}).json()["data"]
    assert [row["decision_step_id"] for row in steps] == [step.public_id]


def test_lists_are_sorted_by_change(office: Office, found: Found) -> None:
    made = [office.create() for _ in range(5)]
    office.on_item(made[1], _touch)
    changed = [made[0], made[2], made[3], made[4], made[1]]
    api, seen, cursor = office.api("wim"), [], None
    while True:
        query = {"limit": 2, "sort": "updated_at", **({"cursor": cursor} if cursor else {})}
        page = api.get("/work-items", query).json()
        seen += [row["work_item_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        other_order = api.get("/work-items", {**query, "cursor": cursor, "sort": "-updated_at"})
        assert other_order.json()["reason_code"] == "invalid_cursor"
    assert seen == [item.public_id for item in changed]
    assert found(sort="-updated_at") == seen[::-1]
    assert found(sort="created_at") == found()[::-1]
    since = api.get(f"/work-items/{made[4]}").json()["updated_at"]
    assert found(sort="updated_at", updated_after=since) == seen[-2:]
    assert found(updated_before=since)[0] == made[3].public_id
    assert api.get("/decision-steps", {"sort": "urgent_at"}).status_code == 422
    for query in ({"sort": "urgent_at", "status": "pending"}, {"sort": "-urgent_at", "mine": "true"}):
        assert api.get("/decision-steps", query).status_code == 200


def _touch(item: Any, ctx: Any) -> None:
    from threada_site.kernel import clock

    item.updated_at = clock.now()
    item.save(update_fields=["updated_at"])


def test_a_workflow_can_declare_that_references_are_unique(office: Office, found: Found) -> None:
    office.upsert_workflow("orders", unique_external_ref=True, channel_required=False)
    office.upsert_workflow("travel", channel_required=False)
    api = office.api("rita")

    def create(workflow: str, **more: Any) -> Any:
        return api.post("/work-items", {"workflow_id": workflow, "payload": {"amount": 5}, **more})

    assert create("orders", external_ref="PO-1").status_code == 201
    again = create("orders", external_ref="PO-1")
    assert (again.status_code, again.json()["reason_code"]) == (409, "external_ref_taken")
    assert again.json()["errors"][0]["pointer"] == "/external_ref"
    assert create("orders", external_ref="PO-2").status_code == 201
    for _ in range(2):
        assert create("orders").status_code == create("travel", external_ref="PO-1").status_code == 201
    assert len(found(external_ref="PO-1", workflow_id="orders")) == 1
