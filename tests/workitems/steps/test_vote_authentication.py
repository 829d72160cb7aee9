"""Authentication of voters: what rules require, and what votes, receipts and pages show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_token
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Authentication, AuthenticationMethod
from threada_site.tenancy.models import Credential
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Vote
from workitems.steps.vote_authentication import authentication_in_words
from workitems.steps.voting import Ballot, cast_vote

METHOD = AuthenticationMethod


def asking(office: Office, authentication: str) -> DecisionStep:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "authentication": authentication}}, RULES[3])
    return office.awaiting()[1]


def vote_with(office: Office, step: DecisionStep, authentication: Authentication, **more: Any) -> Vote:
    ctx = replace(office.ctx("fay"), authentication=authentication, **more)
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        return cast_vote(item, locked, Ballot(decision="approve", envelope_sha256=step.envelope_sha256), ctx=ctx)


def press(browser: Client, step: DecisionStep, **more: str) -> None:
    address = reverse("admin:workitems_decisionstep_approve", args=[step.public_id])
    browser.post(address, {"envelope_sha256": step.envelope_sha256, **more})


@pytest.mark.parametrize("authentication", ["session", "step_up", "phishing_resistant"])
def test_a_token_does_not_satisfy_a_rule_that_wants_more(office: Office, authentication: str) -> None:
    step = asking(office, authentication)
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    entry = {"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256}
    single = office.api("fay").post(f"/decision-steps/{step.public_id}/votes", body)
    batch = office.api("fay").post("/decision-steps/batch-votes", {"decision": "approve", "steps": [entry]})
    expected = "step_up_required" if authentication == "step_up" else "vote_authentication_required"
    assert {single.json()["reason_code"], batch.json()["reason_code"]} == {expected}
    assert office.count(Vote) == 0


def test_a_session_satisfies_session_and_nobody_phishing_resistant(office: Office) -> None:
    step = asking(office, "session")
    press(sign_in(office.people["fay"]), step)
    assert office.count(Vote) == 1
    strict = asking(office, "phishing_resistant")
    press(sign_in(office.people["fay"]), strict)
    assert office.count(Vote) == 1
    session = Authentication(method=METHOD.SESSION, at=clock.now(), factors=("password",))
    with pytest.raises(errors.VoteAuthenticationRequired, match="a passkey was used"):
        vote_with(office, strict, session)
    vote_with(office, strict, replace(session, factors=("passkey",)))


def test_a_token_that_somebody_else_issued_to_a_person_never_counts(office: Office) -> None:
    _, step, _ = office.awaiting()
    token = make_token(office.tenant, office.people["fay"])
    with unit_of_work(office.tenant.id):
        Credential.objects.filter(user=office.people["fay"]).update(issued_by=office.people["ada"].id)
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    answer = Api(token).post(f"/decision-steps/{step.public_id}/votes", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "vote_authentication_required")


def test_vote_receipt_and_page_name_the_authentication(office: Office) -> None:
    _, step, _ = office.awaiting()
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    answer = office.api("fay").post(f"/decision-steps/{step.public_id}/votes", body).json()
    assert answer["authentication"]["method"] == "operator_token"
    assert answer["authentication"]["issued_by"] == "operator"
    assert answer["authentication"]["credential"].startswith("cr_")
    (receipt,) = office.bodies("vote.recorded")
    assert receipt["inputs"]["authentication"] == answer["authentication"]
    browser = sign_in(office.people["finn"])
    press(browser, step)
    with unit_of_work(office.tenant.id):
        stored = Vote.objects.get(voter=office.people["finn"]).authentication
    assert (stored["method"], stored["factors"], stored["issued_by"]) == ("session", ["password"], None)
    page = browser.get(reverse("admin:workitems_decisionstep_change", args=[step.public_id])).content.decode()
    assert "with a token issued by the operator" in page
    assert "in a session with password, signed in" in page


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"method": "session", "factors": ["password", "passkey"]}, "in a session with password and passkey"),
        ({"method": "personal_token"}, "with a personal token"),
        ({"method": "issued_token", "issued_by": "pr_x"}, "with a token issued by pr_x"),
        ({"method": "none"}, ""),
        ({}, ""),
    ],
)
def test_authentications_in_words(stored: dict[str, Any], words: str) -> None:
    assert authentication_in_words(stored) == words


def test_agents_advise_without_a_session(office: Office) -> None:
    step = asking(office, "session")
    office.join("robo", kind="agent", roles=("approver", "finance"))
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    answer = office.api("robo").post(f"/decision-steps/{step.public_id}/votes", body)
    assert (answer.status_code, answer.json()["counted"]) == (201, False)
