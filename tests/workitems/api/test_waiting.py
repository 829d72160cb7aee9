"""`Prefer: wait` on reads, and what a work item waits for, as programs read it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.threada_site.api.conftest import assert_problem
from tests.workitems.api.test_items import fits
from tests.workitems.office import BANK, Office
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.waits import OFFER, RESUMED, WAITED, Awaited, Offer, Watched
from threada_site.runtime.web.statuses import read_statuses
from threada_site.tenancy import request_limits
from workitems.api.resources.executions import ACTION_ACCEPTED
from workitems.conversation.questions import ask_question
from workitems.executions.close_item import cancel_work_item
from workitems.models import WorkItem


def read(office: Office, path: str, by: str = "rita", *, prefer: str = "wait=900", **environ: Any) -> Any:
    headers = {**office.api(by).headers, "Prefer": prefer}
    headers |= {"If-None-Match": environ.pop("etag")} if "etag" in environ else {}
    return office.api(by).client.generic("GET", path, headers=headers, **environ)


def test_a_read_takes_the_offer_to_wait(office: Office) -> None:
    item, step, execution = office.awaiting()
    asked: list[uuid.UUID] = []
    for path, kind, id_, status in (
        (f"/work-items/{item}", Awaited.WORK_ITEM, item.id, "awaiting_approval"),
        (f"/decision-steps/{step}", Awaited.DECISION_STEP, step.id, "pending"),
        (f"/executions/{execution}", Awaited.EXECUTION, execution.id, "awaiting_approval"),
    ):
        offer = Offer(lambda tenant: not asked.append(tenant))
        answer = read(office, path, **{OFFER: offer})
        assert (answer.status_code, offer.seconds) == (200, 30), answer.json()
        assert offer.watched == Watched(kind, id_, office.tenant.id, frozenset({status}))
        assert read_statuses([offer.watched]) == {id_: status}
        full = Offer(lambda _tenant: False)
        answers = [
            read(office, path),  # a server that cannot hold requests
            read(office, path, **{OFFER: full}),
            read(office, path, **{WAITED: 0}),  # an interrupted wait
            read(office, path, prefer="return=minimal", **{OFFER: Offer(lambda _tenant: True)}),
        ]
        assert ["Preference-Applied" in answer for answer in answers] == [False] * 4
        assert read(office, path, **{WAITED: 30})["Preference-Applied"] == "wait=30"
    assert asked == [office.tenant.id] * 3

    offer = Offer(lambda _tenant: True)
    assert read(office, f"/work-items/{item}", etag='"older"', **{OFFER: offer})["Preference-Applied"] == "wait=30"
    # A proxy that compresses answers makes their tags weak. Answers at once would let clients ask without pause.
    weak = f"W/{read(office, f'/work-items/{item}')['ETag']}"
    assert "Preference-Applied" not in read(office, f"/work-items/{item}", etag=weak, **{OFFER: offer})
    assert offer.watched is not None
    offer = Offer(lambda _tenant: True)
    assert read(office, f"/work-items/{ids.public_id(ids.WORK_ITEM, step.id)}", **{OFFER: offer}).status_code == 404
    office.on_item(item, cancel_work_item)
    for path in (f"/work-items/{item}", f"/decision-steps/{step}", f"/executions/{execution}"):
        assert read(office, path, **{OFFER: offer})["Preference-Applied"] == "wait=30"
    assert offer.watched is None


def ask(office: Office, item: WorkItem, key: str, *, prefer: str = "wait=20", by: str = "ada", **environ: Any) -> Any:
    """Ask for the payment of `item` like a client that waits for its end."""
    body = {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank", "input": {}}
    headers = {**office.api(by).headers, "Prefer": prefer, "Idempotency-Key": key}
    return office.api(by).client.post(
        "/actions/execute", body, content_type="application/json", headers=headers, **environ
    )


def resumed(office: Office, watched: Watched, *, by: str = "ada", waited: int = 20) -> Any:
    """Run a held request again, as the web server does: without its body."""
    headers = {**office.api(by).headers, "Idempotency-Key": "k1", "Prefer": "wait=20"}
    return office.api(by).client.generic(
        "POST", "/actions/execute", headers=headers, **{RESUMED: watched, WAITED: waited}
    )


def test_an_action_waits_for_the_end_of_its_execution(office: Office, bank: Receiver) -> None:
    item, offer = office.decided(), Offer(lambda _tenant: True)
    first = ask(office, item, "k1", **{OFFER: offer})
    assert (first.status_code, first.json()["status"], first.json()["result"]) == (202, "started", None)
    watched = offer.watched
    assert watched is not None
    assert (watched.kind, offer.seconds, watched.during) == (Awaited.EXECUTION, 20, {"started", "running"})
    early = resumed(office, watched)
    assert (early.status_code, early["Preference-Applied"], early["Retry-After"]) == (202, "wait=20", "1")
    again = Offer(lambda _tenant: True)  # a client whose connection broke repeats the request, and waits on
    repeated = ask(office, item, "k1", **{OFFER: again})
    assert (repeated.status_code, repeated["Idempotent-Replayed"], again.watched) == (202, "true", watched)
    run_jobs()
    for answer in (resumed(office, watched), ask(office, item, "k1")):
        assert answer.status_code == 200, answer.content
        fits(ACTION_ACCEPTED, answer.json())
        assert (answer.json()["status"], answer.json()["work_item_status"]) == ("succeeded", "resolved")
        assert answer.json()["result"]["status"] == 200
        assert answer["Location"] == first["Location"]
        assert "Retry-After" not in answer
    assert ask(office, item, "k1", prefer="").json() == first.json()  # the stored answer
    assert len(bank.requests("/payments")) == 1

    assert "Preference-Applied" not in resumed(office, watched, waited=0)
    assert_problem(resumed(office, watched, by="rita"), 404, "not_found")  # another principal
    assert_problem(resumed(office, watched, by="fay"), 403, "scope_missing")
    offer = Offer(lambda _tenant: True)
    waits_for_people = ask(office, office.decided(500), "k2", **{OFFER: offer})
    assert (waits_for_people.status_code, offer.watched) == (202, None)


def test_a_held_request_draws_one_token(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    item = office.create()
    read(office, f"/work-items/{item}")
    drawn: list[Any] = []
    monkeypatch.setattr(request_limits.leases, "take", lambda *taken: drawn.append(taken))
    read(office, f"/work-items/{item}", **{WAITED: 30})
    assert drawn == []
    read(office, f"/work-items/{item}")
    assert len(drawn) == 1


def test_statuses_need_the_tenant_of_the_row(office: Office) -> None:
    item = office.create()
    watched = Watched(Awaited.WORK_ITEM, item.id, office.tenant.id, frozenset({"new"}))
    assert read_statuses([watched]) == {item.id: "new"}
    assert read_statuses([watched._replace(tenant_id=uuid.uuid4())]) == {item.id: None}
    assert read_statuses([watched._replace(kind=Awaited.EXECUTION)]) == {item.id: None}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM workitems_workitem")
        assert cursor.fetchone() == (0,)


def test_explanations_name_what_is_waited_for(office: Office, bank: Receiver) -> None:
    def waits(item: Any) -> list[dict[str, Any]]:
        answer = office.api("rita").get(f"/work-items/{item}/explain")
        found: list[dict[str, Any]] = answer.json()["waits"]
        return [{name: value for name, value in wait.items() if value not in (None, [])} for wait in found]

    assert waits(office.create()) == [{"waits_for": "policies"}]
    assert waits(office.decided()) == [{"waits_for": "action"}]
    assert waits(office.decided(666)) == []

    item, step, execution = office.awaiting()
    people = {
        "waits_for": "people",
        "decision_step_id": step.public_id,
        "people": [{"role": "finance", "missing": 2}],
        "execution_id": execution.public_id,
        "integration_id": "bank",
        "action_id": "pay",
    }
    assert waits(item) == [people]
    office.on_item(item, ask_question, by="finn", text="Why?")
    assert [wait["waits_for"] for wait in waits(item)] == ["requester", "people"]

    pay = {**BANK["actions"]["pay"], "completes": "callback"}
    office.put_bank(base_url=bank.url, callback_secrets=[{"env": "CALLBACK_SECRET"}], actions={"pay": pay})
    execution = office.execute(office.decided()).execution
    run_jobs()
    due = clock.now() + timedelta(hours=1)
    office.set_execution(execution, waiting_until=due)
    paid = office.item_of(execution)
    (wait,) = waits(paid)
    assert wait == {
        "waits_for": "callback",
        "execution_id": execution.public_id,
        "integration_id": "bank",
        "action_id": "pay",
        "ends_at": rfc3339(due),
    }
    said = office.api("rita").get(f"/work-items/{paid}/explain").json()
    assert (said["waiting_for"], said["wait_ends_at"]) == (["the callback of bank"], rfc3339(due))
