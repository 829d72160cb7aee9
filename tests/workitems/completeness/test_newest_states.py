"""Rows that SQL with the web's login puts back to an earlier state, although the receipts of that state exist."""

from __future__ import annotations

import uuid
from typing import Any, Final

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from psycopg import sql

from integrations.models import Integration
from policies.configuration.calendars import upsert_calendar
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.removal import remove_channel
from policies.documents.calendar import parse_calendar
from policies.documents.list import parse_list
from policies.drafts.edit import discard_draft, draft_policy_version
from policies.models import EmergencyPublication, Policy, PolicyVersion, Workflow
from policies.publication.emergencies import end_emergency
from policies.publication.publish import retire_policy_version, upsert_policy
from tests.policies.emergencies import alone
from tests.policies.rulebooks import rule, spec
from tests.threada_site.identity.trusted_issuers.issuer import offline_spec
from tests.workitems.office import RULES, Office
from tests.workitems.retention.archives import put_rule
from threada_site.database.roles import APP
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import issue_credential, revoke_credential
from threada_site.identity.dependence import confirm_account, record_dependence
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.identity.providers.configure import upsert_provider, withdraw_provider
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, POLICY_FOUR_EYES
from threada_site.tenancy.identity_provider_models import IdentityProvider
from threada_site.tenancy.models import Role
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer
from workitems.completeness.newest_states import states_unlike_newest_receipts
from workitems.models import RetentionRule

PROVIDER: Final = {"protocol": "oidc", "name": "Corp", "issuer": "https://id.example.com", "client_id": "threada"}
DOORS: Final[dict[str, tuple[str, str]]] = {
    "revoked credential": (
        "UPDATE tenancy_credential SET revoked_at = NULL WHERE id = {revoked}",
        "credential {revoked}: not revoked, but its newest receipt says revoked",
    ),
    "credential of somebody who left": (
        "UPDATE tenancy_credential SET revoked_at = NULL WHERE id = {left}",
        "credential {left}: not revoked, but its newest receipt says revoked",
    ),
    "deleted four-eyes rule": (
        "DELETE FROM tenancy_foureyesrule WHERE slug = 'policy_four_eyes'",
        "four-eyes rule policy_four_eyes: missing, but its newest receipt says required",
    ),
    "ended four-eyes rule": (
        "UPDATE tenancy_foureyesrule SET is_required = false WHERE slug = 'policy_four_eyes'",
        "four-eyes rule policy_four_eyes: not required, but its newest receipt says required",
    ),
    "requested end of a four-eyes rule": (
        "UPDATE tenancy_foureyesrule SET end_asked_by = {fay}, end_asked_at = now() WHERE slug = 'policy_four_eyes'",
        "four-eyes rule policy_four_eyes: required, end requested, but its newest receipt says required",
    ),
    "policy in force": (
        "UPDATE policies_policy SET in_force_id = {replaced_rules} WHERE slug = 'rules'",
        "version in force of the policy rules: {replaced_rules}, but its newest receipt says {rules}",
    ),
    "policy not in force": (
        "UPDATE policies_policy SET in_force_id = NULL WHERE slug = 'rules'",
        "version in force of the policy rules: none, but its newest receipt says {rules}",
    ),
    "retired policy": (
        "UPDATE policies_policy SET in_force_id = {retired_rules} WHERE slug = 'former'",
        "version in force of the policy former: {retired_rules}, but its newest receipt says none",
    ),
    "list": (
        (
            "UPDATE policies_list SET current_version_id = v.id FROM policies_listversion v "
            "WHERE v.list_id = policies_list.id AND v.number = 1 AND slug = 'watched'"
        ),
        "current version of the list watched: 1, but its newest receipt says 3",
    ),
    "workflow": (
        "UPDATE policies_workflow SET current_version_id = {replaced_workflow} WHERE slug = 'payments'",
        "current version of the workflow payments: {replaced_workflow}, but its newest receipt says {workflow}",
    ),
    "integration": (
        "UPDATE integrations_integration SET current_version_id = {replaced_integration} WHERE slug = 'bank'",
        "current version of the integration bank: {replaced_integration}, but its newest receipt says {integration}",
    ),
    "trusted issuer": (
        "UPDATE tenancy_trustedissuer SET current_version_id = {replaced_issuer} WHERE slug = 'ci'",
        "current version of the trusted issuer ci: {replaced_issuer}, but its newest receipt says {issuer}",
    ),
    "withdrawn identity provider": (
        "UPDATE tenancy_identityprovider SET current_version_id = {provider} WHERE slug = 'corp'",
        "current version of the identity provider corp: {provider}, but its newest receipt says none",
    ),
    "retention rule": (
        "UPDATE workitems_retentionrule SET current_version_id = {replaced_retention} WHERE slug = 'all'",
        "current version of the retention rule all: {replaced_retention}, but its newest receipt says {retention}",
    ),
    "calendar": (
        "UPDATE policies_calendar SET document = jsonb_set(document, '{{time_zone}}', '\"Asia/Tokyo\"')",
        "digest of the calendar office: ",
    ),
    "owner": (
        "UPDATE tenancy_membership SET owner_id = {fay} WHERE user_id = {robot}",
        "owner of {robot}: {fay}, but its newest receipt says {fred}",
    ),
    "withdrawn role": (
        "INSERT INTO tenancy_user_groups (user_id, group_id) VALUES ({fay}, {approver_group})",
        "role of {fay} approver: granted, but its newest receipt says withdrawn",
    ),
    "deleted dependence": (
        "DELETE FROM tenancy_accountdependence WHERE user_id = {finn}",
        "dependence of {finn} {ada}: missing, but its newest receipt says open",
    ),
    "ended dependence": (
        "UPDATE tenancy_accountdependence SET ended_at = now(), ended_how = 'operator' WHERE user_id = {finn}",
        "dependence of {finn} {ada}: confirmed, but its newest receipt says open",
    ),
    "removed channel": (
        (
            "INSERT INTO policies_channel (id, tenant_id, created_at, slug, name) "
            "VALUES (gen_random_uuid(), {tenant}, now(), 'portal', '')"
        ),
        "channel portal: present, but its newest receipt says removed",
    ),
    "removed member": (
        (
            "INSERT INTO tenancy_membership (id, tenant_id, created_at, user_id, accepted_at) "
            "VALUES (gen_random_uuid(), {tenant}, now(), {wim}, now())"
        ),
        "member {wim}: present, but its newest receipt says removed",
    ),
}
"""Statement of SQL, and the finding: ids in the statement, public ids in the finding."""


def _policies(office: Office) -> dict[str, Any]:
    """Publish, retire and put back versions, so that the newest receipts are of every kind."""
    ada = office.ctx("ada")
    replaced = Policy.objects.get(slug="rules").in_force
    alone(draft_policy_version("rules", spec(rule("emergency", "allow")), ctx=ada).row, ada)
    end_emergency(EmergencyPublication.objects.get(), ctx=ada)
    assert Policy.objects.get(slug="rules").in_force == replaced
    upsert_policy("rules", {"rules": RULES[1:]}, ctx=ada)
    discard_draft(draft_policy_version("rules", {"rules": RULES[2:]}, ctx=ada).row, ctx=ada)
    upsert_policy("former", spec(rule("former", "allow")), ctx=ada)
    retired = retire_policy_version(PolicyVersion.objects.get(policy__slug="former"), ctx=ada)
    return {
        "replaced_rules": replaced,
        "rules": Policy.objects.get(slug="rules").in_force,
        "retired_rules": retired,
    }


def _documents(office: Office) -> dict[str, Any]:
    ada = office.ctx("ada")
    for items in (["Hooli"], ["Hooli", "Initech"], ["Hooli"]):
        upsert_list("watched", parse_list({"items": items}), ctx=ada)
    for hours in ("10:00-17:00", "09:00-17:00"):
        document = {"time_zone": "Asia/Kathmandu", "hours": {"friday": [hours]}}
        upsert_calendar("office", parse_calendar(document), ctx=ada)
    upsert_channel("portal", ctx=ada)
    remove_channel("portal", ctx=ada)
    for _ in range(2):
        upsert_trusted_issuer("ci", parse_trusted_issuer(offline_spec()), ctx=office.system)
    upsert_provider("corp", PROVIDER, ctx=office.system)
    withdraw_provider("corp", ctx=office.system)
    current: dict[str, Any] = {
        "workflow": Workflow.objects.get(slug="payments"),
        "integration": Integration.objects.get(slug="bank"),
        "issuer": TrustedIssuer.objects.get(),
        "provider": IdentityProvider.objects.get(),
        "retention": RetentionRule.objects.get(),
    }
    versions = {name: list(row.versions.order_by("number")) for name, row in current.items()}
    return {f"replaced_{name}": rows[0] for name, rows in versions.items()} | {
        name: rows[-1] for name, rows in versions.items()
    }


def _people(office: Office) -> dict[str, Any]:
    system, people = office.system, office.people
    robot = office.join("robot", kind="agent", roles=("client",))
    for owner in ("fay", "", "fred"):
        set_owner(robot, owner, ctx=system)
    for who in ("fay", "finn"):
        withdraw_role(people[who], "approver", ctx=system)
    grant_role(people["finn"], "approver", ctx=system)
    record_dependence(people["finn"], DependenceReason.CREATED, ctx=office.ctx("ada"))
    confirm_account(people["finn"], ctx=system)
    record_dependence(people["finn"], DependenceReason.CREATED, ctx=office.ctx("ada"))
    revoked, left = (
        issue_credential(principal=people[who], scopes=[Scope.WORKITEMS_READ], ctx=system).credential
        for who in ("fay", "wim")
    )
    revoke_credential(revoked, ctx=system)
    remove_member(people["wim"], ctx=system)
    turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.ctx("ada"))
    for who in ("ada", "bo"):
        end_four_eyes(POLICY_FOUR_EYES, ctx=office.ctx(who))
    turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.ctx("ada"))
    turn_on_four_eyes(FREEZE_FOUR_EYES, ctx=office.ctx("ada"))
    end_four_eyes(FREEZE_FOUR_EYES, ctx=office.ctx("ada"))
    return {"revoked": revoked, "left": left, "robot": robot, **people}


@pytest.fixture
def changed(office: Office, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Change rows of the office back and forth. Return the rows by their names in `DOORS`."""
    monkeypatch.setattr(settings, "THREADA_PUBLIC_URL", "https://threada.test")
    office.join("bo", roles=("tenant_admin",))
    office.upsert_workflow(reject_reasons=["WRONG"])
    office.put_bank(base_url="http://127.0.0.1:10")
    for days in ("P90D", "P30D"):
        put_rule(office, keep_payload=days)
    with unit_of_work(office.tenant.id):
        rows = {**_policies(office), **_documents(office), **_people(office)}
        rows["approver_group"] = Role.objects.get(slug="approver").group
    return {**rows, "tenant": office.tenant}


def _by_web(statement: str, rows: dict[str, Any]) -> None:
    """Run a statement as the web's login, with the ids of the rows."""
    named = {name: sql.Literal(row.pk) for name, row in rows.items()}
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {APP}")
        cursor.execute(sql.SQL(statement).format(**named))
        assert cursor.rowcount > 0
        cursor.execute("SET LOCAL ROLE NONE")


def _verified(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Return exit status and lines of `manage.py verify_receipts`."""
    code = 0
    try:
        call_command("verify_receipts", "--tenant", "acme")
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    return code, capsys.readouterr().out.splitlines()


def test_rows_that_sql_puts_back_are_named(
    office: Office, changed: dict[str, Any], capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    named = {name: getattr(row, "public_id", "") for name, row in changed.items()}
    unchanged = _verified(capsys)
    assert unchanged[0] == 0
    for door, (statement, expected) in DOORS.items():
        with subtests.test(door), transaction.atomic():
            with unit_of_work(office.tenant.id):
                _by_web(statement, changed)
            code, lines = _verified(capsys)
            transaction.set_rollback(True)
            assert code == 1
            assert [line for line in lines if line.startswith(f"acme: {expected.format(**named)}")], lines
    assert _verified(capsys) == unchanged


RULE: Final = "policy_four_eyes"


def _receipts(*said: tuple[str, int | None]) -> list[tuple[uuid.UUID, int | None, dict[str, Any]]]:
    """Return receipts about the four-eyes rule in the order of their ids: kind and index in the log."""
    return [(ids.new_uuid(), index, {"kind": kind, "inputs": {"rule": RULE}}) for kind, index in said]


def test_a_row_is_not_compared_if_the_order_of_its_receipts_is_uncertain(office: Office) -> None:
    """A receipt that was accepted from quarantine, or is still there, has a later place than its time."""
    required, ended = ("four_eyes.required", 7), ("four_eyes.ended", 8)
    missing = f"four-eyes rule {RULE}: missing, but its newest receipt says "
    expected = {
        (required, ended): [f"{missing}not required"],
        (ended, required): [],
        (ended, ("four_eyes.required", None)): [f"{missing}required"],
        (("four_eyes.ended", None), required): [],
    }
    with unit_of_work(office.tenant.id):
        found = {said: list(states_unlike_newest_receipts(office.tenant, _receipts(*said))) for said in expected}
    assert found == expected


def test_owners_are_not_compared_if_a_receipt_names_an_unknown_invitation(office: Office) -> None:
    """As in a tenant that was imported without its invitations."""
    fay = office.people["fay"]
    link = ids.public_id(ids.ACCOUNT_LINK, ids.new_uuid())
    owned = {"kind": "principal.owner_set", "inputs": {"principal": fay.public_id, "owner": fay.public_id}}
    receipts = [(ids.new_uuid(), 1, owned)]
    with unit_of_work(office.tenant.id):
        assert list(states_unlike_newest_receipts(office.tenant, receipts)) == [
            f"owner of {fay.public_id}: none, but its newest receipt says {fay.public_id}"
        ]
        unknown = {"kind": "member.added", "inputs": {"principal": link}}
        assert list(states_unlike_newest_receipts(office.tenant, [*receipts, (ids.new_uuid(), 0, unknown)])) == []
