"""Each shape of approval rule through each entry point: one answer, wherever it is asked.

A script says who votes in which order and what comes of it. It runs through the API, the console's button, a batch of
the API and a batch of the console, over two payments at once; jobs and links then look at the same cases and decide
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from policies.language.approvals import Leaf
from tests.console.sign_in import sign_in
from tests.factories import PASSWORD
from tests.workitems.office import RULES, Office
from tests.workitems.steps.test_bad_votes import contents
from tests.workitems.steps.test_delegations import let_stand_in
from tests.workitems.steps.test_escalation import escalate_outside
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.errors import REASONS
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.reachability_sweep import sweep_reachability

pytestmark = pytest.mark.django_db

NO_ENTRY: Final = "no_entry"
type Turn = tuple[str, str, str]
"""Who votes, what, and what comes of it: a step's status, `advice`, or why it is refused."""
type Door = Callable[[Office, Sequence[DecisionStep], str, str], str]
type Arrange = Callable[[Office, Sequence[DecisionStep]], None]


@dataclass(frozen=True)
class Shape:
    """A rule (none: a review at intake), and what votes on it amount to. `more` are further rules that match."""

    approvals: dict[str, Any] | None
    turns: tuple[Turn, ...]
    more: tuple[dict[str, Any], ...] = ()
    arrange: Arrange | None = None
    asked_by: str = "rita"


def a_delegate_stands_in(office: Office, _steps: Sequence[DecisionStep]) -> None:
    let_stand_in(office, "vera", "fay")


def it_is_escalated(office: Office, steps: Sequence[DecisionStep]) -> None:
    for step in steps:
        escalate_outside(office, step, Leaf("user", "vera"))


SHAPES: Final[dict[str, Shape]] = {
    "a role, twice": Shape(
        {"role": "finance", "count": 2},
        (
            ("vera", "approve", "voter_not_eligible"),
            ("bot", "approve", "advice"),
            ("fay", "approve", "pending"),
            ("fay", "approve", "already_voted"),
            ("finn", "approve", "approved"),
            ("fred", "approve", "step_closed"),
        ),
    ),
    "a group": Shape({"group": "board"}, (("fay", "approve", "voter_not_eligible"), ("vera", "approve", "approved"))),
    "a person": Shape({"user": "finn"}, (("fay", "reject", "voter_not_eligible"), ("finn", "approve", "approved"))),
    "all of two": Shape(
        {"all": [{"role": "finance"}, {"role": "legal"}]},
        (("both", "approve", "pending"), ("lena", "approve", "approved")),
    ),
    "all of two, the other way": Shape(
        {"all": [{"role": "finance"}, {"role": "legal"}]},
        (("both", "approve", "pending"), ("fay", "approve", "approved")),
    ),
    "any of two": Shape(
        {"any": [{"group": "board"}, {"role": "finance", "count": 2}]},
        (("fay", "approve", "pending"), ("vera", "approve", "approved")),
    ),
    "a tree": Shape(
        {"all": [{"any": [{"role": "legal"}, {"group": "board"}]}, {"role": "finance", "count": 2}]},
        (
            ("fay", "approve", "pending"),
            ("both", "approve", "pending"),
            ("vera", "approve", "approved"),
        ),
    ),
    "stages": Shape(
        {"stages": [{"role": "finance"}, {"role": "legal"}]},
        (
            ("lena", "approve", "stage_not_open"),
            ("fay", "approve", "pending"),
            ("lena", "approve", "approved"),
        ),
    ),
    "one reject ends it": Shape(
        {"role": "finance", "count": 2},
        (("bot", "reject", "advice"), ("fay", "reject", "rejected"), ("finn", "approve", "step_closed")),
    ),
    "a veto of two": Shape(
        {"role": "finance", "count": 1, "veto": 2},
        (("fay", "reject", "pending"), ("finn", "reject", "rejected")),
    ),
    "a requester of finance": Shape(
        {"role": "finance"}, (("rolf", "approve", "voter_excluded"), ("fay", "approve", "approved")), asked_by="rolf"
    ),
    "nobody excluded": Shape({"role": "finance", "exclude": []}, (("rolf", "approve", "approved"),), asked_by="rolf"),
    "two policies at once": Shape(
        {"role": "finance"},
        (
            ("both", "approve", "pending"),
            ("fred", "approve", "approved"),
        ),
        more=(
            {"id": "legal", "when": "true", "effect": "require_approval", "reason": "LAW", "at": "execute"}
            | {"approvals": {"role": "legal"}},
        ),
    ),
    "a review": Shape(
        None,
        (
            ("wim", "approve", "scope_missing"),
            ("rita", "approve", "scope_missing"),
            ("bot", "approve", "advice"),
            ("vera", "approve", "approved"),
        ),
    ),
    "a delegate": Shape(
        {"role": "finance", "count": 2},
        (("vera", "approve", "pending"), ("fay", "approve", "already_voted"), ("finn", "approve", "approved")),
        arrange=a_delegate_stands_in,
    ),
    "escalated": Shape(
        {"role": "finance", "count": 2},
        (("vera", "approve", "pending"), ("fay", "approve", "approved")),
        arrange=it_is_escalated,
    ),
}


def by_api(office: Office, steps: Sequence[DecisionStep], by: str, decision: str) -> str:
    found = set()
    for step in steps:
        body = {"decision": decision, "envelope_sha256": step.envelope_sha256, **reason_for(decision)}
        answer = office.api(by).post(f"/decision-steps/{step.public_id}/votes", body)
        found.add(said_by_api(answer.json(), answer.status_code, lambda vote: [vote]))
    return the_only(found)


def by_api_batch(office: Office, steps: Sequence[DecisionStep], by: str, decision: str) -> str:
    entries = [{"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256} for step in steps]
    body = {"decision": decision, "steps": entries, **reason_for(decision)}
    answer = office.api(by).post("/decision-steps/batch-votes", body)
    return said_by_api(answer.json(), answer.status_code, lambda cast: cast["votes"])


def by_button(office: Office, steps: Sequence[DecisionStep], by: str, decision: str) -> str:
    browser = sign_in(office.people[by])
    found = set()
    for step in steps:
        url = reverse(f"admin:workitems_decisionstep_{decision}", args=[step.public_id])
        found.add(said_by_console(browser, url, {"envelope_sha256": step.envelope_sha256, **reason_for(decision)}))
    return the_only(found) or the_only({office.step(step).status for step in steps})


def by_batch_page(office: Office, steps: Sequence[DecisionStep], by: str, decision: str) -> str:
    chosen = [f"{step.public_id}:{step.envelope_sha256}" for step in steps]
    sent = {"decision": decision, "step": chosen, **reason_for(decision)}
    refused = said_by_console(sign_in(office.people[by]), reverse("admin:workitems_decisionstep_batch_vote"), sent)
    return refused or the_only({office.step(step).status for step in steps})


DOORS: Final[dict[str, Door]] = {
    "api": by_api,
    "batch of the api": by_api_batch,
    "button": by_button,
    "batch of the console": by_batch_page,
}


def said_by_api(answer: Any, status: int, votes: Callable[[Any], list[dict[str, Any]]]) -> str:
    if status != 201:
        assert status == REASONS[answer["reason_code"]].status
        return str(answer["reason_code"])
    return the_only({vote["step_status"] if vote["counted"] else "advice" for vote in votes(answer)})


def said_by_console(browser: Client, url: str, sent: dict[str, Any]) -> str:
    """Why it is refused, or nothing. Who is no person is sent to the sign-in."""
    answer = browser.post(url, sent)
    assert answer.status_code == 302
    if answer["Location"].startswith(("/console/login/", "/console/tenant/")):
        return NO_ENTRY
    said = str(next(iter(get_messages(answer.wsgi_request))))
    code = said.rpartition("(")[2].rstrip(")")
    return code if code in REASONS else ""


def reason_for(decision: str) -> dict[str, str]:
    return {"reason_code": "WRONG"} if decision == "reject" else {}


def the_only(found: Iterable[str]) -> str:
    (one,) = found
    return one


def opened(office: Office, shape: Shape) -> tuple[list[WorkItem], list[DecisionStep]]:
    """Two cases that wait at a step of this shape."""
    if shape.approvals is None:
        items = [office.decided(amount, confidence=0.5) for amount in (5, 6)]
        steps = [office.pending_step(item) for item in items]
    else:
        rule = {**RULES[1], "approvals": {**shape.approvals, "expires_after": "P3D"}}
        office.put_rules(*shape.more, rule, *RULES[2:])
        items = [office.decided(amount, by=shape.asked_by) for amount in (500, 600)]
        steps = [started.step for item in items if (started := office.execute(item, by=shape.asked_by)).step]
    assert len(steps) == 2
    if shape.arrange is not None:
        shape.arrange(office, steps)
    return items, [office.step(step) for step in steps]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_one_answer_at_every_door(name: str, door: str, staffed: Office) -> None:
    shape, is_console = SHAPES[name], "button" in door or "console" in door
    items, steps = opened(staffed, shape)
    for who, decision, expected in shape.turns:
        got = DOORS[door](staffed, steps, who, decision)
        assert got == (NO_ENTRY if is_console and expected == "advice" else expected), (who, decision)
    end = shape.turns[-1][2] if shape.turns[-1][2] != "step_closed" else shape.turns[-2][2]
    assert {staffed.step(step).status for step in steps} == {end}
    then = {"approved": "ready" if shape.approvals is None else "executing", "rejected": "rejected"}[end]
    assert {staffed.item(item).status for item in items} == {then}
    counted = [turn for turn in shape.turns if turn[2] in ("pending", "approved", "rejected")]
    advice = [] if is_console else [turn for turn in shape.turns if turn[2] == "advice"]
    refused = [turn for turn in shape.turns if turn[2] not in ("pending", "approved", "rejected", "advice")]
    with unit_of_work(staffed.tenant.id):
        votes = Vote.objects.filter(step=steps[0]).order_by("id").values_list("voter__username", "decision", "counted")
        assert sorted(votes) == sorted([(*turn[:2], turn in counted) for turn in (*counted, *advice)])
    bodies = staffed.bodies("vote.recorded")
    assert {body["actor"]["entry_point"] for body in bodies} == {"console" if is_console else "api"}
    assert len(bodies) == 2 * len(counted + advice)
    told = [body["outcome"]["reason_code"] for body in staffed.bodies("request.refused")]
    assert told == [turn[2] for turn in refused for _ in range(1 if "batch" in door else 2)]


@pytest.mark.parametrize("name", SHAPES)
def test_pages_api_and_explanation_wait_for_the_same_people(name: str, staffed: Office) -> None:
    shape = SHAPES[name]
    items, steps = opened(staffed, shape)
    browser = sign_in(staffed.people["ada"])
    for who, decision, _ in shape.turns:
        page = browser.get(reverse("admin:workitems_decisionstep_change", args=[steps[0].public_id])).context
        told = staffed.api("wim").get(f"/decision-steps/{steps[0].public_id}").json()
        words = staffed.api("wim").get(f"/work-items/{items[0].public_id}/explain").json()["waiting_for"]
        needs = [] if page["vote_result"] is None else page["vote_result"].waiting_for
        assert told["waiting_for"] == [{need.leaf.kind: need.leaf.name, "missing": need.missing} for need in needs]
        assert len(words) == len(needs)
        assert told["nobody_can_decide"] is False
        by_api(staffed, steps, who, decision)


@pytest.mark.parametrize("name", SHAPES)
def test_jobs_decide_by_time_alone(name: str, staffed: Office) -> None:
    """Before the deadline they change no state, after it what still waits expires, and what was decided stays."""
    shape = SHAPES[name]
    items, steps = opened(staffed, shape)
    soon, late = clock.now() + timedelta(hours=1), clock.now() + timedelta(days=4)
    for who, decision, _ in shape.turns[:-1]:
        by_api(staffed, steps, who, decision)
        before = [
            (staffed.step(step).status, staffed.item(item).status) for step, item in zip(steps, items, strict=True)
        ]
        sweep_deadlines(now=soon)
        sweep_reachability()
        after = [
            (staffed.step(step).status, staffed.item(item).status) for step, item in zip(steps, items, strict=True)
        ]
        assert after == before
        assert not any(staffed.item(item).nobody_can_decide for item in items)
    waits = {staffed.step(step).status for step in steps} == {"pending"}
    sweep_deadlines(now=late)
    statuses = {staffed.step(step).status for step in steps}
    if waits:
        assert statuses == ({"expired"} if shape.approvals is not None else {"pending"})
    assert len(staffed.bodies("vote.recorded")) == staffed.count(Vote)


@pytest.mark.parametrize("name", SHAPES)
def test_links_decide_nothing(name: str, staffed: Office) -> None:
    """Whoever holds a link of a message opens a page by it: no GET, with any query, changes a row of any table."""
    _, steps = opened(staffed, SHAPES[name])
    step = steps[0]
    vote = {"decision": "approve", "envelope_sha256": step.envelope_sha256, "reason_code": "WRONG"}
    page = reverse("admin:workitems_decisionstep_change", args=[step.public_id])
    chosen = [("step", f"{one.public_id}:{one.envelope_sha256}") for one in steps]
    batch = reverse("admin:workitems_decisionstep_batch")
    browsers = [sign_in(staffed.people[who]) for who in ("fay", "vera", "ada", "both")]
    for browser in browsers:  # the first page notes the session, and that these steps were shown to whom they ask
        browser.get(page)
        browser.get(f"{batch}?{urlencode(chosen)}")
    before = contents()
    for browser in browsers:
        for url in (page, f"{page}?{urlencode(vote)}", f"{batch}?{urlencode([*chosen, *vote.items()])}"):
            assert browser.get(url).status_code == 200
        for action in ("approve", "reject", "claim"):
            url = reverse(f"admin:workitems_decisionstep_{action}", args=[step.public_id])
            assert browser.get(url, vote).status_code == 405
        assert browser.get(reverse("admin:workitems_decisionstep_batch_vote"), vote).status_code == 405
    stranger = Client().get(page)
    assert (stranger.status_code, "/login/" in stranger["Location"]) == (302, True)
    assert contents() == before
    for path in (f"/decision-steps/{step.public_id}/votes", "/decision-steps/batch-votes"):
        assert staffed.api("fay").get(path, vote).status_code == 405
    assert staffed.count(Vote) == 0
    assert {staffed.step(one).status for one in steps} == {"pending"}


def test_a_password_is_asked_at_every_door(staffed: Office) -> None:
    """`step_up` is the one rule that doors answer differently: a token cannot re-authenticate."""
    _, steps = opened(staffed, Shape({"role": "finance", "step_up": True}, ()))
    for door in DOORS.values():
        assert door(staffed, steps, "fay", "approve") == "step_up_required"
    assert staffed.count(Vote) == 0
    person = staffed.people["fay"]
    person.set_password(PASSWORD)
    person.save()
    chosen = [f"{step.public_id}:{step.envelope_sha256}" for step in steps]
    url = reverse("admin:workitems_decisionstep_batch_vote")
    sent = {"decision": "approve", "step": chosen}
    assert said_by_console(sign_in(person), url, {**sent, "password": "wrong"}) == "step_up_failed"
    assert said_by_console(sign_in(person), url, {**sent, "password": PASSWORD}) == ""
    assert {staffed.step(step).status for step in steps} == {"approved"}
