"""Expected receipts: every line of the table is exercised, and a deleted receipt is reported."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from guardian.shortcuts import assign_perm

from integrations.configuration.configure import withdraw_integration
from integrations.configuration.secrets import remove_secret, upsert_secret
from integrations.freezes.scope import FreezeScope
from integrations.models import Execution, StoredSecret
from policies.configuration.calendars import upsert_calendar
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.configuration.removal import remove_channel, withdraw_list, withdraw_workflow
from policies.documents.calendar import parse_calendar
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.drafts.edit import draft_policy_version
from policies.models import EmergencyPublication, Overlay, PolicyVersion, Workflow
from policies.publication.emergencies import confirm_emergency, end_emergency
from policies.replay.request import ReplayRequest, cancel_replay, request_replay
from policies.replay.run import _become_failed, run_replay
from policies.replay.shadows import end_shadow, start_shadow
from telemetry.deliveries import batches as deliveries
from telemetry.exports import job as export_job
from telemetry.exports import request as exports
from telemetry.exports.request import cancel_export, create_export, expire_export
from telemetry.models import Receipt, SealQueueEntry, TelemetryExport
from tests.factories import PASSWORD
from tests.policies.emergencies import alone
from tests.policies.rulebooks import rule, spec
from tests.threada_site.identity.test_accounts import by_link
from tests.threada_site.identity.trusted_issuers.issuer import offline_spec
from tests.workitems.office import Office
from tests.workitems.people_cases import about_people, ended_case
from tests.workitems.permits.test_permits import ask, in_effect, on_permit, rules
from tests.workitems.retention.archives import cancelled, dry_run, put_rule, run, seal_all
from threada_site.database.roles import OWNER, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link, unused_link
from threada_site.identity.dependence import confirm_account
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.invitations import accept_invitation, withdraw_invitation
from threada_site.identity.principals import ensure_principal, remove_member, write_membership
from threada_site.identity.roles import define_role
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import clock
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.authority_models import GrantRecord
from threada_site.tenancy.factor_models import EnrolledFactor
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.identity_provider_models import IdentityLink, IdentityProvider
from threada_site.tenancy.models import FourEyesRule, Role
from workitems.completeness.expected_receipts import EXPECTED_DELETION_RECEIPTS, EXPECTED_RECEIPTS
from workitems.completeness.verify import verify_completeness
from workitems.configuration.packs import remove_pack
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.operator_actions import cancel_execution
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.retention.erasure import erase_subject
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.retention.upsert_rule import withdraw_retention
from workitems.steps.delegations import OutOfOffice, consent_to_delegation, delegate, end_delegation

HOUR = timedelta(hours=1)


def _rulebook(office: Office) -> None:
    ada = office.ctx("ada")
    upsert_list("watched", parse_list({"items": ["Hooli"]}), ctx=ada)
    withdraw_list("watched", ctx=ada)
    upsert_calendar(
        "office", parse_calendar({"time_zone": "Asia/Kathmandu", "hours": {"friday": ["10:00-17:00"]}}), ctx=ada
    )
    upsert_channel("portal", ctx=ada)
    remove_channel("portal", ctx=ada)
    office.upsert_workflow("holidays")
    withdraw_workflow("holidays", ctx=ada)
    upsert_overlay("rules", OverlayScope("workflow", "payments"), ctx=ada)
    upsert_overlay("rules", OverlayScope("tenant", ""), ctx=ada)
    remove_overlay(Overlay.objects.get(scope_kind="workflow"), ctx=ada)
    for version_rule in ("first", "second"):
        draft = draft_policy_version("rules", spec(rule(version_rule, "allow")), ctx=ada).row
        alone(draft, ada if version_rule == "first" else office.ctx("bo"))
        opened = EmergencyPublication.objects.latest("id")
        end_emergency(opened, ctx=ada) if version_rule == "first" else confirm_emergency(opened, ctx=ada)
        EmergencyPublication.objects.update(closed_at=clock.now() - timedelta(days=2))


def _trials(office: Office) -> None:
    ada = office.ctx("ada")
    version = PolicyVersion.objects.filter(status="published").latest("id")
    end_shadow(start_shadow(version, ends_at=clock.now() + HOUR, ctx=ada), ctx=ada)
    done, stopped, broken = (request_replay(version, ReplayRequest(), ctx=ada, by_job=False) for _ in range(3))
    cancel_replay(stopped, ctx=ada)
    broken.status = "running"
    _become_failed(broken, "worker_lost", ctx=office.system)
    run_replay(done.id, ctx=office.system)


def _systems(office: Office) -> None:
    ada = office.ctx("ada")
    office.put_bank()
    withdraw_integration("bank", ctx=ada)
    for name in ("kept", "changed", "gone"):
        upsert_secret(name, "Q-VALUE-OF-A-SECRET", origins=["https://bank.example"], ctx=ada)
    upsert_secret("changed", "Q-VALUE-OF-ANOTHER", origins=["https://bank.example"], ctx=ada)
    remove_secret(StoredSecret.objects.get(slug="gone"), ctx=ada)
    lift_freeze(set_freeze(FreezeScope(), reason="Look at it.", ctx=ada).freeze.id, ctx=ada)


def _trusted_issuer(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "THREADA_PUBLIC_URL", "https://threada.test")
    upsert_trusted_issuer("ci", parse_trusted_issuer(offline_spec()), ctx=office.system)
    withdraw_trusted_issuer("ci", ctx=office.system)


def _people(office: Office) -> None:
    ada = office.ctx("ada")
    define_group("board", ["fay"], ctx=office.system)
    define_group("crew", ["finn"], ctx=office.system)
    remove_group("crew", ctx=office.system)
    now = clock.now()
    out_of_office = OutOfOffice(delegator=office.people["fay"], delegate=office.people["finn"], ends_at=now + HOUR)
    end_delegation(delegate(out_of_office, ctx=office.ctx("fay")), ctx=office.ctx("fay"))
    proposed = OutOfOffice(delegator=office.people["fred"], delegate=office.people["finn"], ends_at=now + HOUR)
    consent_to_delegation(delegate(proposed, ctx=ada), ctx=office.ctx("fred"))
    remove_member(office.people["wim"], ctx=office.system)
    for name in ("nora", "mary"):
        person = ensure_principal(name, kind=PrincipalKind.HUMAN, ctx=ada)
        write_membership(person, ctx=ada)
        link = unused_link(person, LinkPurpose.INVITATION, tenant_id=office.tenant.id)
        assert link is not None
        if name == "mary":
            withdraw_invitation(person, ctx=ada)
            continue
        accept_invitation(show_link(link, ctx=ada), password=PASSWORD, ctx=by_link(office.tenant, person))
        confirm_account(person, ctx=office.system)


def _telemetry(office: Office, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    ada = office.ctx("ada")
    monkeypatch.setattr(export_job, "BEAT_S", 600.0)
    monkeypatch.setattr(settings, "THREADA_EXPORT_DIR", folder / "exports")
    expire_export(create_export({}, ctx=ada), now=clock.now() + timedelta(days=90), ctx=office.system)
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", -1)
    made, stopped, broken = (create_export({}, ctx=ada) for _ in range(3))
    cancel_export(stopped, ctx=ada)
    export_job.make_export(made.id, ctx=office.system)
    TelemetryExport.objects.filter(id=broken.id).update(status="running", attempt=5, lease_until=clock.now() - HOUR)
    export_job.make_export(broken.id, ctx=office.system)
    for name in ("paused", "removed"):
        delivery = deliveries.upsert_delivery(
            name, target="file", url="", secret=None, headers={}, kinds=(), workflows=(), from_beginning=False, ctx=ada
        ).row
        if name == "paused":
            deliveries.pause_delivery(delivery, now=clock.now(), ctx=ada)
        else:
            deliveries.remove_delivery(delivery, ctx=ada)


def _permits(office: Office) -> None:
    """Use a unit of a permit, return it, then narrow and revoke the permit."""
    office.put_rules(*rules())
    permit = in_effect(office)
    ask(office)
    with unit_of_work(office.tenant.id):
        started = list(Execution.objects.filter(status="started"))
    for execution in started:
        office.on_execution(execution, cancel_execution)
    on_permit(office, permit, narrow_permit, Narrowing(max_count=1))
    on_permit(office, permit, revoke_permit)


@pytest.fixture
def used_office(office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Return an office in which every operation of the table has run once."""
    office.join("bo", roles=("tenant_admin",))
    office.api("ada")
    _permits(office)
    about_people(office)
    item, _, _ = ended_case(office)
    with unit_of_work(office.tenant.id):
        lift_legal_hold(
            set_legal_hold(
                LegalHoldRequest(reason="The auditor asked.", work_item_id=item.id), ctx=office.ctx("ada")
            ).id,
            reason="Done.",
            ctx=office.publishing("ada"),
        )
        assert item.subject_id is not None
        erase_subject(item.subject_id, now=clock.now(), ctx=office.ctx("ada"))
    cancelled(office, days=100, payload={"amount": 5, "person": {"mail": "bob@example.org"}})
    seal_all(office)
    put_rule(office, keep_payload="P1D", keep_receipts="P90D", then="delete")
    dry_run(office)
    run(office)
    with unit_of_work(office.tenant.id):
        withdraw_retention("all", ctx=office.ctx("ada"))
        _rulebook(office)
        _trials(office)
        _systems(office)
        _people(office)
        _trusted_issuer(office, monkeypatch)
        _telemetry(office, monkeypatch, tmp_path)
    pack = {
        "kind": "Pack",
        "id": "front",
        "spec": {"version": "1", "documents": [{"kind": "Channel", "id": "counter"}]},
    }
    assert office.api("ada").post("/packs", {"document": pack}).status_code == 201
    with unit_of_work(office.tenant.id):
        remove_pack("front", ctx=office.ctx("ada"))
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.ctx("ada"))
        end_four_eyes(POLICY_FOUR_EYES, ctx=office.ctx("ada"))
    return office


def findings(office: Office) -> list[str]:
    with unit_of_work(office.tenant.id):
        return [finding.message for finding in verify_completeness(office.tenant)]


OF_INSERTED_ROWS = {"four_eyes.ended", "identity.linked", "scope.granted", "second_factor.enrolled"}
"""Kinds of receipts of which `used_office` writes none."""


def test_rows_of_identity_that_sql_inserts_are_named(office: Office) -> None:
    """Insert rows that let somebody act, without the receipts of these acts."""
    fay, tenant = office.people["fay"], office.tenant
    with unit_of_work(tenant.id):
        provider = IdentityProvider.objects.create(tenant_id=tenant.id, slug="corp")
        link = IdentityLink.objects.create(
            tenant_id=tenant.id, provider=provider, user=fay, issuer="https://idp.example", subject="1"
        )
        GrantRecord.objects.create(tenant_id=tenant.id, user=fay, kind="scope", name="decisions:decide@1")
        FourEyesRule.objects.create(tenant_id=tenant.id, slug="identity_four_eyes", is_required=False)
        factor = EnrolledFactor.objects.create(user=fay, kind="totp", secret=b"x", key_id="1")
    assert set(findings(office)) == {
        f"{link.public_id}: there is no receipt identity.linked",
        f"{fay.public_id} decisions:decide: there is no receipt scope.granted",
        "identity_four_eyes: there is no receipt four_eyes.ended",
        f"{factor.public_id}: there is no receipt second_factor.enrolled",
    }


READING = frozenset({Scope.WORKITEMS_READ})


def test_scopes_that_sql_inserts_are_named(office: Office) -> None:
    """Insert scopes of a role, on the tenant and on a workflow, with their records and without receipts."""
    fay, tenant = office.people["fay"], office.tenant
    with unit_of_work(tenant.id):
        grant_scope_on(fay, Scope.ACTIONS_EXECUTE, Workflow.objects.get(slug="payments"), ctx=office.system)
        for role, scopes in {"clerk": READING, "viewer": {*READING, Scope.TELEMETRY_READ}, "auditor": READING}.items():
            define_role(role, frozenset(scopes), ctx=office.system)
        define_role("viewer", READING, ctx=office.system)
    assert findings(office) == []
    with unit_of_work(tenant.id):
        workflow = Workflow.objects.get(slug="payments")
        assign_perm(Scope.DECISIONS_DECIDE.codename, fay, workflow)
        GrantRecord.objects.create(tenant_id=tenant.id, user=fay, kind="scope", name=f"decisions:decide@{workflow.id}")
        assign_perm(Scope.ACTIONS_EXECUTE.codename, fay, tenant)
        for role in ("clerk", "viewer", "operator"):
            group = Role.objects.get(tenant_id=tenant.id, slug=role).group
            assign_perm(Scope.TELEMETRY_READ.codename, group, tenant)
    assert set(findings(office)) == {
        f"{fay.public_id} decisions:decide: there is no receipt scope.granted",
        f"{fay.public_id} decisions:decide on workflow payments: there is no receipt scope.granted",
        f"{fay.public_id} actions:execute on tenant acme: there is no receipt scope.granted",
        "role clerk telemetry:read: there is no receipt role.defined",
        "role viewer telemetry:read: there is no receipt role.defined",
    }


@pytest.mark.parametrize("kind", ["credential.issued", "role.granted", "member.added", "tenant.created"])
def test_a_receipt_that_nobody_signed_is_like_none(office: Office, kind: str) -> None:
    assert findings(office) == []
    if kind == "credential.issued":
        office.api("ada")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET CONSTRAINTS ALL IMMEDIATE; SET ROLE {OWNER}; ALTER TABLE telemetry_receipt DISABLE TRIGGER USER"
        )
        cursor.execute("UPDATE telemetry_receipt SET signature = '' WHERE kind = %s", [kind])
        assert cursor.rowcount > 0
        cursor.execute("ALTER TABLE telemetry_receipt ENABLE TRIGGER USER; RESET ROLE")
    found = findings(office)
    assert found
    assert all(line.endswith(f": there is no receipt {kind}") for line in found)


def test_deleting_any_expected_receipt_is_reported(used_office: Office, subtests: pytest.Subtests) -> None:
    assert findings(used_office) == []
    expected = {entry.kind for entry in EXPECTED_RECEIPTS} | {deletion.kind for deletion in EXPECTED_DELETION_RECEIPTS}
    assert len(expected) == len(EXPECTED_RECEIPTS) + len(EXPECTED_DELETION_RECEIPTS)
    for kind in sorted(expected - OF_INSERTED_ROWS):
        with subtests.test(kind), unit_of_work(used_office.tenant.id):
            receipts = list(Receipt.objects.filter(kind=kind))
            assert receipts
            with platform_role(), connection.cursor() as cursor:
                for table in ("sealqueueentry", "receipt"):
                    cursor.execute(f"DELETE FROM telemetry_{table} WHERE id = ANY(%s)", [[row.id for row in receipts]])
            found = [finding.message for finding in verify_completeness(used_office.tenant)]
            assert found
            assert [line for line in found if line.endswith(f": there is no receipt {kind}")]
            for row in receipts:
                row.save(force_insert=True)
            SealQueueEntry.objects.bulk_create(SealQueueEntry(id=row.id, tenant_id=row.tenant_id) for row in receipts)
    assert findings(used_office) == []
