"""API of simulations and replays: jobs, results and report downloads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from policies.deciding.decide import decide
from policies.drafts.edit import draft_policy_version
from policies.models import PolicyReplay
from policies.sweeps import enqueue_due_replays
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.jobs import lose_all_jobs, queued_jobs, run_jobs
from tests.policies.rulebooks import PAYMENTS, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

STRICTER = spec(rule("large", "require_approval", "item.payload.amount_minor > 100", at="both"), rule("rest", "allow"))


@pytest.fixture
def author(tenant: Tenant, ctx: ActingContext, api: Callable[..., Api]) -> Api:
    """Return an author. Version 1 has decided three payments, version 2 is a stricter draft."""
    with unit_of_work(tenant.id):
        put_payment_run(ctx)
        put_in_force(PAYMENTS, ctx=ctx)
        for amount in (5, 500, 5000):
            decide(asking(payload={"vendor": "Hooli", "amount_minor": amount}), ctx=ctx)
        draft_policy_version("payments", STRICTER, ctx=ctx)
    return api(make_token(tenant, make_principal(tenant, "author", roles=["policy_author"])))


def test_a_version_is_simulated(author: Api) -> None:
    item = {"workflow": "payment_run", "payload": {"vendor": "Hooli", "amount_minor": 500}}
    answer = author.post("/policies/payments/versions/2/simulate", {"facts": {"item": item}})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["outcome"], body["reason_codes"], body["applies"]) == ("require_approval", ["LARGE"], True)
    assert body["approvals"]["role"] == "finance"
    assert body["facts"]["item"]["requester_groups"] == []
    wrong = author.post("/policies/payments/versions/2/simulate", {"facts": {"item": {**item, "payload": {}}}})
    assert (wrong.status_code, wrong.json()["reason_code"]) == (422, "payload_schema_violation")
    assert wrong.json()["errors"][0]["pointer"] == "/facts/item/payload/vendor"


def test_a_replay_is_requested_run_by_a_job_and_read(author: Api) -> None:
    answer = author.post("/policies/payments/versions/2/replay", {})
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    asked = answer.json()
    assert (asked["status"], asked["percent"], asked["summary"]) == ("requested", 0, {})
    assert queued_jobs()[-1][0] == "policies.run_replay"
    run_jobs()
    read = author.get(answer.headers["Location"]).json()
    assert (read["status"], read["replayed"], read["flipped"], read["not_replayable"]) == ("finished", 3, 3, 0)
    assert read["summary"]["outcomes"] == {"allow": {"allow": 1, "require_approval": 2}}
    assert read["summary"]["people"] == {"more": 2, "fewer": 0}
    listed = author.get("/policy-replays", {"policy_id": "payments", "status": "finished"}).json()["data"]
    assert [row["policy_replay_id"] for row in listed] == [asked["policy_replay_id"]]
    assert author.get("/policy-replays", {"policy_id": "other"}).json()["data"] == []


def test_the_report_is_downloaded_as_json_and_html(author: Api) -> None:
    where = author.post("/policies/payments/versions/2/replay", {}).headers["Location"]
    run_jobs()
    answer = author.get(f"{where}/report")
    report = json.loads(b"".join(answer.streaming_content))
    assert answer.headers["Content-Disposition"].endswith('.json"')
    assert [(flip["from"], flip["to"], flip["to_reasons"]) for flip in report["flips"]] == [
        ("allow", "allow", ["REST"]),
        ("allow", "require_approval", ["LARGE"]),
        ("allow", "require_approval", ["LARGE"]),
    ]
    assert (report["other_approvals"], report["not_replayable_decisions"]) == ([], [])
    assert report["document"]["rules"][0]["id"] == "large"
    page = author.get(f"{where}/report", {"format": "html"})
    text = page.content.decode()
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "3 of 3 decisions would be different (100.0 %)." in text
    assert "2 cases would require approval and did not." in text
    assert "<svg" in text
    assert "<script" not in text
    assert author.get(f"{where}/report", {"format": "pdf"}).status_code == 422


def test_a_replay_is_cancelled_and_resumed(author: Api) -> None:
    where = author.post("/policies/payments/versions/2/replay", {}).headers["Location"]
    cancelled = author.post(f"{where}/cancel", {})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    run_jobs()
    assert author.get(where).json()["status"] == "cancelled"
    assert author.post(f"{where}/cancel", {}).json()["reason_code"] == "transition_not_allowed"
    resumed = author.post(f"{where}/resume", {})
    assert (resumed.status_code, resumed.json()["status"]) == (202, "requested")
    run_jobs()
    assert author.get(where).json()["status"] == "finished"
    assert author.post(f"{where}/resume", {}).json()["reason_code"] == "transition_not_allowed"


def test_invalid_requests_are_refused(author: Api, tenant: Tenant) -> None:
    for body, pointer in (
        ({"created_after": "yesterday"}, "/created_after"),
        ({"created_after": "2026-02-01T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}, "/created_before"),
        ({"against": "everything"}, "/against"),
        ({"scopes": [{"planet": "mars"}]}, "/scopes/0/planet"),
    ):
        answer = author.post("/policies/payments/versions/2/replay", body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    with unit_of_work(tenant.id):
        assert not PolicyReplay.objects.exists()


def test_scopes_can_be_replaced(author: Api) -> None:
    answer = author.post("/policies/payments/versions/1/replay", {"scopes": [], "against": "recorded"})
    assert (answer.json()["scopes"], answer.json()["baseline_version_id"]) == ([], None)
    run_jobs()
    assert author.get(answer.headers["Location"]).json()["summary"]["outcomes"] == {"allow": {"deny": 3}}


def test_the_sweep_enqueues_idle_replays(author: Api, tenant: Tenant) -> None:
    where = author.post("/policies/payments/versions/2/replay", {}).headers["Location"]
    assert enqueue_due_replays(now=clock.now()) == 0
    lose_all_jobs()
    assert enqueue_due_replays(now=clock.now()) == 1
    run_jobs()
    assert author.get(where).json()["status"] == "finished"
