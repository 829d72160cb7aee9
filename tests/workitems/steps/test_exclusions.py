"""Exclusions by part in the case; no credential turns an agent into a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from policies.drafts.edit import draft_policy_version
from policies.models import Policy
from policies.publication.publish import publish_policy_version
from tests.client import Api
from tests.factories import make_token
from tests.jobs import run_jobs
from tests.workitems.office import RULES, Office
from tests.workitems.steps.test_matrix import DOORS
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.groups import define_group
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, errors
from threada_site.tenancy.models import User
from workitems.executions.close_item import edit_payload
from workitems.models import DecisionStep, Delegation, Vote

ANYBODY = {"scope": "decisions:decide", "count": 2}


def asking(office: Office, *exclude: str, **approvals: Any) -> None:
    rule = {**RULES[1], "approvals": {**(approvals or ANYBODY), "exclude": list(exclude)}}
    office.put_rules(RULES[0], rule, *RULES[2:])


def excluded(office: Office, step: DecisionStep) -> set[str]:
    """Return the names of the excluded principals; `keeper` owns agents and services unless a test says otherwise."""
    return set(User.objects.filter(id__in=office.step(step).excluded_ids).values_list("username", flat=True))


def own(office: Office, principal: str, owner: str) -> None:
    with unit_of_work(office.tenant.id):
        set_owner(office.people[principal], owner, ctx=office.system)


def delegate(office: Office, absent: str, to: str) -> None:
    now = clock.now()
    with unit_of_work(office.tenant.id):
        Delegation.objects.create(
            tenant=office.tenant,
            delegator=office.people[absent],
            delegate=office.people[to],
            starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(days=1),
            consented_at=now,
        )


def test_the_owner_of_the_agent_that_asked_is_excluded(office: Office) -> None:
    office.join("robo", kind="agent", roles=("client",))
    own(office, "robo", "fay")
    asking(office, "agent_owner")
    _, step, _ = office.awaiting(by="robo")
    assert excluded(office, step) == {"fay", "robo", "rita"}
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.count(Vote) == 1


@pytest.mark.parametrize("part", ["poster", "requester", "caller", "editor"])
def test_the_owner_is_excluded_whatever_part_the_agent_has(office: Office, part: str) -> None:
    office.join("robo", kind="agent", roles=("client",))
    office.join("on_behalf", kind="service", roles=("tenant_admin",))
    own(office, "robo", "fay")
    asking(office, "agent_owner")
    asked = {"requester": "robo"} if part == "requester" else {}
    item = office.decided(500, by={"poster": "robo", "requester": "on_behalf"}.get(part, "rita"), **asked)
    if part == "editor":
        office.on_item(item, edit_payload, by="robo", payload={"amount": 600})
        item = office.item(item)
    started = office.execute(item, by="robo" if part == "caller" else "rita")
    assert started.step is not None
    others = {"rita", *({"on_behalf", "keeper"} if part == "requester" else ())}
    assert excluded(office, started.step) == {"fay", "robo", *others}


def test_an_empty_list_alone_excludes_nobody(office: Office) -> None:
    office.join("robo", kind="agent", roles=("client",))
    asking(office, "agent_owner")
    assert excluded(office, office.awaiting(by="robo")[1]) == {"robo", "rita", "keeper"}
    own(office, "robo", "fay")
    asking(office, "requester")
    assert excluded(office, office.awaiting(by="robo")[1]) == {"robo", "rita", "fay"}
    asking(office)
    _, step, _ = office.awaiting(by="robo")
    assert excluded(office, step) == set()
    office.vote(step, "fay")


@pytest.mark.parametrize("door", DOORS)
def test_the_defaults_are_excluded_without_a_list(office: Office, door: str) -> None:
    office.join("robo", kind="agent", roles=("client",))
    own(office, "robo", "fay")
    with unit_of_work(office.tenant.id):
        grant_role(office.people["finn"], "client", ctx=office.system)
        grant_role(office.people["fred"], "client", ctx=office.system)
    office.put_rules(RULES[0], {**RULES[1], "approvals": ANYBODY}, *RULES[2:])
    item = office.decided(500, by="robo")
    office.on_item(item, edit_payload, by="finn", payload={"amount": 501})
    started = office.execute(office.item(item), by="fred")
    assert started.step is not None
    assert excluded(office, started.step) == {"robo", "fay", "finn", "fred"}
    votes = {name: DOORS[door](office, [started.step], name, "approve") for name in ("fay", "finn", "fred", "vera")}
    assert votes == {"fay": "voter_excluded", "finn": "voter_excluded", "fred": "voter_excluded", "vera": "pending"}


@pytest.mark.parametrize("kind", ["agent", "service"])
def test_the_defaults_are_excluded_from_a_review(office: Office, kind: str) -> None:
    office.join("robo", kind=kind, roles=("client",))
    own(office, "robo", "fay")
    item = office.decided(5, by="robo", confidence=0.5)
    assert excluded(office, office.pending_step(item)) == {"robo", "fay"}
    with pytest.raises(errors.VoterExcluded):
        office.vote(office.pending_step(item), "fay")


def test_the_defaults_are_excluded_from_an_approval_that_an_action_asked_for(office: Office) -> None:
    office.join("robo", kind="agent", roles=("client",))
    own(office, "robo", "fay")
    item = office.decided(5)
    office.execute(item, integration="desk", action="request_approval", by="robo")
    run_jobs()
    assert excluded(office, office.pending_step(item)) == {"robo", "fay", "rita"}


def test_the_last_editor_is_excluded(office: Office) -> None:
    asking(office, "last_editor")
    item = office.decided(500)
    with unit_of_work(office.tenant.id):
        grant_role(office.people["fay"], "requester", ctx=office.system)
    office.on_item(item, edit_payload, by="fay", payload={"amount": 501})
    started = office.execute(office.item(item))
    assert started.step is not None
    assert excluded(office, started.step) == {"fay", "rita"}


def test_author_and_publisher_of_the_policy_are_excluded(office: Office) -> None:
    rule = {**RULES[1], "approvals": {**ANYBODY, "exclude": ["policy_author"]}}
    with unit_of_work(office.tenant.id):
        grant_role(office.people["fay"], "policy_author", ctx=office.system)
        grant_role(office.people["finn"], "policy_publisher", ctx=office.system)
    with unit_of_work(office.tenant.id):
        result = draft_policy_version("rules", {"rules": [rule, RULES[3]]}, ctx=office.ctx("fay"))
    with unit_of_work(office.tenant.id):
        publish_policy_version(result.row, ctx=office.ctx("finn"))
    _, step, _ = office.awaiting()
    assert excluded(office, step) == {"fay", "finn", "rita"}
    with unit_of_work(office.tenant.id):
        assert Policy.objects.get(slug="rules").in_force_id == result.row.id
    assert step.policy_version_ids == [result.row.id]


def test_the_delegator_of_an_excluded_delegate_is_excluded(office: Office) -> None:
    office.join("max", roles=("tenant_admin", "finance"))
    delegate(office, absent="fay", to="max")
    asking(office, "requester")
    _, step, _ = office.awaiting(by="max")
    assert excluded(office, step) == {"max", "rita", "fay"}
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "fay")


def test_members_of_a_group_decide(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        define_group("board", ["fay", "vera", "wim"], ctx=office.system)
    asking(office, "requester", group="board", count=2)
    item, step, _ = office.awaiting()
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "finn")
    with pytest.raises(errors.PermissionDenied):
        office.vote(step, "wim")
    office.vote(step, "vera")
    with unit_of_work(office.tenant.id):
        define_group("board", ["vera", "finn"], ctx=office.system)
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.item(item).status == "executing"


def test_who_left_is_in_no_group(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        define_group("board", ["fay", "vera"], ctx=office.system)
    asking(office, "requester", group="board", count=2)
    _, step, _ = office.awaiting()
    assert office.api("ada").get(f"/decision-steps/{step.public_id}").json()["nobody_can_decide"] is False
    with unit_of_work(office.tenant.id):
        remove_member(office.people["fay"], ctx=office.system)
    assert office.api("ada").get(f"/decision-steps/{step.public_id}").json()["nobody_can_decide"] is True


@pytest.mark.parametrize("kind", ["agent", "service"])
@pytest.mark.parametrize("scopes", [None, ["workitems:read", "decisions:decide"]])
@pytest.mark.parametrize("role", [None, "finance"])
def test_no_credential_makes_a_person_of_an_agent(
    office: Office, kind: str, scopes: list[str] | None, role: str | None
) -> None:
    """Its token may hold what a person's holds, in the same classes: the kind is on the principal."""
    office.join("robo", kind=kind, roles=("tenant_admin", "finance", "approver"))
    with unit_of_work(office.tenant.id):
        define_group("board", ["robo"], ctx=office.system)
    office.put_rules(
        {**RULES[1], "approvals": {"any": [{"role": "finance"}, {"group": "board"}, {"user": "robo"}]}}, RULES[3]
    )
    _, step, _ = office.awaiting()
    api = Api(make_token(office.tenant, office.people["robo"], scopes), {"Threada-Role": role} if role else None)
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256, "comment": "Matches the contract."}
    answer = api.post(f"/decision-steps/{step.public_id}/votes", body)
    assert (answer.status_code, answer.json()["counted"]) == (201, False)
    assert (answer.json()["voter_kind"], answer.json()["step_status"]) == (kind, "pending")
    shown = office.api("fay").get(f"/decision-steps/{step.public_id}").json()
    assert [(vote["voter_kind"], vote["counted"], vote["comment"]) for vote in shown["votes"]] == [
        (kind, False, "Matches the contract.")
    ]
    assert shown["waiting_for"] == [{"role": "finance", "missing": 1}]
    assert office.bodies("vote.recorded")[-1]["outcome"] == {"decision": "approve", "counted": False}


def test_the_database_counts_people_alone(office: Office) -> None:
    office.join("robo", kind="agent", roles=("approver",))
    _, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id), transaction.atomic():
        with pytest.raises(IntegrityError, match="vote_counts_for_people_alone"), transaction.atomic():
            Vote.objects.create(
                tenant=office.tenant,
                step=step,
                voter=office.people["robo"],
                voter_kind="agent",
                decision="approve",
                envelope_sha256=step.envelope_sha256,
                counted=True,
            )
        assert Vote.objects.count() == 0


@pytest.mark.parametrize(("on_reject", "status"), [("ready", "ready"), ("end", "rejected")])
def test_an_approval_that_an_action_asked_for_follows_the_workflow(office: Office, on_reject: str, status: str) -> None:
    office.upsert_workflow(on_reject=on_reject)
    item = office.decided(5)
    office.execute(item, integration="desk", action="request_approval")
    run_jobs()
    step = office.pending_step(item)
    office.vote(step, "fay", "reject")
    assert (office.step(step).status, office.item(item).status) == ("rejected", status)


def test_an_approval_asked_at_intake_ends_the_item_all_the_same(office: Office) -> None:
    office.upsert_workflow(on_reject="ready")
    office.put_rules({**RULES[1], "when": "true", "at": "intake", "approvals": {"role": "finance"}})
    item = office.decided(5)
    office.vote(office.pending_step(item), "fay", "reject")
    assert office.item(item).status == "rejected"
