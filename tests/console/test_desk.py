"""Decision desk: contents, order, groups, and batch decisions."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.factories import make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from workitems.models import DecisionStep

DESK = "/console/workitems/decisionstep/desk/"
BATCH = "/console/workitems/decisionstep/batch/"
VOTE = "/console/workitems/decisionstep/batch/vote/"
NEXT = "/console/workitems/decisionstep/next/"
REFUND = {
    "id": "refund", "when": "ctx.action == 'pay' && item.payload.vendor == 'Umbrella'", "effect": "require_approval",
    "reason": "REFUND", "approvals": {"role": "finance"},
}  # fmt: skip


def ask(demo: Demo, vendor: str = "Hooli", amount: int = 2_000_000, **more: Any) -> dict[str, Any]:
    """Create a large payment that is pending for finance. Return its step."""
    item = demo.hand_in({"vendor": vendor, "amount_minor": amount}, **more)
    assert demo.execute(item).status_code == 202
    return demo.step_of(item)


def put(demo: Demo, step: dict[str, Any], **columns: Any) -> None:
    """Change the time columns of a step."""
    with unit_of_work(demo.tenant.id):
        DecisionStep.objects.filter(id=ids.parse_public_id(ids.DECISION_STEP, step["decision_step_id"])).update(
            **columns
        )


def shown(browser: Client, query: str = "") -> list[list[str]]:
    """Return the groups of the desk, each as the ids of its steps."""
    page = browser.get(DESK + query)
    assert page.status_code == 200
    return [[row.step.public_id for row in group.rows] for group in page.context["groups"]]


def choices(*steps: dict[str, Any]) -> list[str]:
    return [f"{step['decision_step_id']}:{step['envelope_sha256']}" for step in steps]


def decide(browser: Client, steps: list[str], **sent: str) -> tuple[str, list[str]]:
    """Submit the batch. Return the redirect and the messages."""
    answer = browser.post(VOTE, {"step": steps, "decision": "approve", **sent})
    assert answer.status_code == 302
    return answer["Location"], [str(message) for message in get_messages(answer.wsgi_request)]


def named(*steps: dict[str, Any]) -> list[str]:
    return [step["decision_step_id"] for step in steps]


def test_the_most_urgent_come_first_in_groups_of_rule_and_action(demo: Demo, console: Console) -> None:
    first, second, third = ask(demo), ask(demo), ask(demo)
    demo.put_rules(REFUND)
    other, without = ask(demo, "Umbrella"), ask(demo, "Umbrella")
    now = clock.now()
    put(demo, third, respond_due_at=now - timedelta(hours=1))
    put(demo, first, respond_due_at=now + timedelta(hours=5))
    put(demo, second, respond_due_at=None, expires_at=now + timedelta(hours=4))
    put(demo, other, respond_due_at=None, expires_at=now + timedelta(hours=4, minutes=30))
    put(demo, without, respond_due_at=None, expires_at=None)
    browser = console("finance-1")
    assert shown(browser) == [named(third, second, first), named(other, without)]
    page = browser.get(DESK).context
    assert [group.rules for group in page["groups"]] == [
        ["payments / large-payment"], ["payments / large-payment", "payments / refund"]
    ]  # fmt: skip
    assert [row.is_overdue for row in page["groups"][0].rows] == [True, False, False]
    assert page["groups"][1].rows[1].has_deadline is False
    assert dict(page["groups"][0].rows[0].preview) == {"Vendor": "Hooli", "Amount": "EUR 20,000.00"}


def test_only_what_this_person_can_decide(demo: Demo, console: Console) -> None:
    step = ask(demo)
    mine = demo.join("fiona", roles=("approver", "finance", "client"))
    asked_by_fiona = demo.hand_in({"vendor": "Hooli", "amount_minor": 3_000_000}, by=mine)
    assert demo.execute(asked_by_fiona, by=mine).status_code == 202
    own = demo.step_of(asked_by_fiona)
    assert sorted(step_id for group in shown(console("finance-1")) for step_id in group) == sorted(named(step, own))
    assert shown(console("fiona")) == [named(step)]
    assert shown(console("security-1")) == []
    demo.vote("finance-1", step)
    assert shown(console("finance-1")) == [named(own)]
    make_principal(demo.tenant, "viola", roles=["viewer"])
    page = console("viola").get(DESK)
    assert "No decisions are pending for you." in page.content.decode()
    assert "Decision desk</" not in console("viola").get("/console/").content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("workflow_id=payment_run", 3), ("workflow_id=policy_review", 0), ("kind=approval", 3), ("kind=review", 0),
        ("due=overdue", 1), ("due=day", 2), ("due=none", 1), ("due=nonsense", 0), ("risk=flagged", 1), ("risk=plain", 2),
        ("claimed=me", 1), ("claimed=free", 2), ("older=rubbish", 3), ("together=0", 0),
    ],
)  # fmt: skip
def test_filters_narrow_the_desk(query: str, found: int, demo: Demo, console: Console) -> None:
    late, flagged, endless = ask(demo), ask(demo, risk_flags=["new_vendor"]), ask(demo)
    put(demo, late, respond_due_at=clock.now() - timedelta(hours=1))
    put(demo, endless, respond_due_at=None, expires_at=None)
    demo.api("finance-1").post(f"/decision-steps/{flagged['decision_step_id']}/claim", {})
    browser = console("finance-1")
    assert sum(map(len, shown(browser, f"?{query}"))) == found


def test_pages_follow_each_other(demo: Demo, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    from workitems.admin.desk import rows as desk_rows

    monkeypatch.setattr(desk_rows, "PER_PAGE", 2)
    steps = [ask(demo) for _ in range(5)]
    put(demo, steps[4], respond_due_at=clock.now())
    browser = console("finance-1")

    def walked(query: str) -> list[str]:
        seen, first = [], query
        while query or not seen:
            page = browser.get(DESK + query).context
            seen += [row.step.public_id for group in page["groups"] for row in group.rows]
            back, query = page["page"].newer, page["page"].older
        assert {step for group in shown(browser, back) for step in group} == set(seen[2:4])
        assert first in back
        return seen

    assert walked("") == named(steps[4], *steps[:4])
    assert walked("?sort=opened") == named(*steps)
    assert walked("?sort=-opened") == named(*steps[::-1])


def test_columns_are_selected_and_downloaded(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo, vendor="=Umbrella")]
    browser = console("finance-1")
    body = browser.get(f"{DESK}?columns=id&columns=kind").content.decode()
    assert (steps[0]["decision_step_id"] in body, "of agent" in body, "opened" in body.split("t-rows")[1]) == (
        True, False, False,
    )  # fmt: skip
    lines = b"".join(browser.post(f"{DESK}csv/", {"columns": "id,contents", "sort": "-opened"})).decode().splitlines()  # type: ignore[call-overload]
    assert lines[0] == '"Title","Contents","Id"'
    assert [line.split(",")[-1].strip('"') for line in lines[1:]] == named(*steps[::-1])
    assert '"=' not in "".join(lines)
    others = b"".join(console("security-1").post(f"{DESK}csv/", {})).decode()  # type: ignore[call-overload]
    assert len(others.splitlines()) == 1
    with unit_of_work(demo.tenant.id):
        kinds = Receipt.objects.filter(kind="list.downloaded")
        assert [orjson.loads(bytes(row.body))["inputs"]["list"] for row in kinds] == ["desk", "desk"]


def test_selected_steps_are_assigned_one_by_one(demo: Demo, console: Console) -> None:
    """Also those of other pages, and by the queue. The service of a single reassignment decides on each."""
    first, second, late = ask(demo), ask(demo), ask(demo)
    browser = console("finance-1")
    bulk = "/console/workitems/decisionstep/bulk/"
    sent = {"do": "assign", "origin": "desk", "row": choices(first, second)}
    asked = browser.post(bulk, sent)
    assert [key for key, _, _ in asked.context["rows"]] == named(second, first)
    assert "finance-2" in asked.context["people"]
    assert (asked.context["list_url"], Counter(assigned(demo).values())) == (DESK, Counter({None: 3}))
    demo.api("finance-2").post(f"/decision-steps/{second['decision_step_id']}/votes", {
        "decision": "approve", "envelope_sha256": second["envelope_sha256"],
    })  # fmt: skip
    keys = [key for key, _, _ in asked.context["rows"]]
    done = browser.post(bulk, {**sent, "row": keys, "confirmed": "true", "to": "finance-2", "given_reason": "Away"})
    outcomes = {answer.key: (answer.is_done, answer.text) for answer in done.context["answers"]}
    assert outcomes[first["decision_step_id"]] == (True, "The step is assigned to finance-2.")
    assert "(assignee_not_eligible)" in outcomes[second["decision_step_id"]][1]
    assert assigned(demo) == {
        first["decision_step_id"]: "finance-2",
        second["decision_step_id"]: None,
        late["decision_step_id"]: None,
    }
    for to in ("nobody", "finance-1", ""):
        refused = browser.post(bulk, {**sent, "row": named(late), "confirmed": "true", "to": to})
        assert refused.context["done"] == 0
    assert (
        console("security-1")
        .post(bulk, {**sent, "row": named(late), "confirmed": "true", "to": "finance-2"})
        .context["done"]
        == 0
    )
    queue = "/console/workitems/workitem/bulk/"
    by_item = browser.post(
        queue, {"do": "assign", "row": [late["work_item_id"]], "confirmed": "true", "to": "finance-2"}
    )
    assert [answer.is_done for answer in by_item.context["answers"]] == [True]
    assert assigned(demo)[late["decision_step_id"]] == "finance-2"
    idle = demo.hand_in({"vendor": "Hooli", "amount_minor": 1})
    nothing = browser.post(queue, {"do": "assign", "row": [idle], "confirmed": "true", "to": "finance-2"})
    assert "(step_closed)" in nothing.context["answers"][0].text


def test_selected_steps_are_decided_on_their_page(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo)]
    browser = console("finance-1")
    answer = browser.post(f"{DESK}decide/", {"row": choices(*steps)})
    assert answer["Location"] == f"{BATCH}?{urlencode([('step', choice) for choice in choices(*steps)])}"
    assert browser.get(answer["Location"]).status_code == 200
    assert browser.get(f"{DESK}decide/").status_code == 405


def assigned(demo: Demo) -> dict[str, str | None]:
    with unit_of_work(demo.tenant.id):
        return {row.public_id: row.assignee and row.assignee.username for row in DecisionStep.objects.all()}


def test_page_links_to_the_next_decision(demo: Demo, console: Console) -> None:
    first, second = ask(demo), ask(demo)
    browser = console("finance-1")
    for behind, leads_to in (("", first), (first["decision_step_id"], second), (second["decision_step_id"], first)):
        assert browser.get(f"{NEXT}?behind={behind}")["Location"].endswith(f"/{leads_to['decision_step_id']}/")
    demo.vote("finance-1", first)
    assert browser.get(f"{NEXT}?behind={second['decision_step_id']}")["Location"] == DESK


def test_shared_details_are_shown_once_and_differences_per_step(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo, amount=3_000_000)]
    page = console("finance-1").get(f"{BATCH}?{urlencode([('step', choice) for choice in choices(*steps)])}")
    shared = dict(page.context["shared"])
    assert (shared["Vendor"], shared["will be sent.url"]) == ("Hooli", "http://127.0.0.1:9901/payments")
    differs = [dict(row.differs) for row in page.context["rows"]]
    assert [row["Amount"] for row in differs] == ["EUR 20,000.00 (2000000)", "EUR 30,000.00 (3000000)"]
    assert [set(row) for row in differs] == [
        {"Amount", "will be sent.body.amount_minor", "will be sent.body.reference"}
    ] * 2
    body = page.content.decode()
    for choice, step in zip(choices(*steps), steps, strict=True):
        assert body.count(f'name="step" value="{choice}"') == 2
        assert step["envelope_sha256"] in body


def test_batch_form_decides_all_steps(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo), ask(demo)]
    assert decide(console("finance-1"), choices(*steps)) == (
        DESK, ["You have approved 3 decisions. 3 still need votes of others."],
    )  # fmt: skip
    assert decide(console("finance-2"), choices(*steps), comment="Monthly.") == (
        DESK,
        ["You have approved 3 decisions."],
    )
    items = [demo.item(step["work_item_id"])["status"] for step in steps]
    assert items == ["executing"] * 3


def test_one_stale_item_rejects_the_batch_and_is_named(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo)]
    chosen = choices(*steps)
    chosen[1] = f"{steps[1]['decision_step_id']}:{'0' * 64}"
    browser = console("finance-1")
    where, said = decide(browser, chosen)
    assert where.startswith(f"{BATCH}?step=")
    assert said[0].startswith(f"{steps[1]['decision_step_id']} (2 of 2): ")
    assert "(envelope_changed)" in said[0]
    assert [demo.step_of(step["work_item_id"])["votes"] for step in steps] == [[], []]
    assert browser.get(where).status_code == 200


def test_what_does_not_belong_together_is_not_shown_together(demo: Demo, console: Console, settings: Settings) -> None:
    first = ask(demo)
    demo.put_rules(REFUND)
    browser = console("finance-1")
    other = ask(demo, "Umbrella")
    mixed = browser.get(f"{BATCH}?{urlencode([('step', choice) for choice in choices(first, other)])}")
    assert mixed["Location"] == DESK
    assert "(batch_mixed)" in str(next(iter(get_messages(mixed.wsgi_request))))
    assert "(batch_mixed)" in " ".join(decide(browser, choices(first, other))[1])
    settings.THREADA_BATCH_CAPS = {"low": 1, "elevated": 1, "high": 1}
    too_many = browser.get(f"{BATCH}?{urlencode([('step', choice) for choice in choices(first, ask(demo))])}")
    assert "(batch_too_large)" in str(list(get_messages(too_many.wsgi_request))[-1])
    assert "t-cap" not in browser.get(DESK).content.decode()


@pytest.mark.parametrize("query", ["", "?step=x", "?step=ds_00000000000000000000000000:0"])
def test_an_empty_batch_is_refused(query: str, demo: Demo, console: Console) -> None:
    assert console("finance-1").get(BATCH + query)["Location"] == DESK


def test_a_batch_accepts_only_post(demo: Demo, console: Console) -> None:
    assert console("finance-1").get(VOTE).status_code == 405


def test_the_desk_links_a_sensitive_case_without_its_contents(demo: Demo, console: Console) -> None:
    payload = {"vendor": "Acme Secret", "certificate": "SOC2", "handles_personal_data": True}
    demo.hand_in(payload, workflow="vendor_security_review")
    demo.wait()
    page = console("security-1").get(DESK).content.decode()
    assert "Vendor security review" in page
    assert "Acme Secret" not in page
