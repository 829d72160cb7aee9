"""Publication by one person, by two people, and in an emergency."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from policies.drafts.edit import draft_policy_version, edit_draft
from policies.models import Policy, PolicyReplay, PolicyVersion
from policies.publication.publish import publish_policy_version, upsert_policy
from policies.replay.request import Against, ReplayRequest, request_replay
from policies.replay.run import run_replay
from tests.factories import acting, acting_system, make_principal
from tests.policies.rulebooks import receipt_kinds, receipts, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.owners import set_owner
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import Tenant

ALLOW, DENY, REVIEW = spec(rule("yes", "allow")), spec(rule("no", "deny")), spec(rule("look", "review"))


def colleague(tenant: Tenant, name: str, **more: Any) -> ActingContext:
    return acting(tenant, make_principal(tenant, name, roles=["policy_author", "policy_publisher"], **more))


@pytest.fixture
def ann(tenant: Tenant) -> ActingContext:
    return colleague(tenant, "ann")


@pytest.fixture
def bob(tenant: Tenant) -> ActingContext:
    return colleague(tenant, "bob")


@pytest.fixture
def four_eyes(work: ActingContext) -> ActingContext:
    """Open a unit of work in a tenant that requires four eyes for policies."""
    turn_on_four_eyes(POLICY_FOUR_EYES, ctx=work)
    return work


def replayed(draft: PolicyVersion, **request: Any) -> PolicyReplay:
    """Run a replay of the draft to its end. Return the draft."""
    ctx = acting_system(draft.tenant)
    replay = request_replay(draft, ReplayRequest(**request), ctx=ctx, by_job=False)
    assert run_replay(replay.id, ctx=ctx)
    return replay


def proposed(draft: PolicyVersion, ctx: ActingContext) -> ChangeSet:
    """Propose the publication of a draft."""
    with pytest.raises(errors.ConfirmationRequired) as refused, transaction.atomic():
        publish_policy_version(draft, ctx=ctx)
    return propose(refused.value.change, ctx=ctx)


def confirmed(draft: PolicyVersion, ctx: ActingContext, second: ActingContext) -> None:
    """Propose the publication of a draft and publish it as a second person."""
    change_set = proposed(draft, ctx)
    publish(change_set, change_set.digest, ctx=second)


def checked(document: dict[str, Any], ctx: ActingContext) -> PolicyVersion:
    """Return a draft that only needs a second person."""
    draft = drafted(document, ctx)
    replayed(draft)
    return draft


def drafted(document: dict[str, Any], ctx: ActingContext) -> PolicyVersion:
    return draft_policy_version("payments", document, ctx=ctx).row


class TestFourEyes:
    def test_without_four_eyes_one_person_suffices(self, work: ActingContext, ann: ActingContext) -> None:
        assert publish_policy_version(drafted(ALLOW, ann), ctx=ann).status == "published"

    def test_another_person_publishes(self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext) -> None:
        draft = checked(ALLOW, ann)
        change_set = proposed(draft, ann)
        draft.refresh_from_db()
        assert draft.status == "draft"
        assert change_set.after["replay"]["replayed"] == 0
        with pytest.raises(errors.SecondPersonRequired):
            publish(change_set, change_set.digest, ctx=ann)
        publish(change_set, change_set.digest, ctx=bob)
        draft.refresh_from_db()
        assert (draft.status, draft.published_by) == ("published", bob.principal_id)

    def test_an_independent_person_cannot_publish_alone(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        change_set = proposed(checked(ALLOW, ann), bob)
        for ctx in (ann, bob):
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=ctx)

    def test_what_was_written_last_is_not_published(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        draft = checked(ALLOW, ann)
        change_set = proposed(draft, ann)
        replayed(edit_draft(draft, REVIEW, ctx=ann).row)
        with pytest.raises(errors.ChangeSetStale):
            publish(change_set, change_set.digest, ctx=bob)
        draft.refresh_from_db()
        assert draft.status == "draft"

    def test_no_editor_can_publish(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        draft = edit_draft(drafted(ALLOW, ann), DENY, ctx=bob).row
        assert (draft.created_by, draft.written_by) == (bob.principal_id, [ann.principal_id, bob.principal_id])
        draft = edit_draft(draft, ALLOW, ctx=bob).row
        replayed(draft)
        change_set = proposed(draft, colleague(tenant, "robot", kind="service"))
        for author in (ann, bob):
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=author)
        publish(change_set, change_set.digest, ctx=colleague(tenant, "cleo"))

    @pytest.mark.parametrize("kind", ["service", "agent"])
    def test_only_people_can_publish(
        self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant, kind: str
    ) -> None:
        change_set = proposed(checked(ALLOW, ann), ann)
        for ctx in (colleague(tenant, "robot", kind=kind), acting_system(tenant)):
            with pytest.raises(errors.PersonRequired):
                publish(change_set, change_set.digest, ctx=ctx)

    def test_the_owner_of_the_writer_cannot_publish(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        agent = make_principal(tenant, "agent", kind="agent", roles=["policy_author"])
        set_owner(agent, "ann", ctx=acting_system(tenant))
        change_set = proposed(checked(ALLOW, acting(tenant, agent)), colleague(tenant, "robot", kind="service"))
        with pytest.raises(errors.SecondPersonRequired):
            publish(change_set, change_set.digest, ctx=ann)
        publish(change_set, change_set.digest, ctx=bob)

    def test_a_finished_replay_is_required(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        """The replay must cover this document, be finished, and use the version in force or the recorded decisions."""
        draft = drafted(ALLOW, ann)
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(draft, ctx=bob)
        replay = request_replay(draft, ReplayRequest(), ctx=ann, by_job=False)
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(draft, ctx=bob)
        assert run_replay(replay.id, ctx=ann)
        edited = edit_draft(draft, DENY, ctx=ann).row
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(edited, ctx=bob)
        back = edit_draft(edited, ALLOW, ctx=ann).row
        confirmed(back, ann, bob)
        assert receipts("policy.published")[0]["outcome"]["replay"] == replay.public_id
        one, other = checked(DENY, ann), checked(REVIEW, ann)
        confirmed(one, ann, bob)
        with pytest.raises(errors.ReplayReportRequired):  # its baseline is no longer in force
            publish_policy_version(other, ctx=bob)
        replayed(other, against=Against.RECORDED)
        confirmed(other, ann, bob)

    def test_upserting_alone_is_proposed(self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant) -> None:
        for ctx in (ann, acting_system(tenant)):
            with pytest.raises(errors.ConfirmationRequired), transaction.atomic():
                upsert_policy("payments", ALLOW, ctx=ctx)
        assert not Policy.objects.exists()
        assert "policy.published" not in receipt_kinds()


def test_apply_proposes_one_change_set_under_four_eyes(
    tenant: Tenant, tmp_path: Any, ann: ActingContext, capsys: pytest.CaptureFixture[str]
) -> None:
    with unit_of_work(tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(tenant))
    ada = acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "payments.yaml").write_text(
        "kind: Policy\nid: payments\nspec: {rules: [{id: a, when: 'true', effect: allow, reason: OK}]}\n"
    )
    (folder / "overlay.yaml").write_text("kind: Overlay\npolicy: payments\nscope: {tenant: true}\n")
    call_command("apply", str(folder), "--plan", tenant="acme")
    assert "+ Policy payments (created)" in capsys.readouterr().out
    call_command("apply", str(folder), tenant="acme")
    first = capsys.readouterr().out
    call_command("apply", str(folder), tenant="acme")
    assert capsys.readouterr().out == first
    assert first.startswith("chg_")
    assert "Nothing is changed yet." in first
    with unit_of_work(tenant.id):
        assert not Policy.objects.exists()
        change_set = ChangeSet.objects.get()
        assert change_set.title == "Apply documents: Policy payments, Overlay payments on tenant"
        with pytest.raises(errors.PermissionDenied):
            publish(change_set, change_set.digest, ctx=ann)
        publish(change_set, change_set.digest, ctx=ada)
        assert Policy.objects.get().in_force is not None


def test_an_unknown_writer_excludes_nobody(work: ActingContext, ann: ActingContext) -> None:
    """Writers may be ids of removed principals; they are listed and exclude nobody else."""
    draft = drafted(ALLOW, ann)
    PolicyVersion.objects.filter(id=draft.id).update(written_by=[uuid.UUID(int=7)])
    assert publish_policy_version(draft, ctx=ann).written_by == [uuid.UUID(int=7)]
