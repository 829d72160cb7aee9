"""Requests in the console: the form, its submission, and the page of the request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from integrations.models import Execution
from policies.models import PolicyDecision, Workflow
from telemetry.models import Receipt
from tests.console.portal.forms import FORM, REQUESTS, plain_payments, put_workflow, send, stored, token_of
from tests.console.sign_in import Console, confirm
from tests.factories import acting, acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role, set_roles
from threada_site.identity.roles import define_role
from threada_site.kernel import errors
from threada_site.kernel.context import EntryPoint, Scope
from threada_site.tenancy.models import User
from workitems.executions.start_request import start_request
from workitems.models import DecisionStep, WorkItem
from workitems.portal.catalogue import requestable
from workitems.portal.submit import submit_request

LARGE = {"vendor": "Hooli", "amount_minor": "2000000"}
SMALL = {"vendor": "Hooli", "amount_minor": "900"}


@pytest.fixture
def rita(demo: Demo, console: Console) -> Client:
    """Sign in a person with the role of a requester."""
    demo.join("rita", roles=("requester",))
    plain_payments(demo)
    return console("rita")


def portal_only(demo: Demo, name: str) -> User:
    """Return a person who may create work items and nothing else, not even read them."""
    ctx = acting_system(demo.tenant)
    person = make_principal(demo.tenant, name, roles=())
    with unit_of_work(demo.tenant.id):
        define_role("asks", frozenset({Scope.WORKITEMS_WRITE}), ctx=ctx)
        grant_role(person, "asks", ctx=ctx)
    return person


def problems_in(answer: Any) -> str:
    """Return the summary of errors of a page."""
    assert answer.status_code == 422, answer.status_code
    return str(answer.content.decode().partition('id="problems"')[2].partition("<form")[0])


def newest(demo: Demo) -> WorkItem:
    with unit_of_work(demo.tenant.id):
        return WorkItem.objects.latest("id")


def test_a_large_payment_waits_for_two_people(demo: Demo, rita: Client) -> None:
    home = rita.get("/console/").content.decode()
    assert f'href="{FORM}"' in home
    assert "/console/policies/" not in home
    answer = send(rita, **LARGE)
    assert answer.status_code == 302, answer.content.decode()
    page = rita.get(answer["Location"]).content.decode()
    assert "Waiting for approval" in page
    assert "finance" in page
    assert stored(demo) == (2, 1)  # one item is of the demo
    listed = rita.get(REQUESTS).content.decode()
    assert "Waiting for approval" in listed
    assert "finance" in listed


def test_the_item_is_the_requesters_and_comes_by_the_declared_channel(demo: Demo, rita: Client) -> None:
    send(rita, **SMALL, invoice="R-1")
    item = newest(demo)
    assert item.payload == {"vendor": "Hooli", "amount_minor": 900, "invoice": "R-1"}
    assert (item.channel, item.requester.username, item.submitted_by.username) == ("web_main", "rita", "rita")
    assert item.status == "executing"
    with unit_of_work(demo.tenant.id):
        proposed = orjson.loads(bytes(Receipt.objects.get(kind="execution.proposed").body))
    assert proposed["inputs"]["permitted_by"] == "workflow.request"
    assert proposed["actor"]["entry_point"] == "console"


def test_no_more_than_the_declared_action_needs_only_the_right_to_create_items(demo: Demo, console: Console) -> None:
    person = portal_only(demo, "pat")
    answer = send(console("pat"), **SMALL)
    assert answer.status_code == 302, problems_in(answer)
    item = newest(demo)
    api = demo.api(person.username)
    body = {"vendor": "Hooli", "amount_minor": 5}
    own = demo.hand_in(body, by=api)
    refused = demo.execute(own, by=api)
    assert refused.status_code == 403, refused.content
    assert demo.execute(item.public_id, by=api).status_code == 403
    assert api.get(f"/work-items/{item.public_id}").status_code == 403
    assert console("pat").get(f"{REQUESTS}{item.public_id}/").status_code == 200


def test_a_requester_executes_nothing_by_the_api(demo: Demo, rita: Client) -> None:
    send(rita, **SMALL)
    execution = demo.client.get("/executions", {"work_item_id": newest(demo).public_id}).json()["data"][0][
        "execution_id"
    ]
    api = demo.api("rita")
    own = demo.hand_in({"vendor": "Hooli", "amount_minor": 5}, by=api)
    bodies = {"retry": {}, "undo": {}, "cancel": {}, "reconcile": {"outcome": "failed", "reason": "seen"}}
    for answer in (
        demo.execute(own, by=api),
        *(api.post(f"/executions/{execution}/{name}", body) for name, body in bodies.items()),
        api.post("/executions/replays", {"integration_id": "int_bank"}),
    ):
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "scope_missing"), answer.content
    assert demo.item(own)["status"] == "new"
    with unit_of_work(demo.tenant.id):
        refused = list(Receipt.objects.filter(kind="request.refused").values_list("reason_codes", flat=True))
    assert refused.count(["scope_missing"]) == 1 + len(bodies) + 1


def test_a_started_request_is_not_started_again(demo: Demo, rita: Client) -> None:
    where = send(rita, **LARGE)["Location"]
    answer = rita.post(f"{where}start/")
    assert "started before" in rita.get(answer["Location"]).content.decode()
    assert stored(demo)[1] == 1


def test_items_of_other_channels_and_other_people_are_not_started(demo: Demo, rita: Client, console: Console) -> None:
    put_workflow(demo, channel_required=False, request={"action": "pay", "integration": "int_bank"})
    own = demo.hand_in({"vendor": "Hooli", "amount_minor": 5}, by=demo.api("rita"))
    demo.wait()
    assert "Send request on" not in rita.get(f"{REQUESTS}{own}/").content.decode()
    rita.post(f"{REQUESTS}{own}/start/")
    other = demo.hand_in({"vendor": "Hooli", "amount_minor": 5}, by=demo.join("otto", roles=("requester",)))
    assert rita.post(f"{REQUESTS}{other}/start/").status_code == 404
    assert stored(demo)[1] == 0


def test_an_item_of_the_same_channel_is_started_once(demo: Demo, rita: Client) -> None:
    own = demo.hand_in({"vendor": "Hooli", "amount_minor": 5}, by=demo.api("rita"))
    demo.wait()
    assert "Send request on" in rita.get(f"{REQUESTS}{own}/").content.decode()
    rita.post(f"{REQUESTS}{own}/start/")
    rita.post(f"{REQUESTS}{own}/start/")
    assert stored(demo)[1] == 1


LOOK = {
    "id": "look",
    "when": "ctx.point == 'intake'",
    "effect": "review",
    "reason": "LOOK",
    "approvals": {"all": [{"role": "finance"}]},
}


def change_roles(demo: Demo, name: str, *roles: str) -> None:
    ctx = acting_system(demo.tenant)
    with unit_of_work(demo.tenant.id):
        define_role("reads", frozenset({Scope.WORKITEMS_READ}), ctx=ctx)
        set_roles(User.objects.get(username=name), list(roles), ctx=ctx)


def test_after_a_review_at_intake_the_action_starts_by_itself(demo: Demo, rita: Client) -> None:
    demo.put_rules(LOOK)
    where = send(rita, **SMALL)["Location"]
    assert "In review" in rita.get(where).content.decode()
    assert stored(demo)[1] == 0
    item = newest(demo)
    assert demo.vote("finance-1", demo.step_of(item.public_id)).status_code == 201
    demo.wait()
    for _ in range(2):
        start_request(demo.tenant, item.id)
    with unit_of_work(demo.tenant.id):
        execution = Execution.objects.get(work_item_id=item.id)
        proposed = orjson.loads(bytes(Receipt.objects.get(kind="execution.proposed", work_item_id=item.id).body))
    assert execution.requested_by == item.requester_id
    assert (proposed["inputs"]["permitted_by"], proposed["actor"]["entry_point"]) == ("workflow.request", "job")
    assert "Send request on" not in rita.get(where).content.decode()


def test_an_item_of_the_api_does_not_start_by_itself(demo: Demo, rita: Client) -> None:
    demo.put_rules(LOOK)
    own = demo.hand_in({"vendor": "Hooli", "amount_minor": 5}, by=demo.api("rita"))
    demo.wait()
    assert demo.vote("finance-1", demo.step_of(own)).status_code == 201
    demo.wait()
    assert stored(demo)[1] == 0


@pytest.mark.parametrize(
    ("lost", "reason_code"),
    [("right", b"permission_denied"), ("membership", b"principal_inactive"), ("payload", b"action_not_allowed")],
)
def test_what_the_requester_may_no_longer_start_waits(demo: Demo, rita: Client, lost: str, reason_code: bytes) -> None:
    """Without the right, as no active member, or with a payload that somebody else changed, nothing starts."""
    demo.put_rules(LOOK)
    where = send(rita, **SMALL)["Location"]
    item = newest(demo)
    step = demo.step_of(item.public_id)
    person = User.objects.get(username="rita")
    if lost == "right":
        change_roles(demo, "rita", "reads")
    elif lost == "membership":
        User.objects.filter(id=person.id).update(is_active=False)
    else:
        with unit_of_work(demo.tenant.id):
            WorkItem.objects.filter(id=item.id).update(edited_by=User.objects.get(username="admin"))
    assert demo.vote("finance-1", step).status_code == 201
    demo.wait()
    assert stored(demo)[1] == 0
    with unit_of_work(demo.tenant.id):
        refused = Receipt.objects.get(kind="request.refused", work_item_id=item.id)
        assert WorkItem.objects.get(id=item.id).status == "ready"
    assert reason_code in bytes(refused.body)
    if lost == "right":
        assert "Send request on" not in rita.get(where).content.decode()
        change_roles(demo, "rita", "requester")
        for _ in range(2):
            rita.post(f"{where}start/")
        assert stored(demo)[1] == 1


def test_a_denial_is_shown_in_words_and_keeps_the_decision(demo: Demo, rita: Client) -> None:
    """As in the API: the work item and the policy decision stay, and nothing was executed."""
    demo.put_rules(
        {
            "id": "closed",
            "when": "ctx.point == 'execute'",
            "effect": "deny",
            "reason": "CLOSED",
            "message": "The books are closed until Monday.",
        }
    )
    items, executions = stored(demo)
    answer = send(rita, **SMALL)
    assert "The books are closed until Monday." in problems_in(answer)
    assert 'value="Hooli"' in answer.content.decode()
    assert stored(demo) == (items + 1, executions)
    item = newest(demo)
    assert item.public_id in answer.content.decode()
    with unit_of_work(demo.tenant.id):
        refusal = Receipt.objects.filter(kind="request.refused").latest("id")
        assert DecisionStep.objects.count() == 0
        assert PolicyDecision.objects.filter(work_item_id=item.id, point="execute", outcome="deny").count() == 1
    assert refusal.workflow == "payment_run"


def test_a_denial_at_intake_keeps_the_refused_item(demo: Demo, rita: Client) -> None:
    items, executions = stored(demo)
    assert "Sanctioned vendor" in problems_in(send(rita, vendor="Initech", amount_minor="5"))
    assert stored(demo) == (items + 1, executions)
    assert newest(demo).status == "refused"


def test_a_missing_integration_leaves_nothing(demo: Demo, rita: Client) -> None:
    put_workflow(demo, request={"action": "pay", "integration": "int_gone", "channel": "web_main"})
    before = stored(demo)
    assert "no integration" in problems_in(send(rita, **SMALL))
    assert stored(demo) == before


def test_input_is_made_from_the_payload(demo: Demo, rita: Client) -> None:
    declared = {"action": "pay", "integration": "int_bank", "channel": "web_main"}
    put_workflow(demo, request={**declared, "input": {"note": "${item.payload.vendor}", "fixed": [1]}})
    send(rita, **SMALL)
    with unit_of_work(demo.tenant.id):
        assert Execution.objects.get().input == {"note": "Hooli", "fixed": [1]}


def test_errors_stand_at_their_fields(demo: Demo, rita: Client) -> None:
    answer = send(rita, vendor="", amount_minor="12.5")
    text = answer.content.decode()
    assert "Enter a value." in problems_in(answer)
    assert "Write a whole number." in text
    assert 'aria-invalid="true"' in text
    assert 'href="#p_2f_vendor"' in problems_in(answer)
    assert 'value="12.5"' in text
    assert stored(demo) == (1, 0)


def test_one_form_makes_one_request(demo: Demo, rita: Client) -> None:
    token = token_of(rita)
    first = send(rita, token=token, **SMALL)
    second = send(rita, token=token, **SMALL)
    assert first["Location"] == second["Location"]
    assert stored(demo) == (2, 1)
    other = send(rita, token=token, vendor="Umbrella", amount_minor="7")
    assert "sent before with other values" in problems_in(other)
    assert first["Location"] in other.content.decode()
    assert stored(demo) == (2, 1)


def test_a_form_whose_answer_is_gone_makes_no_second_request(demo: Demo, rita: Client) -> None:
    token = token_of(rita)
    send(rita, token=token, **SMALL)
    with unit_of_work(demo.tenant.id):
        IdempotencyRecord.objects.filter(path="/console/request/payment_run").update(response=b"")
    assert problems_in(send(rita, token=token, **SMALL))
    assert "sent before with other values" in problems_in(send(rita, token=token, vendor="Umbrella", amount_minor="7"))
    assert stored(demo) == (2, 1)


def test_tokens_of_others_forged_old_and_outdated_ones_send_nothing(
    demo: Demo, rita: Client, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.join("otto", roles=("requester",))
    outdated = token_of(rita)
    put_workflow(demo, description="Other words.")
    for token in (token_of(console("otto")), "forged", "", f"{token_of(rita)}x", outdated):
        assert "Check it and send it again" in problems_in(send(rita, token=token, **SMALL)), token
    now = token_of(rita)
    monkeypatch.setattr("workitems.portal.tokens._MARGIN", timedelta(hours=24, seconds=1))
    assert "open for too long" in problems_in(send(rita, token=now, **SMALL))
    assert stored(demo) == (1, 0)


def test_a_workflow_that_changes_at_the_last_moment_sends_nothing(demo: Demo, rita: Client) -> None:
    ctx = acting(demo.tenant, User.objects.get(username="rita"), entry_point=EntryPoint.CONSOLE)
    with unit_of_work(demo.tenant.id):
        seen = requestable("payment_run", ctx=ctx)
    assert seen is not None
    put_workflow(demo, description="Pays something else.")
    with pytest.raises(errors.Conflict, match="changed"), unit_of_work(demo.tenant.id):
        submit_request(seen, {"vendor": "Hooli", "amount_minor": 5}, key="k1", ctx=ctx)
    assert stored(demo) == (1, 0)  # the item of the demo


def test_a_request_is_withdrawn_by_its_requester(demo: Demo, rita: Client) -> None:
    where = send(rita, **LARGE)["Location"]
    assert "Withdraw request" in rita.get(where).content.decode()
    assert rita.get(f"{where}withdraw/").status_code == 405
    asked = rita.post(f"{where}withdraw/")
    assert "ends. What was executed stays" in asked.content.decode()
    assert newest(demo).status == "awaiting_approval"
    confirm(rita, f"{where}withdraw/", {"given_reason": "Paid already."})
    page = rita.get(where).content.decode()
    assert "Withdrawn" in page
    assert "Withdraw request" not in page
    item = newest(demo)
    assert (item.status, item.ended_reason) == ("cancelled", "Paid already.")


def test_strangers_and_colleagues_see_nothing(demo: Demo, rita: Client, console: Console) -> None:
    where = send(rita, **LARGE)["Location"]
    demo.join("otto", roles=("requester",))
    for name in ("otto", "finance-1", "admin"):
        other = console(name)
        assert other.get(where).status_code == 404, name
        assert other.post(f"{where}withdraw/").status_code == 404, name
        assert where.split("/")[-2] not in other.get(REQUESTS).content.decode(), name
    assert newest(demo).status == "awaiting_approval"
    stranger = Client()
    for address in (FORM, REQUESTS, where, "/console/request/"):
        assert stranger.get(address)["Location"].startswith("/console/login/")


def test_who_lost_the_rights_sees_the_own_requests_no_longer(demo: Demo, rita: Client, console: Console) -> None:
    where = send(rita, **LARGE)["Location"]
    with unit_of_work(demo.tenant.id):
        define_role("counts", frozenset({Scope.TELEMETRY_READ}), ctx=acting_system(demo.tenant))
        set_roles(User.objects.get(username="rita"), ["counts"], ctx=acting_system(demo.tenant))
    browser = console("rita")
    assert browser.get(where).status_code == 404
    assert browser.post(f"{where}withdraw/").status_code == 404
    assert browser.post(f"{where}start/").status_code == 404
    for address in (REQUESTS, "/console/"):
        assert where not in browser.get(address).content.decode(), address
    assert newest(demo).status == "awaiting_approval"


def test_people_without_the_right_find_no_form(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert browser.get(FORM).status_code == 404
    assert browser.post(FORM, {"_send": "1"}).status_code == 404
    assert FORM not in browser.get("/console/").content.decode()


def test_workflows_without_a_declaration_have_no_form(demo: Demo, rita: Client) -> None:
    put_workflow(demo, request=None)
    assert rita.get(FORM).status_code == 404
    for slug in ("policy_review", "no_such", "a" * 300, "%00", "..%2f"):
        assert rita.get(f"/console/request/{slug}").status_code == 404, slug


def test_forms_of_other_sites_are_refused(demo: Demo) -> None:
    demo.join("rita", roles=("requester",))
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username="rita"))
    for address in (FORM, f"{REQUESTS}wi_0/withdraw/", f"{REQUESTS}wi_0/start/", f"{REQUESTS}drafts/rd_0/delete/"):
        assert browser.post(address, {"p/vendor": "Hooli", "_send": "1"}).status_code == 403, address


def test_declaring_needs_the_right_to_execute(demo: Demo) -> None:
    ctx = acting_system(demo.tenant)
    plain_payments(demo)
    with unit_of_work(demo.tenant.id):
        define_role("author", frozenset({Scope.WORKFLOW_MANAGE, Scope.WORKITEMS_READ}), ctx=ctx)
        workflow = Workflow.objects.select_related("current_version").get(slug="payment_run")
        spec = workflow.current_version.spec
    api = demo.join("ada", roles=("author",))
    declared = {**spec["request"], "action": "close", "integration": "int_workflow"}
    refused = api.post("/workflows/payment_run/versions", {"spec": {**spec, "request": declared}})
    assert refused.status_code == 403, refused.content
    assert refused.json()["errors"][0]["pointer"] == "/spec/request"
    kept = api.post("/workflows/payment_run/versions", {"spec": {**spec, "description": "Other words."}})
    assert kept.status_code == 201, kept.content


def test_pages_take_few_statements(
    demo: Demo, rita: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        where = send(rita, **LARGE)["Location"]
    for address, most in (("/console/", 24), (FORM, 24), (REQUESTS, 24), (where, 34)):
        with django_assert_max_num_queries(most):
            rita.get(address)


def test_the_requester_reads_why_it_was_rejected(demo: Demo, rita: Client) -> None:
    where = send(rita, **LARGE)["Location"]
    item = where.rstrip("/").rpartition("/")[2]
    comment = "We paid <this> invoice in May."
    step = demo.step_of(item)
    demo.vote("finance-1", step, "reject", reason_code="DUPLICATE", comment=comment)
    page = rita.get(where).content.decode()
    assert "We paid &lt;this&gt; invoice in May." in page
    assert "It was rejected by finance-1: DUPLICATE." in page
    portal_only(demo, "pat")
    with unit_of_work(demo.tenant.id):
        set_roles(User.objects.get(username="rita"), ["asks"], ctx=acting_system(demo.tenant))
    kept = rita.get(where).content.decode()
    assert "in May" not in kept, "who cannot read decisions reads no comment on a vote"
    assert "It was rejected" in kept


def test_addresses_at_the_root_lead_to_the_console(demo: Demo) -> None:
    browser = Client(headers={"accept": "text/html,application/xhtml+xml"})
    assert browser.get("/")["Location"] == "/console/"
    moved = browser.get("/request/payment_run?vendor=Hooli%20%26%20Co&x=%0d%0aSet-Cookie:a")
    assert moved["Location"] == "/console/request/payment_run?vendor=Hooli%20%26%20Co&x=%0d%0aSet-Cookie:a"
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        answer = Client(headers=headers).get("/")
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert browser.post("/").status_code == 404


def test_a_large_payload_is_shortened_on_pages(demo: Demo, rita: Client, console: Console) -> None:
    """80,000 empty objects are 240 KB, and were 10 MB of page, made in several seconds, for everyone who opened it."""
    put_workflow(demo, payload_schema={"type": "object"})
    own = demo.hand_in({"many": [{} for _ in range(60_000)], "last": "end"}, by=demo.api("rita"))
    for browser, address in ((rita, f"{REQUESTS}{own}/"), (console("admin"), f"/console/workitems/workitem/{own}/")):
        page = browser.get(address)
        assert page.status_code == 200, address
        rows = page.content.decode().partition("As JSON")[0]
        assert "Shortened" in rows
        assert len(rows) < 500_000
    whole = rita.get(f"{REQUESTS}{own}/?whole=1").content.decode()
    assert "Shortened" not in whole
    assert len(whole) > 2_000_000
