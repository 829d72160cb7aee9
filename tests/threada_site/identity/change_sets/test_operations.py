"""Every operation of change sets: proposed without a write, then carried out for an independent person."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from integrations.configuration.configure import upsert_integration, withdraw_integration
from integrations.configuration.secrets import upsert_secret
from policies import selectors
from policies.configuration.calendars import upsert_calendar
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.configuration.removal import remove_calendar, remove_channel, withdraw_list, withdraw_workflow
from policies.configuration.workflows import upsert_workflow
from policies.documents.calendar import parse_calendar
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.models import PolicyVersion
from policies.publication.publish import publish_policy_version, retire_policy_version
from tests.contract.world import made, rows_of_everything
from tests.factories import acting_system, make_principal, make_tenant, stepped_up
from tests.threada_site.identity.change_sets.offices import STRICT, Office, make_office
from tests.threada_site.identity.trusted_issuers.issuer import mapping, offline_spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.grants.object_grants import object_named, set_object_scopes
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.identity.providers.configure import upsert_provider, withdraw_provider
from threada_site.identity.roles import define_role, remove_role, set_role_require_mfa, set_role_visibility
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope, Visibility
from threada_site.kernel.documents.reader import load_documents
from threada_site.tenancy.change_sets import OPERATIONS
from threada_site.tenancy.models import User
from workitems.configuration.apply import apply_documents
from workitems.configuration.packs import install_pack, remove_pack
from workitems.retention.rules import parse_retention
from workitems.retention.upsert_rule import upsert_retention_rule, withdraw_retention

type Change = Callable[[ActingContext], Any]

SPEC = {"connector": "workflow", "actions": {"close": {}}}
CALENDAR = {"time_zone": "Europe/Berlin", "hours": {"monday": ["08:00-12:00"]}}
RETENTION = {"workflow": "wages", "keep_payload": "P1Y"}
CHANGES: dict[str, Change] = {
    "overlay.put": lambda ctx: upsert_overlay("lenient", OverlayScope("workflow", "wages"), ctx=ctx),
    "overlay.remove": lambda ctx: remove_overlay(selectors.overlays(ctx).get(), ctx=ctx),
    "list.put": lambda ctx: upsert_list("sanctioned", parse_list({"items": []}), ctx=ctx),
    "list.withdraw": lambda ctx: withdraw_list("sanctioned", ctx=ctx),
    "calendar.put": lambda ctx: upsert_calendar("other", parse_calendar(CALENDAR), ctx=ctx),
    "calendar.remove": lambda ctx: remove_calendar("office", ctx=ctx),
    "channel.put": lambda ctx: upsert_channel("mail", name="Renamed", ctx=ctx),
    "channel.remove": lambda ctx: remove_channel("mail", ctx=ctx),
    "workflow.put": lambda ctx: upsert_workflow("wages", parse_workflow({"actions": ["pay", "close"]}), ctx=ctx),
    "workflow.withdraw": lambda ctx: withdraw_workflow("unbound", ctx=ctx),
    "integration.put": lambda ctx: upsert_integration(
        "desk", {**SPEC, "actions": {"close": {}, "request_approval": {"question": "Go?"}}}, ctx=ctx
    ),
    "secret.put": lambda ctx: upsert_secret("token", "value", origins=["https://bank.example"], ctx=ctx),
    "integration.withdraw": lambda ctx: withdraw_integration("desk", ctx=ctx),
    "retention_rule.put": lambda ctx: upsert_retention_rule(
        "wages", parse_retention({**RETENTION, "keep_payload": "P2Y"}), ctx=ctx
    ),
    "retention_rule.withdraw": lambda ctx: withdraw_retention("wages", ctx=ctx),
    "policy.publish": lambda ctx: publish_policy_version(version("lenient", "draft"), ctx=ctx, needs_report=False),
    "policy.retire": lambda ctx: retire_policy_version(version("strict", "published"), ctx=ctx),
    "apply": lambda ctx: apply_documents(documents({"kind": "Channel", "id": "fax"}), ctx=ctx),
    "pack.remove": lambda ctx: remove_pack("bundle", ctx=ctx),
    "identity.define_role": lambda ctx: define_role("clerk", frozenset({Scope.WORKITEMS_READ}), ctx=ctx),
    "identity.set_role_visibility": lambda ctx: set_role_visibility("spare", Visibility.OWN, ctx=ctx),
    "identity.set_role_require_mfa": lambda ctx: set_role_require_mfa("spare", True, ctx=ctx),
    "identity.remove_role": lambda ctx: remove_role("spare", ctx=ctx),
    "identity.set_roles": lambda ctx: set_roles(member("vera"), ["approver"], ctx=ctx),
    "identity.define_group": lambda ctx: define_group("team", ["ada"], ctx=ctx),
    "identity.remove_group": lambda ctx: remove_group("team", ctx=ctx),
    "identity.add_principal": lambda ctx: add_principal("helper", kind=PrincipalKind.AGENT, ctx=ctx),
    "identity.remove_member": lambda ctx: remove_member(member("vera"), ctx=ctx),
    "identity.set_owner": lambda ctx: set_owner(member("robot"), "vera", ctx=ctx),
    "identity.set_object_scopes": lambda ctx: set_object_scopes(
        member("vera"), object_named("workflow", "wages", ctx=ctx), frozenset({Scope.WORKITEMS_READ}), ctx=ctx
    ),
    "identity.put_trusted_issuer": lambda ctx: upsert_trusted_issuer(
        "ci", parse_trusted_issuer({**TRUSTED, "mappings": [mapping(scopes=["workitems:read"])]}), ctx=ctx
    ),
    "identity.withdraw_trusted_issuer": lambda ctx: withdraw_trusted_issuer("ci", ctx=ctx),
    "identity.put_identity_provider": lambda ctx: upsert_provider("corp", {**PROVIDER, "name": "Group"}, ctx=ctx),
    "identity.withdraw_identity_provider": lambda ctx: withdraw_provider("corp", ctx=ctx),
}
PROVIDER = {"protocol": "oidc", "name": "Corp", "issuer": "https://id.example.com", "client_id": "threada"}
TRUSTED = offline_spec()
ELSEWHERE = {
    "decision_step.escalate": ("tests/workitems/steps/test_escalation.py", '"decision_step.escalate"'),
    "identity.confirm_credential": ("tests/threada_site/scim/test_access.py", "credential_unconfirmed"),
    "identity.grant_provider_role": ("tests/threada_site/sign_in/test_providers.py", '"identity.grant_provider_role"'),
    "identity.invite_again": ("tests/threada_site/identity/test_accounts.py", "invite_again(person"),
    "integration.accept_tools": ("tests/workitems/mcp/test_gateway.py", "accept_tools"),
    "legal_hold.lift": ("tests/workitems/retention/test_legal_holds.py", '"legal_hold.lift"'),
    "principal.factor_reset": ("tests/threada_site/identity/factors/test_factors.py", '"principal.factor_reset"'),
    "principal.password_reset": ("tests/threada_site/identity/test_accounts.py", '"principal.password_reset"'),
    "tenant.delete": ("tests/threada_site/runtime/tenants/test_a_tenant_moves.py", "/tenant-deletion"),
    "tenant.personal_token_days": ("tests/threada_site/identity/test_accounts.py", "personal_token_days"),
}
"""Operations with tests of their own: file, and a text in it."""


def proposer(furnished: Office, name: str) -> ActingContext:
    """Return the service, or a person after a step-up for what only people write."""
    is_of_people = name.endswith(("_identity_provider", "_trusted_issuer"))
    return stepped_up(furnished.context("ada")) if is_of_people else furnished.context("robot")


def version(policy: str, status: str) -> PolicyVersion:
    return PolicyVersion.objects.filter(policy__slug=policy, status=status).latest("number")


def member(name: str) -> User:
    return User.objects.get(username=name)


def documents(*values: Any) -> list[Any]:
    return [document for value in values for document in load_documents(json.dumps(value), source="test")]


@pytest.fixture
def furnished(db: None, settings: Settings) -> Office:
    """Return an office with something for every operation, under `policy_four_eyes`."""
    settings.THREADA_PUBLIC_URL = "https://threada.test"
    found = make_office(make_tenant("furnished"))
    ctx = found.context("ada")
    with unit_of_work(ctx.tenant_id):
        upsert_list("sanctioned", parse_list({"items": ["Initech"]}), ctx=ctx)
        upsert_calendar("office", parse_calendar(CALENDAR), ctx=ctx)
        upsert_channel("mail", ctx=ctx)
        upsert_workflow("unbound", parse_workflow({}), ctx=ctx)
        upsert_integration("desk", SPEC, ctx=ctx)
        upsert_retention_rule("wages", parse_retention(RETENTION), ctx=ctx)
        pack = {"kind": "Pack", "id": "bundle", "spec": {"version": "1", "documents": [{"kind": "Channel", "id": "x"}]}}
        (document,) = documents(pack)
        install_pack(document, ctx=ctx)
    make_principal(found.tenant, "vera", roles=["viewer"])
    system = acting_system(found.tenant)
    with unit_of_work(ctx.tenant_id):
        define_role("spare", frozenset({Scope.WORKITEMS_READ}), ctx=system)
        define_group("team", ["vera"], ctx=system)
        upsert_trusted_issuer("ci", parse_trusted_issuer(TRUSTED), ctx=system)
        upsert_provider("corp", PROVIDER, ctx=system)
    made(found.ada.post("/policies/lenient/versions", {"document": STRICT}))
    found.require()
    return found


def test_every_operation_is_tested() -> None:
    assert OPERATIONS.keys() - ELSEWHERE.keys() == CHANGES.keys()
    for file, text in ELSEWHERE.values():
        assert text in Path(file).read_text()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_proposed_and_carried_out(furnished: Office, name: str) -> None:
    robot, ben = proposer(furnished, name), stepped_up(furnished.context("ben"))
    rows = rows_of_everything(but=frozenset())
    with pytest.raises(errors.ConfirmationRequired) as refused, unit_of_work(robot.tenant_id):
        CHANGES[name](robot)
    assert rows_of_everything(but=frozenset()) == rows
    change = refused.value.change
    is_identity = name.startswith("identity.") and not name.endswith("_group")
    assert (change.operation, change.rule) == (name, "identity_four_eyes" if is_identity else "policy_four_eyes")
    assert change.before != change.after
    with unit_of_work(robot.tenant_id):
        change_set = propose(change, ctx=robot)
    if name == "policy.publish":
        with pytest.raises(errors.ReplayReportRequired), unit_of_work(ben.tenant_id):
            publish(change_set, change_set.digest, ctx=ben)
        return
    with unit_of_work(ben.tenant_id):
        publish(change_set, change_set.digest, ctx=ben)
    with unit_of_work(ben.tenant_id):
        assert propose(change, ctx=robot).id != change_set.id
    assert rows_of_everything(but=frozenset()) != rows


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"policy.publish"}))
def test_nobody_publishes_it_without_its_scopes(furnished: Office, name: str) -> None:
    robot = proposer(furnished, name)
    with pytest.raises(errors.ConfirmationRequired) as refused, unit_of_work(robot.tenant_id):
        CHANGES[name](robot)
    with unit_of_work(robot.tenant_id):
        change_set = propose(refused.value.change, ctx=robot)
    scope = OPERATIONS[name].scope
    for missing in {scope or Scope.WORKFLOW_MANAGE, Scope.POLICIES_PUBLISH}:
        ben = stepped_up(furnished.context("ben"))
        ben = replace(ben, scopes=frozenset(held for held in ben.scopes if held != missing))
        with pytest.raises(errors.PermissionDenied), unit_of_work(ben.tenant_id):
            publish(change_set, change_set.digest, ctx=ben)
