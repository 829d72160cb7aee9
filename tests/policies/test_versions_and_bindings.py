"""Services of the rulebook: results, refusals and receipts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import transaction

from policies import selectors
from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import DEFAULT_REJECT_REASONS, parse_workflow
from policies.drafts.edit import draft_policy_version, edit_draft
from policies.drafts.validation import validate_policy
from policies.models import Channel, ListVersion, Overlay, Policy, PolicyVersion, WorkflowVersion
from policies.publication.publish import publish_policy_version, retire_policy_version, upsert_policy
from tests.jobs import waiting_jobs
from tests.policies.rulebooks import (
    PAYMENT_RUN,
    PAYMENT_SCHEMA,
    PAYMENTS,
    TENANT,
    WEB_MAIN,
    put_in_force,
    put_payment_run,
    receipt_kinds,
    receipts,
    rule,
    spec,
)
from threada_site.database.unit_of_work import OutsideUnitOfWorkError
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change

ALLOW = spec(rule("yes", "allow"))
DENY = spec(rule("no", "deny"))


def waiting_re_evaluations() -> list[list[str]]:
    return [
        job.arguments["policy_version_ids"]
        for job in waiting_jobs()
        if job.task == "workitems.re_evaluate_for_policies"
    ]


def test_a_channel_is_created_once(work: ActingContext) -> None:
    assert upsert_channel("web_main", ctx=work).change is Change.CREATED
    assert upsert_channel("web_main", ctx=work).change is Change.UNCHANGED
    assert upsert_channel("web_main", ctx=work, name="Web form").change is Change.CHANGED
    assert list(Channel.objects.values_list("slug", "name")) == [("web_main", "Web form")]
    assert receipt_kinds()[-2:] == ["channel.created", "channel.renamed"]
    assert receipts("channel.created")[0]["subject"] == {"channel_id": "web_main"}


def test_a_workflow_gets_a_new_version_only_if_it_differs(work: ActingContext) -> None:
    first = upsert_workflow("payment_run", parse_workflow({"payload_schema": PAYMENT_SCHEMA}), ctx=work)
    said_otherwise = {"payload_schema": dict(reversed(PAYMENT_SCHEMA.items())), "channel_required": False}
    same = upsert_workflow("payment_run", parse_workflow(said_otherwise), ctx=work)
    renamed = upsert_workflow("payment_run", parse_workflow({**said_otherwise, "name": "Payments"}), ctx=work)
    changed = upsert_workflow("payment_run", parse_workflow({"channel_required": True}), ctx=work)
    assert [result.change for result in (first, same, renamed, changed)] == [
        "created",
        "unchanged",
        "changed",
        "changed",
    ]
    numbers = WorkflowVersion.objects.order_by("number").values_list("number", "spec__channel_required")
    assert list(numbers) == [(1, False), (2, True)]
    assert changed.row.current_version is not None
    assert changed.row.current_version.number == 2
    assert changed.row.current_version.created_by == work.principal_id
    added = receipts("workflow.version_added")
    assert [entry["outcome"]["number"] for entry in added] == [1, 2]
    assert added[1]["outcome"]["replaces"] == added[0]["outcome"]["workflow_version_id"]
    assert added[1]["inputs"]["spec_sha256"] == changed.row.current_version.spec_sha256


def test_a_workflow_version_stores_its_defaults(work: ActingContext) -> None:
    version = upsert_workflow(
        "payment_run", parse_workflow({"kind": "Workflow", "id": "payment_run", "spec": {}}), ctx=work
    )
    assert version.row.current_version is not None
    assert version.row.current_version.spec == {
        "description": "",
        "channel_required": False,
        "payload_schema": {"type": "object"},
        "assert_format": False,
        "max_payload_bytes": 262_144,
        "max_members": 2_000,
        "actions": [],
        "data_class": "internal",
        "reject_reasons": list(DEFAULT_REJECT_REASONS),
        "on_reject": "end",
    }


def test_a_list_gets_a_new_version_only_if_its_items_differ(work: ActingContext) -> None:
    changes = [
        upsert_list("vendors", parse_list({"items": items}), ctx=work).change
        for items in (["a", "b"], ["a", "b"], ["b", "a"])
    ]
    assert changes == ["created", "unchanged", "changed"]
    assert list(ListVersion.objects.order_by("number").values_list("number", "spec")) == [
        (1, ["a", "b"]),
        (2, ["b", "a"]),
    ]
    added = receipts("list.version_added")
    assert added[0]["inputs"] == {"list": "vendors", "items_sha256": canonical_sha256(["a", "b"])}
    assert added[0]["outcome"] == {"number": 1, "items": 2}


def test_a_draft_decides_nothing_and_is_reused(work: ActingContext) -> None:
    first = draft_policy_version("payments", ALLOW, ctx=work)
    again = draft_policy_version("payments", {"kind": "Policy", "id": "payments", "spec": ALLOW}, ctx=work)
    second = draft_policy_version("payments", DENY, ctx=work)
    assert (first.change, again.change, second.change) == ("created", "unchanged", "created")
    assert again.row.id == first.row.id
    assert [first.row.number, second.row.number] == [1, 2]
    assert Policy.objects.get().in_force_id is None
    drafted = receipts("policy.version_drafted")
    assert [entry["policy"]["number"] for entry in drafted] == [1, 2]
    assert drafted[0]["subject"] == {"policy_version_id": first.row.public_id, "status": "draft"}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"rules": [{"id": "x"}]}, "/rules/0/when"),
        ({"kind": "Policy", "id": "other", "spec": ALLOW}, "/id"),
        (spec(rule("first", "allow", "item.nope(")), "/rules/0/when"),
    ],
)
def test_an_invalid_document_is_not_drafted(work: ActingContext, document: Any, pointer: str) -> None:
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        draft_policy_version("payments", document, ctx=work)
    assert pointer in [entry.pointer for entry in refused.value.errors]
    assert not Policy.objects.exists()


def test_a_draft_can_be_edited_until_it_is_published(work: ActingContext) -> None:
    draft = draft_policy_version("payments", DENY, ctx=work).row
    assert edit_draft(draft, ALLOW, ctx=work).change is Change.CHANGED
    assert edit_draft(draft, ALLOW, ctx=work).change is Change.UNCHANGED
    edited = PolicyVersion.objects.get()
    assert (edited.document, edited.document_sha256) == (ALLOW, canonical_sha256(ALLOW))
    publish_policy_version(draft, ctx=work)
    with pytest.raises(errors.VersionNotDraft):
        edit_draft(draft, DENY, ctx=work)
    assert PolicyVersion.objects.get().document == ALLOW


def test_publishing_keeps_the_previous_version_published(work: ActingContext) -> None:
    first = publish_policy_version(draft_policy_version("payments", ALLOW, ctx=work).row, ctx=work)
    second = publish_policy_version(draft_policy_version("payments", DENY, ctx=work).row, ctx=work)
    policy = Policy.objects.get()
    assert policy.in_force_id == second.id
    assert PolicyVersion.objects.get(id=first.id).status == "published"
    assert (second.published_by, second.published_at is not None) == (work.principal_id, True)
    published = receipts("policy.published")
    assert published[1]["outcome"] == {
        "status": "published",
        "replaces": first.public_id,
        "applies_to_open": False,
        "replay": None,
    }
    assert published[1]["policy"]["document_sha256"] == canonical_sha256(DENY)
    assert waiting_re_evaluations() == []
    with pytest.raises(errors.VersionNotDraft):
        publish_policy_version(first, ctx=work)
    assert Policy.objects.get().in_force_id == second.id


def test_publishing_for_open_steps_re_evaluates_them(work: ActingContext) -> None:
    first, second = (upsert_policy("payments", document, ctx=work).row for document in (ALLOW, DENY))
    third = draft_policy_version("payments", spec(rule("other", "allow")), ctx=work).row
    publish_policy_version(third, ctx=work, applies_to_open=True)
    assert waiting_re_evaluations() == [sorted([str(first.id), str(second.id)])]


def test_retiring_what_is_in_force_leaves_nothing_in_force(work: ActingContext) -> None:
    first, second = (upsert_policy("payments", document, ctx=work).row for document in (ALLOW, DENY))
    retired = retire_policy_version(second, ctx=work)
    assert (retired.status, retired.retired_by) == ("retired", work.principal_id)
    assert Policy.objects.get().in_force_id is None
    assert PolicyVersion.objects.get(id=first.id).status == "published"
    assert receipts("policy.retired")[0]["outcome"] == {"status": "retired", "was_in_force": True}
    assert waiting_re_evaluations() == [[str(second.id)]]
    with pytest.raises(errors.TransitionNotAllowed):
        retire_policy_version(second, ctx=work)


def test_retiring_an_older_version_keeps_the_newer_in_force(work: ActingContext) -> None:
    first, second = (upsert_policy("payments", document, ctx=work).row for document in (ALLOW, DENY))
    retire_policy_version(first, ctx=work)
    assert Policy.objects.get().in_force_id == second.id
    assert waiting_re_evaluations() == [[str(first.id)]]


def test_a_draft_cannot_be_retired(work: ActingContext) -> None:
    draft = draft_policy_version("payments", ALLOW, ctx=work).row
    with pytest.raises(errors.TransitionNotAllowed):
        retire_policy_version(draft, ctx=work)
    assert waiting_re_evaluations() == []


def test_a_policy_with_failing_tests_is_neither_saved_nor_published(work: ActingContext) -> None:
    put_payment_run(work)
    failing = spec(rule("yes", "allow"), tests=[{"given": {}, "expect": {"effect": "deny"}}])
    with pytest.raises(errors.PolicyTestsFailed) as refused, transaction.atomic():
        draft_policy_version("payments", {"kind": "Policy", "id": "payments", "spec": failing}, ctx=work)
    assert [entry.pointer for entry in refused.value.errors] == ["/spec/tests/0"]
    assert not PolicyVersion.objects.exists()
    asks_a_list = [{"given": {"item": {"payload": {"vendor": "Initech"}}}, "expect": {"effect": "deny"}}]
    draft = draft_policy_version("payments", {**PAYMENTS, "tests": asks_a_list}, ctx=work).row
    with pytest.raises(errors.PolicyTestsFailed), transaction.atomic():
        edit_draft(draft, failing, ctx=work)
    upsert_list("sanctioned_vendors", parse_list({"items": []}), ctx=work)
    with pytest.raises(errors.PolicyTestsFailed) as refused:
        publish_policy_version(draft, ctx=work)
    assert [entry.pointer for entry in refused.value.errors] == ["/tests/0"]
    assert PolicyVersion.objects.get().status == "draft"


def test_the_tests_of_a_policy_see_the_tenants_lists(work: ActingContext) -> None:
    put_payment_run(work)
    tests = [{"given": {"item": {"payload": {"vendor": "Initech"}}}, "expect": {"effect": "deny"}}]
    upsert_policy("payments", {**PAYMENTS, "tests": tests}, ctx=work)
    assert PolicyVersion.objects.get().status == "published"


@pytest.mark.parametrize("scope", [PAYMENT_RUN, WEB_MAIN, TENANT])
def test_a_misspelt_field_is_found_in_every_workflow_in_scope(work: ActingContext, scope: OverlayScope) -> None:
    put_payment_run(work)
    put_in_force(ALLOW, scope, ctx=work)
    misspelt = spec(rule("first", "deny", "item.payload.amount > 5"), rule("second", "allow", "ctx.acton == ''"))
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        upsert_policy("payments", {"kind": "Policy", "id": "payments", "spec": misspelt}, ctx=work)
    assert [(entry.pointer, entry.detail) for entry in refused.value.errors] == [
        (
            "/spec/rules/0/when",
            "payment_run: line 1, column 14: item.payload.amount is unknown. Did you mean item.payload.amount_minor?",
        ),
        ("/spec/rules/1/when", "line 1, column 5: ctx.acton is unknown. Did you mean ctx.action?"),
    ]


def test_a_workflow_out_of_scope_is_not_checked(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_workflow("other", parse_workflow({}), ctx=work)
    put_in_force(ALLOW, OverlayScope("workflow", "other"), ctx=work)
    document = spec(rule("first", "allow", "item.payload.anything == 1"))
    assert upsert_policy("payments", document, ctx=work).change is Change.CHANGED


def test_an_unknown_list_is_reported(work: ActingContext) -> None:
    put_payment_run(work)
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        upsert_policy("payments", spec(rule("first", "deny", "'a' in lists.sanctioned_vendor")), ctx=work)
    assert "Did you mean lists.sanctioned_vendors?" in refused.value.errors[0].detail


def test_validation_contains_the_checked_workflows(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_workflow("other", parse_workflow({}), ctx=work)
    version = put_in_force(PAYMENTS, ctx=work)
    found = validate_policy(PAYMENTS, policy=version.policy, ctx=work)
    assert (found.workflows, found.errors) == (("payment_run",), ())


def test_upserting_an_unchanged_policy_changes_nothing(work: ActingContext) -> None:
    results = [upsert_policy("payments", document, ctx=work) for document in (ALLOW, ALLOW, DENY, ALLOW)]
    assert [result.change for result in results] == ["created", "unchanged", "changed", "changed"]
    assert Policy.objects.get().in_force_id == results[3].row.id
    assert [result.row.number for result in results] == [1, 1, 2, 3]
    draft = upsert_policy("payments", DENY, ctx=work, publish=False)
    assert (draft.row.status, draft.change) == ("draft", "created")
    assert Policy.objects.get().in_force_id == results[3].row.id


def test_an_overlay_is_created_once_and_removed_once(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_policy("payments", PAYMENTS, ctx=work)
    added = upsert_overlay("payments", PAYMENT_RUN, ctx=work)
    assert (added.change, upsert_overlay("payments", PAYMENT_RUN, ctx=work).change) == ("created", "unchanged")
    overlay = Overlay.objects.get()
    remove_overlay(overlay, ctx=work)
    assert not Overlay.objects.exists()
    with pytest.raises(errors.NotFound):
        remove_overlay(added.row, ctx=work)
    (entry,) = receipts("overlay.added")
    assert entry["subject"] == {"workflow_id": "payment_run"}
    assert entry["outcome"] == {
        "overlay_id": added.row.public_id,
        "scope": {"workflow": "payment_run"},
        "starts_at": None,
        "ends_at": None,
    }
    assert receipts("overlay.removed")[0]["outcome"] == entry["outcome"]


@pytest.mark.parametrize(
    ("policy", "scope", "refusal"),
    [
        ("nothing", PAYMENT_RUN, errors.DocumentInvalid),
        ("payments", OverlayScope("workflow", "nothing"), errors.UnknownWorkflow),
        ("payments", OverlayScope("channel", "nothing"), errors.UnknownChannel),
        ("payments", OverlayScope("group", "nothing"), errors.UnknownGroup),
    ],
)
def test_an_overlay_needs_existing_objects(
    work: ActingContext, policy: str, scope: OverlayScope, refusal: type[errors.ThreadaError]
) -> None:
    put_payment_run(work)
    upsert_policy("payments", PAYMENTS, ctx=work)
    with pytest.raises(refusal):
        upsert_overlay(policy, scope, ctx=work)
    assert not Overlay.objects.exists()


def test_an_overlay_that_does_not_match_payload_schemas_is_refused(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_workflow("other", parse_workflow({"payload_schema": {"properties": {"x": {"type": "string"}}}}), ctx=work)
    put_in_force(PAYMENTS, PAYMENT_RUN, ctx=work)
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        upsert_overlay("payments", TENANT, ctx=work)
    assert {entry.detail.partition(":")[0] for entry in refused.value.errors} == {"other"}
    assert Overlay.objects.count() == 1


def test_services_need_a_unit_of_work(ctx: ActingContext) -> None:
    with pytest.raises(OutsideUnitOfWorkError):
        upsert_channel("web_main", ctx=ctx)


def test_the_lists_selector_shows_current_items(work: ActingContext) -> None:
    put_payment_run(work)
    (row,) = selectors.lists(work)
    assert row.current_version is not None
    assert (row.slug, row.current_version.spec) == ("sanctioned_vendors", ["Initech"])


def test_a_version_is_found_by_number_and_by_id(work: ActingContext) -> None:
    version = upsert_policy("payments", ALLOW, ctx=work).row
    other = upsert_policy("other", ALLOW, ctx=work).row
    names = ["1", version.public_id, "2", "x", "٣", other.public_id, ids.public_id(ids.POLICY_VERSION, uuid.uuid4())]
    found = [selectors.policy_version_named(version.policy, name) for name in names]
    assert [row and row.id for row in found] == [version.id, version.id, None, None, None, None, None]
