"""Retention: what rules let go is shown first, then removed in batches; holds win; nothing else is touched."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError

from integrations.models import Envelope, Execution
from policies.configuration.channels import upsert_channel
from policies.models import PolicyDecision
from telemetry.models import Receipt, ReceiptReason, RemovedReceipt
from telemetry.receipts.remove import removal_sha256
from telemetry.tasks import months
from tests.by_month import add_past_months, month_before, parts, value
from tests.jobs import queued_jobs, run_jobs
from tests.threada_site.tenancy.rows import check_constraints_now
from tests.workitems.office import Office, open_office
from tests.workitems.retention.archives import aged, cancelled, dry_run, ended, put_rule, run, seal_all
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.personal_data.erasable_fields import ErasedJSON, is_erased
from workitems.executions.close_item import cancel_work_item
from workitems.items.locks import locked_item
from workitems.items.titles import title_of
from workitems.models import DecisionStep, Evidence, LegalHold, RetentionRun, Vote, WorkItem
from workitems.retention import sweep as keeping
from workitems.retention.case_tables import case_tables
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.retention.run import apply_batch

CASE = (WorkItem, Evidence, DecisionStep, Vote, Execution, Envelope, PolicyDecision, Receipt)


def rows(office: Office) -> dict[str, int]:
    return {model.__name__: office.count(model) for model in CASE}


def contents(office: Office, item: WorkItem) -> list[Any]:
    """Everything a case holds, in the order of its tables."""
    found = office.item(item)
    with unit_of_work(office.tenant.id):
        of = {"work_item_id": item.id}
        return [
            found.payload, found.payload_salt, found.ended_reason, found.external_ref,
            *Evidence.objects.filter(**of).values_list("content", flat=True),
            *Envelope.objects.filter(**of).values_list("body", flat=True),
            *PolicyDecision.objects.filter(**of).order_by("id").values_list("facts", flat=True),
            *Execution.objects.filter(**of).values_list("input", flat=True),
            *Vote.objects.filter(step__work_item=item).values_list("comment", flat=True),
        ]  # fmt: skip


def set_a_legal_hold(office: Office, **criteria: Any) -> Any:
    with unit_of_work(office.tenant.id):
        return set_legal_hold(LegalHoldRequest(reason="The auditor asked.", **criteria), ctx=office.ctx("ada"))


def test_what_follows_from_the_payload_goes_with_it(office: Office) -> None:
    office.upsert_workflow(title="Pay ${item.payload.vendor}", related_by=["/vendor"])
    old = ended(office, days=91, payload={"amount": 500, "vendor": "Alice Example"})
    young = ended(office, days=89, payload={"amount": 500, "vendor": "Alice Example"})
    stored = office.item(old)
    assert (stored.title, len(stored.related_key)) == ("Pay Alice Example", 64)
    put_rule(office, keep_payload="P90D")
    dry_run(office)
    assert run(office) == 1
    left = office.item(old)
    assert is_erased(left.title)
    assert left.related_key == ""
    assert title_of(left).endswith(left.public_id[-6:])
    kept = office.item(young)
    assert (kept.title, kept.related_key) == (stored.title, stored.related_key)
    with connection.cursor() as cursor, unit_of_work(office.tenant.id):
        cursor.execute("SELECT count(*) FROM workitems_workitem item WHERE item::text LIKE '%%Alice%%'")
        assert cursor.fetchone() == (1,)


def test_contents_go_and_everything_that_proves_stays(office: Office) -> None:
    old = ended(office, days=91, external_ref="INV-1", evidence=[{"title": "Invoice"}])
    young = ended(office, days=89)
    put_rule(office, keep_payload="P90D")
    before, kept = rows(office), contents(office, young)
    planned = dry_run(office)
    assert (planned.planned_contents, planned.planned_cases) == (1, 0)
    assert not any(is_erased(value) for value in contents(office, old))
    assert run(office) == 1
    emptied = contents(office, old)
    assert emptied.pop(3) == ""
    assert emptied.pop(2) == ""
    assert all(is_erased(value) for value in emptied)
    assert len(emptied) == 8
    assert contents(office, young) == kept
    after = rows(office)
    assert after == {**before, "Receipt": before["Receipt"] + 3}  # planned, applied, finished
    item = office.item(old)
    assert item.payload == ErasedJSON("retention") == {"erased": "retention"}
    assert item.payload_sha256 == old.payload_sha256
    assert item.updated_at == old.updated_at
    with unit_of_work(office.tenant.id):
        assert all(
            sha256_hex(bytes(body)) == digest for body, digest in Receipt.objects.values_list("body", "body_sha256")
        )


def test_what_is_left_of_an_emptied_case_can_be_read_and_not_executed(office: Office) -> None:
    old = ended(office, days=91)
    put_rule(office, keep_payload="P90D")
    dry_run(office)
    run(office)
    api = office.api("fay")
    body = api.get(f"/work-items/{old.public_id}").json()
    assert (body["payload"], body["contents_erased"]) == ({"erased": "retention"}, "retention")
    why = api.get(f"/work-items/{old.public_id}/explain").json()["why"]
    assert why[-1] == "Retention has removed its contents; digests and receipts remain."
    step = api.get(f"/decision-steps?work_item_id={old.public_id}").json()["data"][0]
    assert step["envelope"] == {"erased": "retention"}
    assert step["votes"][0]["comment"] == "[erased: retention]"
    execution = api.get(f"/executions?work_item_id={old.public_id}").json()["data"][0]
    assert execution["input"] == {"erased": "retention"}
    with unit_of_work(office.tenant.id):
        decision = PolicyDecision.objects.filter(work_item_id=old.id).first()
        assert decision is not None
    office.join("ron")
    read = f"/policy-decisions/{decision.public_id}"
    assert [office.api(name).get(read).json()["facts"] for name in ("fay", "rita")] == [{"erased": "retention"}] * 2
    assert office.api("ron").get(read).status_code == 404
    assert len(api.get(f"/work-items/{old.public_id}/timeline").json()["data"]) > 5
    with pytest.raises(errors.ContentsRemoved):
        office.execute(old)


def test_cases_go_whole_and_their_receipts_leave_a_trace(office: Office) -> None:
    old = ended(office, days=400)
    put_rule(office, keep_payload="P90D", keep_receipts="P1Y")
    with unit_of_work(office.tenant.id):
        mine = list(Receipt.objects.filter(work_item_id=old.id).order_by("id").values_list("id", "body_sha256"))
        others = set(Receipt.objects.exclude(work_item_id=old.id).values_list("id", flat=True))
    planned = dry_run(office)
    assert (planned.planned_contents, planned.planned_cases) == (1, 1)
    assert run(office) == 1, "what waits to be sealed is not removed"
    assert office.count(Vote) == 1
    dry_run(office)
    seal_all(office)
    assert run(office) == 1
    counts = rows(office)
    assert [counts[model.__name__] for model in CASE[:-1]] == [0] * 7
    with unit_of_work(office.tenant.id):
        assert list(RemovedReceipt.objects.order_by("id").values_list("id", "body_sha256")) == mine
        assert others <= set(Receipt.objects.values_list("id", flat=True))
    applied = office.bodies("retention.batch_applied")[-1]
    assert applied["outcome"]["removed_sha256"] == removal_sha256(mine)
    assert (applied["outcome"]["cases"], applied["outcome"]["receipts"]) == (1, len(mine))
    assert office.bodies("retention.run_finished")[-1]["policy"]["rules"][0]["number"] == 1
    assert office.api("fay").get(f"/work-items/{old.public_id}").status_code == 404


def cancelled_with_reason(office: Office) -> WorkItem:
    """Cancel a work item with a reason in the context, as the console's page of confirmation does."""
    item = office.decided(5)
    with unit_of_work(office.tenant.id):
        ctx = replace(office.ctx("rita"), reason="Ordered twice.")
        cancel_work_item(locked_item(item.id, ctx=office.system), reason="Twice", ctx=ctx)
    return office.item(item)


def test_reasons_go_with_their_receipts(office: Office) -> None:
    old, young = (cancelled_with_reason(office) for _ in range(2))
    aged(office, old, days=400)
    put_rule(office, keep_payload="P90D", keep_receipts="P1Y")
    with unit_of_work(office.tenant.id):
        kept = {
            item.id: set(Receipt.objects.filter(work_item_id=item.id).values_list("id", flat=True))
            for item in (old, young)
        }
        given = set(ReceiptReason.objects.values_list("receipt_id", flat=True))
    assert all(given & receipts for receipts in kept.values())
    dry_run(office)
    seal_all(office)
    run(office)
    with unit_of_work(office.tenant.id):
        assert set(ReceiptReason.objects.values_list("receipt_id", flat=True)) == given - kept[old.id]


def test_months_that_it_empties_are_dropped(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "telemetry_receipt"
    add_past_months(table, 4)
    with monkeypatch.context() as past:
        past.setattr(ids, "time", SimpleNamespace(time_ns=lambda: int(month_before(3).timestamp()) * 10**9))
        old = ended(office, days=400)
    month = f"{table}_{month_before(3):%Y_%m}"
    check_constraints_now()
    with owner_role():
        assert value(f"SELECT count(*) > 0 FROM {month}")
    put_rule(office, keep_payload="P30D", keep_receipts="P60D")
    dry_run(office)
    seal_all(office)
    assert run(office) == 2
    check_constraints_now()
    months()
    assert [name for name, *_ in parts(table)][:2] == [f"{table}_initial", f"{table}_{month_before(1):%Y_%m}"]
    assert office.api("fay").get(f"/work-items/{old.public_id}").status_code == 404


def test_a_receipt_that_is_not_what_was_sealed_stops_the_run(office: Office) -> None:
    old = ended(office, days=400)
    put_rule(office, keep_payload="P90D", keep_receipts="P1Y")
    dry_run(office)
    seal_all(office)
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM telemetry_receipt WHERE id = (SELECT id FROM telemetry_receipt WHERE work_item_id = %s LIMIT 1)"
            " RETURNING id, body",
            [old.id],
        )
        receipt_id, body = cursor.fetchone()
    with unit_of_work(office.tenant.id):
        Receipt.objects.create(
            id=receipt_id, tenant=office.tenant, kind="vote.recorded", occurred_at=clock.now(), work_item_id=old.id,
            body=bytes(body) + b" ", body_sha256=sha256_hex(bytes(body) + b" "),
        )  # fmt: skip
    with pytest.raises(SystemExit) as refused:
        call_command("retention", tenant="acme")
    assert refused.value.code == 1
    with unit_of_work(office.tenant.id):
        assert WorkItem.objects.filter(id=old.id).exists()
        assert "verify_receipts" in RetentionRun.objects.get().failure
        assert RemovedReceipt.objects.count() == 0


def test_without_a_rule_everything_is_kept(office: Office) -> None:
    ended(office, days=4000)
    before = rows(office)
    assert dry_run(office).rules == []
    assert run(office) == 0
    assert rows(office) == {**before, "Receipt": before["Receipt"] + 2}


def test_a_run_in_progress_is_not_replaced(office: Office) -> None:
    for _ in range(2):
        cancelled(office, days=100)
    put_rule(office, keep_payload="P30D")
    planned = dry_run(office)
    with unit_of_work(office.tenant.id):
        assert not apply_batch(now=clock.now(), ctx=office.system, size=1).is_last
    with pytest.raises(errors.Conflict, match="in progress"):
        dry_run(office)
    with unit_of_work(office.tenant.id):
        assert RetentionRun.objects.get().id == planned.id
        assert RetentionRun.objects.get().status == "running"


def test_a_new_dry_run_replaces_one_that_was_not_started(office: Office) -> None:
    cancelled(office, days=100)
    put_rule(office, keep_payload="P30D")
    first, second = dry_run(office), dry_run(office)
    with unit_of_work(office.tenant.id):
        statuses = dict(RetentionRun.objects.values_list("id", "status"))
    assert statuses == {first.id: "superseded", second.id: "planned"}


@pytest.mark.parametrize("status", ["started", "running", "outcome_unknown"])
def test_an_open_execution_keeps_an_ended_case(office: Office, status: str) -> None:
    """An undo runs on a case that has ended."""
    item = ended(office, days=100)
    put_rule(office, keep_payload="P30D")
    with unit_of_work(office.tenant.id):
        execution = Execution.objects.get(work_item_id=item.id)
    closed = execution.status
    office.set_execution(execution, status=status)
    assert (dry_run(office).planned_contents, run(office)) == (0, 0)
    office.set_execution(execution, status=closed)
    assert (dry_run(office).planned_contents, run(office)) == (1, 1)


def test_batches_and_legal_holds_need_a_steward(office: Office) -> None:
    case = cancelled(office, days=100)
    legal_hold = set_a_legal_hold(office, created_after=clock.now())
    put_rule(office, keep_payload="P30D")
    dry_run(office)
    with unit_of_work(office.tenant.id):
        ctx = office.ctx("fay")
        with pytest.raises(errors.PermissionDenied):
            apply_batch(now=clock.now(), ctx=ctx)
        with pytest.raises(errors.PermissionDenied):
            lift_legal_hold(legal_hold.id, reason="No reason.", ctx=ctx)
        with pytest.raises(errors.PermissionDenied):
            set_legal_hold(LegalHoldRequest(reason="No reason.", workflow="payments"), ctx=ctx)
        assert LegalHold.objects.get().lifted_at is None
    assert not is_erased(office.item(case).payload)


def test_only_what_has_ended_goes(office: Office) -> None:
    waiting, _, _ = office.awaiting()
    aged(office, waiting, days=1000)
    put_rule(office, keep_payload="P1D", keep_receipts="P2D")
    assert dry_run(office).planned_contents == 0


def test_the_narrowest_rule_holds_whole(office: Office) -> None:
    office.upsert_workflow("payroll", data_class="personal")
    from policies.configuration.overlays import upsert_overlay
    from policies.documents.overlay import OverlayScope

    with unit_of_work(office.tenant.id):
        upsert_overlay("rules", OverlayScope("workflow", "payroll"), ctx=office.system)
    payroll = cancelled(office, days=50, workflow="payroll")
    payment = cancelled(office, days=50)
    put_rule(office, "everything", keep_payload="P30D")
    put_rule(office, "personal", data_class="personal", keep_payload="P10D")
    put_rule(office, "payroll", workflow="payroll", keep_payload="P60D")
    planned = {rule["rule"]: rule["contents"] for rule in dry_run(office).rules}
    assert planned == {"payroll": 0, "personal": 0, "everything": 1}
    run(office)
    assert not is_erased(office.item(payroll).payload)
    assert is_erased(office.item(payment).payload)
    put_rule(office, "payroll-personal", workflow="payroll", data_class="personal", keep_payload="P40D")
    assert dry_run(office).planned_contents == 1


@pytest.mark.parametrize(
    "criteria",
    [
        lambda item: {"work_item_id": item.id},
        lambda item: {"workflow": "payments"},
        lambda item: {"channel": "web", "workflow": "payments"},
        lambda item: {"requester_id": item.requester_id},
        lambda item: {"created_after": item.created_at, "created_before": item.created_at + timedelta(seconds=1)},
    ],
    ids=["item", "workflow", "channel", "requester", "time"],
)
def test_legal_hold_overrides_every_rule(office: Office, criteria: Any) -> None:
    case = cancelled(office, days=100)
    legal_hold = set_a_legal_hold(office, **criteria(case))
    put_rule(office, keep_payload="P1D", keep_receipts="P1D")
    assert (dry_run(office).planned_contents, run(office)) == (0, 0)
    assert not is_erased(office.item(case).payload)
    with unit_of_work(office.tenant.id):
        lift_legal_hold(legal_hold.id, reason="The audit is over.", ctx=office.publishing("ada"))
    assert [body["outcome"]["in_force"] for body in office.bodies("legal_hold.lifted")] == [False]
    assert dry_run(office).planned_contents == 1


def test_legal_hold_does_not_cover_other_cases(office: Office) -> None:
    cancelled(office, days=100)
    with unit_of_work(office.tenant.id):
        upsert_channel("mail", ctx=office.system)
    set_a_legal_hold(office, workflow="payments", channel="mail")
    set_a_legal_hold(office, created_after=clock.now())
    put_rule(office, keep_payload="P1D")
    assert dry_run(office).planned_contents == 1


def test_legal_hold_set_after_the_dry_run_applies_and_lifting_it_takes_effect_in_the_next(office: Office) -> None:
    item = cancelled(office, days=100)
    put_rule(office, keep_payload="P1D")
    legal_hold = set_a_legal_hold(office, work_item_id=item.id)
    planned = dry_run(office)
    with unit_of_work(office.tenant.id):
        lift_legal_hold(legal_hold.id, reason="Over.", ctx=office.publishing("ada"))
    assert (planned.planned_contents, run(office)) == (0, 0), "it was not shown"
    dry_run(office)
    set_a_legal_hold(office, work_item_id=item.id)
    assert run(office) == 0
    assert not is_erased(office.item(item).payload)


def test_a_run_does_no_more_than_its_dry_run_showed(office: Office) -> None:
    shown, later = cancelled(office, days=40), cancelled(office, days=20)
    put_rule(office, keep_payload="P30D")
    with unit_of_work(office.tenant.id), pytest.raises(errors.RetentionNotShown):
        apply_batch(now=clock.now(), ctx=office.system)
    assert dry_run(office).planned_contents == 1
    put_rule(office, keep_payload="P10D")
    run(office)
    assert (is_erased(office.item(shown).payload), is_erased(office.item(later).payload)) == (True, False)


def test_a_rule_that_was_loosened_since_holds_too(office: Office) -> None:
    item = cancelled(office, days=40)
    put_rule(office, keep_payload="P30D")
    dry_run(office)
    put_rule(office, keep_payload="P60D")
    assert run(office) == 0
    assert not is_erased(office.item(item).payload)


def killed_after_a_batch(office: Office) -> None:
    with suppress(KeyboardInterrupt), unit_of_work(office.tenant.id):
        apply_batch(now=clock.now(), ctx=office.system, size=2)
        raise KeyboardInterrupt


def test_it_goes_on_where_it_was_stopped_and_twice_is_as_once(office: Office) -> None:
    items = [cancelled(office, days=40) for _ in range(5)]
    put_rule(office, keep_payload="P30D")
    dry_run(office)
    with unit_of_work(office.tenant.id):
        assert apply_batch(now=clock.now(), ctx=office.system, size=2).contents == 2
    killed_after_a_batch(office)
    assert [is_erased(office.item(item).payload) for item in items] == [True, True, False, False, False]
    assert run(office, size=2) == 2
    with unit_of_work(office.tenant.id):
        done = RetentionRun.objects.get()
        assert (done.status, done.contents_removed, done.batches) == ("finished", 5, 3)
        with pytest.raises(errors.RetentionNotShown):
            apply_batch(now=clock.now(), ctx=office.system)


def test_the_automatic_run_waits_for_its_notice_and_is_fair(office: Office, other_tenant: Any, settings: Any) -> None:
    other = open_office(other_tenant)
    for each in (office, other):
        cancelled(each, days=40)
        put_rule(each, keep_payload="P30D")
    run_jobs()
    keeping.enqueue_due_retention()
    keeping.enqueue_due_retention()
    assert [name for name, _ in queued_jobs()] == ["workitems.apply_retention"] * 2
    run_jobs()
    for each in (office, other):
        assert [body["outcome"]["contents"] for body in each.bodies("retention.planned")] == [1]
        assert each.bodies("retention.batch_applied") == []
    settings.THREADA_RETENTION_NOTICE_HOURS = 0
    keeping.enqueue_due_retention()
    tenants = [arguments["tenant_id"] for _, arguments in queued_jobs()]
    assert sorted(tenants) == sorted([str(office.tenant.id), str(other.tenant.id)])
    assert len(run_jobs()) == 4, "a batch each, then the end of each"
    for each in (office, other):
        assert [body["outcome"]["contents"] for body in each.bodies("retention.run_finished")] == [1]
    keeping.enqueue_due_retention()
    run_jobs()
    assert len(office.bodies("retention.planned")) == 1, "nothing is due, so there is no dry run"


def test_the_commands_show_then_do(office: Office, capsys: Any) -> None:
    cancelled(office, days=40)
    put_rule(office, keep_payload="P30D")
    with pytest.raises(SystemExit) as refused:
        call_command("retention", tenant="acme")
    assert refused.value.code == 1
    call_command("retention", tenant="acme", dry_run=True)
    assert "1 contents and 0 cases are due. Nothing was removed." in capsys.readouterr().out
    call_command("retention", tenant="acme")
    assert "removed 1 contents and 0 cases with 0 receipts, in 1 batches." in capsys.readouterr().out
    call_command("legal_hold", "set", tenant="acme", workflow="payments", reason="Audit.", requester="rita")
    legal_hold = capsys.readouterr().out.strip()
    call_command("legal_hold", "lift", tenant="acme", hold=legal_hold, reason="Over.")
    call_command("legal_hold", "list", tenant="acme")
    assert f"{legal_hold} lifted: Audit." in capsys.readouterr().out


def test_only_a_tenant_admin_sets_rules_and_legal_holds(office: Office) -> None:
    from workitems.retention.rules import parse_retention
    from workitems.retention.run import plan_retention
    from workitems.retention.upsert_rule import upsert_retention_rule

    ctx = office.ctx("fay")
    operations = (
        lambda: upsert_retention_rule("mine", parse_retention({"keep_payload": "P1D"}), ctx=ctx),
        lambda: set_legal_hold(LegalHoldRequest(reason="Mine.", workflow="payments"), ctx=ctx),
        lambda: plan_retention(now=clock.now(), ctx=ctx),
    )
    for operation in operations:
        with unit_of_work(office.tenant.id), pytest.raises(errors.PermissionDenied):
            operation()


def test_the_ledger_lets_go_of_nothing_by_any_other_way(office: Office) -> None:
    item = ended(office, days=40)
    changes = (
        "UPDATE workitems_vote SET comment = 'other'",
        "UPDATE workitems_vote SET comment = 'threada:erased:x', decision = 'approve'",
        "UPDATE workitems_evidence SET content = '{}'",
        "UPDATE integrations_envelope SET body = ''",
        "UPDATE integrations_envelope SET sha256 = ''",
        "UPDATE policies_policydecision SET facts = '{}'",
        "UPDATE telemetry_receipt SET body = 'threada:erased:x'",
        "UPDATE telemetry_removedreceipt SET body_sha256 = ''",
    )
    with unit_of_work(office.tenant.id):
        RemovedReceipt.objects.create(tenant=office.tenant, batch_id=ids.new_uuid(), body_sha256="0" * 64)
    for change in changes:
        with (
            platform_role(),
            connection.cursor() as cursor,
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
        ):
            cursor.execute(change)
    emptied = "UPDATE workitems_vote SET comment = 'threada:erased:retention'"
    with (
        unit_of_work(office.tenant.id),
        connection.cursor() as cursor,
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
    ):
        cursor.execute(emptied)
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(emptied)
    assert is_erased(contents(office, item)[-1])


def test_every_table_of_a_case_is_known() -> None:
    known = {model.__name__ for model, _ in case_tables()}
    assert known >= {"Evidence", "DecisionStep", "Vote", "Execution", "Attempt", "Envelope", "PolicyDecision"}
    assert not known & {"WorkItem", "Receipt", "LegalHold", "Integration", "Workflow", "Membership"}


@pytest.mark.parametrize(
    "value", [{"threada:erased": "retention"}, {"threada:plain": {"threada:erased": "x"}}, {"a": 1}]
)
def test_nobody_can_send_a_marker_in(office: Office, value: Any) -> None:
    office.upsert_workflow(payload_schema={"type": "object"})
    item = office.item(office.create(payload=value, external_ref="x"))
    assert (item.payload, is_erased(item.payload)) == (value, False)
    office.on_item(
        item, __import__("workitems.executions.close_item", fromlist=["x"]).cancel_work_item, reason="threada:erased:x"
    )
    assert office.item(item).ended_reason == "threada:erased:x"
