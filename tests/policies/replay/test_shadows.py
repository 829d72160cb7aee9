"""Shadows: comparison with live decisions, without enforcement or delay, and automatic end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from policies.deciding.decide import decide
from policies.drafts.edit import draft_policy_version, edit_draft
from policies.models import PolicyDecision, PolicyShadow, ShadowResult
from policies.replay import shadow_run as shadowing
from policies.replay.comparing import Comparer
from policies.replay.shadow_run import LATE, run_shadow
from policies.replay.shadows import MOST_ACTIVE, end_shadow, start_shadow
from policies.sweeps import enqueue_due_shadows
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.jobs import run_jobs
from tests.policies.rulebooks import PAYMENTS, asking, put_in_force, put_payment_run, receipts, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

STRICTER = spec(rule("large", "deny", "item.payload.amount_minor > 100"), rule("rest", "allow", reason="WITHIN_LIMITS"))


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    put_in_force(PAYMENTS, ctx=work)
    return work


def begun(ctx: ActingContext, document: Any = STRICTER, hours: int = 1) -> PolicyShadow:
    draft = draft_policy_version("payments", document, ctx=ctx).row
    return start_shadow(draft, ends_at=clock.now() + timedelta(hours=hours), ctx=ctx)


def decided(ctx: ActingContext, amount: int) -> PolicyDecision:
    return decide(asking(payload={"vendor": "Hooli", "amount_minor": amount}), ctx=ctx)


def seen(shadow: PolicyShadow) -> list[tuple[uuid.UUID, str]]:
    return list(ShadowResult.objects.filter(shadow=shadow).order_by("decision_id").values_list("decision_id", "kind"))


def test_live_decisions_are_compared_and_unaffected(book: ActingContext) -> None:
    before = decided(book, 500)
    shadow = begun(book)
    small, large = decided(book, 5), decided(book, 500)
    assert (small.outcome, large.outcome) == ("allow", "allow")
    assert run_shadow(shadow.id, ctx=book) == 2
    shadow.refresh_from_db()
    assert (shadow.compared, shadow.flipped, shadow.not_replayable, shadow.failed) == (2, 1, 0, 0)
    assert seen(shadow) == [(small.id, "same"), (large.id, "flip")]
    assert shadow.summary["outcomes"] == {"allow": {"allow": 1, "deny": 1}}
    assert shadow.summary["flips"][0]["examples"] == [large.public_id]
    assert (shadow.status, before.id in dict(seen(shadow))) == ("active", False)
    assert run_shadow(shadow.id, ctx=book) == 0
    decided(book, 7)
    assert run_shadow(shadow.id, ctx=book) == 1


def test_the_live_check_is_unaffected(book: ActingContext) -> None:
    """Same statements, no locks, same answer."""
    decided(book, 5)
    with CaptureQueriesContext(connection) as without:
        decided(book, 5)
    begun(book)
    with CaptureQueriesContext(connection) as with_shadow:
        decided(book, 5)
    assert [query["sql"].split()[:3] for query in with_shadow] == [query["sql"].split()[:3] for query in without]


def test_failed_comparisons_are_recorded_and_skipped(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = begun(book)
    first, second = decided(book, 5), decided(book, 500)
    whole = Comparer.compare

    def breaks(self: Comparer, recorded: Any, **more: Any) -> Any:
        if recorded.id == first.id:
            raise MemoryError
        return whole(self, recorded, **more)

    monkeypatch.setattr(Comparer, "compare", breaks)
    assert run_shadow(shadow.id, ctx=book) == 2
    shadow.refresh_from_db()
    assert (shadow.compared, shadow.flipped, shadow.failed) == (1, 1, 1)
    assert seen(shadow) == [(first.id, "failed"), (second.id, "flip")]
    assert ShadowResult.objects.get(kind="failed").found == {"error": "MemoryError"}


def test_missing_facts_are_reported(book: ActingContext) -> None:
    shadow = begun(book)
    assert decide(asking(payload={"vendor": "Hooli"}), ctx=book).outcome == "allow"
    run_shadow(shadow.id, ctx=book)
    shadow.refresh_from_db()
    assert (shadow.compared, shadow.not_replayable) == (0, 1)


def test_a_decision_that_commits_late_is_compared(book: ActingContext) -> None:
    """Its id is smaller than ids that were already compared."""
    shadow = begun(book)
    late = decided(book, 500)
    decided(book, 5)
    run_shadow(shadow.id, ctx=book)
    row = PolicyDecision.objects.get(id=late.id)
    row.id = uuid.UUID(int=late.id.int + 1)
    row.save(force_insert=True)
    assert run_shadow(shadow.id, ctx=book) == 1
    assert (row.id, "flip") in seen(shadow)


def test_settled_decisions_are_not_read_again(book: ActingContext) -> None:
    shadow = begun(book)
    decided(book, 5)
    run_shadow(shadow.id, ctx=book, now=clock.now() + LATE * 2)
    shadow.refresh_from_db()
    assert shadow.settled > shadow.from_id
    assert ids.instant_of(shadow.settled) <= clock.now() + LATE


def test_batches_follow_each_other(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "BATCH", 2)
    shadow = begun(book)
    for _ in range(5):
        decided(book, 5)
    assert run_shadow(shadow.id, ctx=book) == 5
    shadow.refresh_from_db()
    assert shadow.compared == 5


def test_it_ends_automatically(book: ActingContext) -> None:
    shadow = begun(book)
    decided(book, 500)
    assert run_shadow(shadow.id, ctx=book, now=shadow.ends_at + LATE - timedelta(seconds=1)) == 1
    shadow.refresh_from_db()
    assert shadow.status == "active"
    assert run_shadow(shadow.id, ctx=book, now=shadow.ends_at + LATE) == 0
    shadow.refresh_from_db()
    assert shadow.status == "ended"
    (ended,) = receipts("policy.shadow_ended")
    assert ended["outcome"]["compared"] == ended["outcome"]["flipped"] == 1
    decided(book, 500)
    assert run_shadow(shadow.id, ctx=book) == 0


def test_an_edited_draft_is_compared_as_started(book: ActingContext) -> None:
    shadow = begun(book)
    edit_draft(shadow.policy_version, spec(rule("rest", "allow")), ctx=book)
    decided(book, 500)
    run_shadow(shadow.id, ctx=book)
    shadow.refresh_from_db()
    assert shadow.flipped == 1


@pytest.mark.parametrize("hours", [-1, 24 * 91])
def test_an_invalid_end_is_refused(book: ActingContext, hours: int) -> None:
    with pytest.raises(errors.InvalidRequest):
        begun(book, hours=hours)
    assert not PolicyShadow.objects.exists()


def test_active_shadows_are_limited(book: ActingContext) -> None:
    shadow = begun(book)
    with pytest.raises(errors.Conflict):
        begun(book)
    twin = PolicyShadow.objects.get(id=shadow.id)
    twin.id = ids.new_uuid()
    with pytest.raises(IntegrityError, match="policyshadow_one_active"), transaction.atomic():
        twin.save(force_insert=True)
    for number in range(MOST_ACTIVE - 1):
        begun(book, spec(rule(f"rule-{number}", "allow")))
    with pytest.raises(errors.Conflict):
        begun(book, spec(rule("one-more", "allow")))
    end_shadow(shadow, ctx=book)
    begun(book)
    with pytest.raises(errors.TransitionNotAllowed):
        end_shadow(shadow, ctx=book)


def test_through_the_api_and_the_jobs(tenant: Tenant, ctx: ActingContext, api: Callable[..., Api]) -> None:
    with unit_of_work(tenant.id):
        put_payment_run(ctx)
        put_in_force(PAYMENTS, ctx=ctx)
        draft_policy_version("payments", STRICTER, ctx=ctx)
    author = api(make_token(tenant, make_principal(tenant, "author", roles=["policy_author"])))
    until = rfc3339(clock.now() + timedelta(hours=1))
    answer = author.post("/policies/payments/versions/2/shadow", {"ends_at": until})
    assert (answer.status_code, answer.json()["status"]) == (201, "active")
    assert author.post("/policies/payments/versions/2/shadow", {"ends_at": until}).json()["reason_code"] == "conflict"
    wrong = author.post("/policies/payments/versions/1/shadow", {"ends_at": "tomorrow"})
    assert wrong.json()["errors"][0]["pointer"] == "/ends_at"
    with unit_of_work(tenant.id):
        decided(ctx, 500)
    assert enqueue_due_shadows() == 1
    run_jobs()
    where = answer.headers["Location"]
    assert (author.get(where).json()["compared"], author.get(where).json()["flipped"]) == (1, 1)
    assert len(author.get("/policy-shadows", {"policy_id": "payments", "status": "active"}).json()["data"]) == 1
    assert author.post(f"{where}/end", {}).json()["status"] == "ended"
    assert author.post(f"{where}/end", {}).json()["reason_code"] == "transition_not_allowed"
    assert enqueue_due_shadows() == 0
