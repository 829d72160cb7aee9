"""The cases over HTTP: shapes, lists, refusals and their receipts, keys. tests/journeys follows the loop itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest

from integrations.models import Execution
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import make_token
from tests.jobs import run_jobs
from tests.workitems.office import Office
from threada_site.api.operations import Representation
from threada_site.database.unit_of_work import unit_of_work
from workitems.api.resources.executions import ACTION_ACCEPTED, EXECUTION, EXECUTION_WITH_ATTEMPTS
from workitems.api.resources.steps import STEP, VOTE_ANSWER
from workitems.api.resources.work_items import EXPLANATION, WHOLE_WORK_ITEM, WORK_ITEM
from workitems.models import DecisionStep, Vote, WorkItem

ITEM = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}}


def pay(item: WorkItem, **more: Any) -> dict[str, Any]:
    return {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank", **more}


def plain(schema: Any) -> Any:
    """Return the schema with its nested representations expanded."""
    if isinstance(schema, Representation):
        return plain(schema.schema)
    if isinstance(schema, dict):
        return {name: plain(value) for name, value in schema.items()}
    return [plain(value) for value in schema] if isinstance(schema, list) else schema


def fits(representation: Any, value: Any) -> None:
    """Hold an answer to the schema that OpenAPI publishes for it."""
    validator = jsonschema_rs.validator_for(plain(representation.schema))
    problems = [str(error)[:300] for error in validator.iter_errors(value)]
    assert problems == []
    assert set(value) == set(representation.schema["properties"])


def state(office: Office) -> tuple[Any, ...]:
    """Everything but receipts."""
    with unit_of_work(office.tenant.id):
        return (
            list(WorkItem.objects.order_by("id").values_list("id", "status", "version", "payload_sha256")),
            list(DecisionStep.objects.order_by("id").values_list("id", "status", "claimed_by_id")),
            list(Execution.objects.order_by("id").values_list("id", "status")),
            Vote.objects.count(),
        )


def refusals(office: Office) -> list[Receipt]:
    with unit_of_work(office.tenant.id):
        return list(Receipt.objects.filter(kind="request.refused").order_by("id"))


def test_answers_have_the_published_shapes(office: Office) -> None:
    rita, fay = office.api("rita"), office.api("fay")
    created = rita.post(
        "/work-items", {**ITEM, "payload": {"amount": 500}, "evidence": ["p. 4"], "external_ref": "x-1"}
    )
    fits(WORK_ITEM, created.json())
    item = created.json()["work_item_id"]
    accepted = rita.post("/actions/execute", {"work_item_id": item, "action_id": "pay", "integration_id": "bank"})
    fits(ACTION_ACCEPTED, accepted.json())
    fits(WHOLE_WORK_ITEM, rita.get(f"/work-items/{item}").json())
    fits(EXPLANATION, rita.get(f"/work-items/{item}/explain").json())
    step = accepted.json()["decision_steps"][0]["decision_step_id"]
    fits(STEP, fay.get(f"/decision-steps/{step}").json())
    fits(STEP, fay.post(f"/decision-steps/{step}/claim", {}).json())
    fits(STEP, fay.post(f"/decision-steps/{step}/release", {}).json())
    sha = accepted.json()["decision_steps"][0]["envelope_sha256"]
    vote = fay.post(f"/decision-steps/{step}/votes", {"decision": "approve", "envelope_sha256": sha})
    fits(VOTE_ANSWER, vote.json())
    (listed,) = fay.get("/decision-steps").json()["data"]
    fits(STEP, listed)
    execution = accepted.json()["execution_id"]
    fits(EXECUTION_WITH_ATTEMPTS, rita.get(f"/executions/{execution}").json())
    fits(EXECUTION, rita.get("/executions").json()["data"][0])
    fits(EXECUTION_WITH_ATTEMPTS, rita.post(f"/executions/{execution}/cancel", {}).json())
    fits(WORK_ITEM, rita.edit(f"/work-items/{item}", {"payload": {"amount": 6}}).json())
    fits(WORK_ITEM, rita.get("/work-items").json()["data"][0])
    fits(WORK_ITEM, rita.post(f"/work-items/{item}/cancel", {"reason": "done"}).json())


REFUSED: list[tuple[str, Callable[[WorkItem, DecisionStep, Execution], tuple[str, str, Any]]]] = [
    ("workitems:write", lambda item, step, execution: ("POST", "/work-items", ITEM)),
    ("workitems:write", lambda item, step, execution: ("PATCH", f"/work-items/{item}", {"payload": {"amount": 1}})),
    ("workitems:write", lambda item, step, execution: ("POST", f"/work-items/{item}/cancel", {})),
    ("workitems:write", lambda item, step, execution: ("POST", f"/work-items/{item}/resolve", {})),
    ("actions:execute", lambda item, step, execution: ("POST", "/actions/execute", pay(item))),
    ("actions:execute", lambda item, step, execution: ("POST", f"/executions/{execution}/cancel", {})),
    ("actions:execute", lambda item, step, execution: ("POST", f"/executions/{execution}/retry", {})),
    (
        "actions:execute",
        lambda item, step, execution: (
            "POST",
            f"/executions/{execution}/reconcile",
            {"outcome": "failed", "reason": "x"},
        ),
    ),
    (
        "decisions:decide",
        lambda item, step, execution: (
            "POST",
            f"/decision-steps/{step}/votes",
            {"decision": "approve", "envelope_sha256": step.envelope_sha256},
        ),
    ),
    ("decisions:decide", lambda item, step, execution: ("POST", f"/decision-steps/{step}/claim", {})),
    ("decisions:decide", lambda item, step, execution: ("POST", f"/decision-steps/{step}/release", {})),
]


@pytest.mark.parametrize(("scope", "attempt"), REFUSED)
def test_without_its_scope_nothing_happens_but_a_receipt(office: Office, scope: str, attempt: Any) -> None:
    rows = office.awaiting()
    method, path, body = attempt(*rows)
    everything_else = {
        "workitems:read",
        "workitems:write",
        "actions:execute",
        "decisions:decide",
        "telemetry:read",
    } - {scope}
    api = Api(make_token(office.tenant, office.people["ada"], scopes=everything_else))
    before = state(office)
    answer = api.send(method, path, body)
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "scope_missing")
    assert scope in answer.json()["detail"]
    assert state(office) == before
    (receipt,) = refusals(office)
    assert receipt.reason_codes == ["scope_missing"]
    unknown = path.replace(str(rows[0]), "wi_nonsense").replace(str(rows[1]), "ds_no").replace(str(rows[2]), "ex_no")
    assert api.send(method, unknown, body).json()["reason_code"] == "scope_missing"


@pytest.mark.parametrize("path", ["/work-items", "/decision-steps", "/executions"])
def test_reading_needs_its_scope(office: Office, path: str) -> None:
    api = Api(make_token(office.tenant, office.people["ada"], scopes={"telemetry:read"}))
    assert api.get(path).json()["reason_code"] == "scope_missing"


def test_a_refusal_names_the_case_it_is_about(office: Office) -> None:
    item, step, _ = office.awaiting()
    answer = office.api("vera").post(
        f"/decision-steps/{step}/votes", {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    )
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "voter_not_eligible")
    (receipt,) = refusals(office)
    assert (receipt.work_item_id, receipt.workflow, receipt.channel) == (item.id, "payments", "web")
    assert receipt.actor_id == office.people["vera"].id
    assert receipt.correlation_id == answer.headers["Threada-Correlation-Id"]
    body = office.bodies("request.refused")[0]
    assert body["inputs"] == {"method": "POST", "path": f"/decision-steps/{step}/votes"}
    assert body["outcome"]["reason_code"] == "voter_not_eligible"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/work-items", {"payload": {}}, "/workflow_id"),
        ("/work-items", {**ITEM, "payload": []}, "/payload"),
        ("/work-items", {**ITEM, "confidence": 1.5}, "/confidence"),
        ("/work-items", {**ITEM, "surprise": 1}, "/surprise"),
        ("/work-items", {**ITEM, "risk_flags": ["a", "a"]}, "/risk_flags"),
        ("/work-items", {**ITEM, "evidence": {"citations": [""]}}, "/evidence"),
        ("/work-items", {**ITEM, "workflow_id": "Not a slug"}, "/workflow_id"),
        ("/actions/execute", {"work_item_id": "wi_x", "action_id": "pay"}, "/integration_id"),
        ("/work-items", [], ""),
        ("/work-items", "text", ""),
    ],
)
def test_invalid_bodies_are_refused_with_pointers(office: Office, path: str, body: Any, pointer: str) -> None:
    before = state(office)
    answer = office.api("rita").post(path, body)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
    assert any(entry["pointer"].startswith(pointer) for entry in answer.json()["errors"])
    assert state(office) == before


@pytest.mark.parametrize("body", [[], 0, "", False, [1]])
@pytest.mark.parametrize("verb", ["cancel", "resolve"])
def test_an_optional_body_is_an_object(office: Office, verb: str, body: Any) -> None:
    item = office.decided()
    answer = office.api("rita").post(f"/work-items/{item}/{verb}", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
    assert office.item(item).status == "ready"


def test_an_optional_body_may_be_absent(office: Office) -> None:
    item = office.decided()
    assert office.api("rita").post(f"/work-items/{item}/cancel").status_code == 200


def test_a_key_makes_one_of_many(office: Office) -> None:
    api, key = office.api("rita"), {"Idempotency-Key": "once"}
    first, again = (api.post("/work-items", ITEM, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert (again.headers["Location"], again.headers["ETag"]) == (first.headers["Location"], first.headers["ETag"])
    other = api.post("/work-items", {**ITEM, "payload": {"amount": 6}}, headers=key)
    assert (other.status_code, other.json()["reason_code"]) == (422, "idempotency_key_reused")
    assert office.count(WorkItem) == 1


def test_the_key_that_was_made_can_be_used(office: Office) -> None:
    """A caller whose first answer was cut off after it was read repeats the call with the key it was given."""
    item = office.decided()
    first = office.api("rita").post("/actions/execute", pay(item))
    key = first.json()["idempotency_key"]
    again = office.api("rita").post("/actions/execute", pay(item), headers={"Idempotency-Key": key})
    assert (again.status_code, again.content) == (202, first.content)
    assert office.count(Execution) == 1


def test_execute_answers_where_to_look(office: Office) -> None:
    item = office.decided()
    answer = office.api("rita").post("/actions/execute", pay(item), headers={"Idempotency-Key": "k"})
    body = answer.json()
    assert (answer.status_code, body["status"], body["idempotency_key"]) == (202, "started", "k")
    assert answer.headers["Location"] == f"/executions/{body['execution_id']}"
    assert answer.headers["Retry-After"] == "1"
    assert (body["decision_steps"], body["work_item_status"]) == ([], "executing")
    busy = office.api("rita").post("/actions/execute", pay(item))
    assert (busy.status_code, busy.json()["reason_code"]) == (409, "execution_in_progress")


@pytest.mark.parametrize(
    "work_item_id", ["", "wi_nonsense", "ex_01m88678krey28tht5stm1q4hs", "wi_01m88678krey28tht5stm1q4hs"]
)
def test_an_item_in_the_body_that_is_not_there(office: Office, work_item_id: str) -> None:
    body = {"work_item_id": work_item_id, "action_id": "pay", "integration_id": "bank"}
    answer = office.api("rita").post("/actions/execute", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (404, "not_found")


def test_explain_lists_waiting_people_and_allowed_actions(office: Office) -> None:
    item, step, _ = office.awaiting()
    shown = office.api("fay").get(f"/work-items/{item}/explain").json()
    assert shown["waiting_for"] == [
        "2 more people with role finance, other than the requester, the last editor or the agent's owner"
    ]
    assert shown["you_may"] == [
        "approve or reject it",
        "approve it with changes, which starts the decision again",
        "claim it",
        "reassign it",
    ]
    office.vote(step, "fay")
    assert office.api("fay").get(f"/work-items/{item}/explain").json()["you_may"] == ["reassign it"]
    assert office.api("rita").get(f"/work-items/{item}/explain").json()["you_may"] == [
        "change its payload, which starts the case again",
        "cancel it",
    ]
    office.create()
    run_jobs()
