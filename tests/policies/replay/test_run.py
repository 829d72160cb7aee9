"""Replays of recorded decisions: flips, missing records, leases, cancellation and resumption."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from policies import selectors
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import upsert_overlay
from policies.deciding import decide as deciding
from policies.deciding.decide import decide
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.language.evaluation import evaluate
from policies.models import PolicyDecision, PolicyReplay, ReplayFinding
from policies.publication.publish import retire_policy_version, upsert_policy
from policies.replay import run as replaying
from policies.replay.recorded_decisions import ListHistory
from policies.replay.request import (
    Against,
    ReplayRequest,
    cancel_replay,
    request_document_replay,
    request_replay,
    resume_replay,
)
from policies.replay.run import run_replay
from tests.policies.rulebooks import (
    PAYMENT_RUN,
    PAYMENTS,
    TENANT,
    WEB_MAIN,
    asking,
    put_in_force,
    put_payment_run,
    receipts,
    rule,
    spec,
)
from threada_site.database.roles import platform_role
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import ErasedBytes

YES, NO = rule("yes", "allow"), rule("no", "deny")
SMALL, LARGE = {"vendor": "Hooli", "amount_minor": 5}, {"vendor": "Hooli", "amount_minor": 5000}


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    return work


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat new list versions as old enough to be certain."""
    monkeypatch.setattr(ListHistory, "SETTLES_S", 0)


def replayed(document: Any, ctx: ActingContext, policy: str = "payments", **request: Any) -> PolicyReplay:
    """Request a replay and run it to its end."""
    found = selectors.policy_by_slug(policy, ctx=ctx)
    assert found is not None
    replay = request_document_replay(found, document, ReplayRequest(**request), ctx=ctx, by_job=False)
    assert run_replay(replay.id, ctx=ctx)
    replay.refresh_from_db()
    assert replay.status == "finished"
    return replay


def counts(replay: PolicyReplay) -> tuple[int, int, int]:
    return replay.replayed, replay.flipped, replay.not_replayable


def findings(replay: PolicyReplay, kind: str) -> list[ReplayFinding]:
    return list(ReplayFinding.objects.filter(replay=replay, kind=kind).order_by("decision_id"))


def three_cases(ctx: ActingContext) -> list[PolicyDecision]:
    """Decide an allowed small payment, a large one that needs approval, and one to a sanctioned vendor."""
    sanctioned = {"vendor": "Initech", "amount_minor": 5}
    return [decide(asking(payload=payload, action="pay"), ctx=ctx) for payload in (SMALL, LARGE, sanctioned)]


def test_a_draft_flips_decisions_that_it_changes(book: ActingContext) -> None:
    version = put_in_force(PAYMENTS, ctx=book)
    small, large, _ = three_cases(book)
    stricter = spec(
        PAYMENTS["rules"][0],
        rule("large", "require_approval", "item.payload.amount_minor > 1", approvals={"role": "finance", "count": 2}),
        YES,
    )
    replay = replayed(stricter, book)
    assert counts(replay) == (3, 1, 0)
    assert replay.summary["outcomes"] == {
        "allow": {"require_approval": 1},
        "require_approval": {"require_approval": 1},
        "deny": {"deny": 1},
    }
    assert replay.summary["flips"] == [
        {
            "from": {"effect": "allow", "reasons": ["WITHIN_LIMITS"]},
            "to": {"effect": "require_approval", "reasons": ["LARGE"]},
            "count": 1,
            "examples": [small.public_id],
        }
    ]
    assert replay.summary["approvals"] == {"appears": 1, "vanishes": 0, "changes": 1}
    assert replay.summary["people"] == {"more": 3, "fewer": 0}
    place = {"replayed": 3, "flipped": 1, "appears": 1, "changes": 1, "people": 3}
    assert (replay.summary["workflows"], replay.summary["channels"]) == ({"payment_run": place}, {"web_main": place})
    (flip,) = findings(replay, "flip")
    assert (flip.decision_id, flip.case["point"], flip.case["channel_id"]) == (small.id, "execute", "web_main")
    assert flip.found["from"] == {"effect": "allow", "reasons": ["WITHIN_LIMITS"], "people": 0}
    assert flip.found["to"] == {"effect": "require_approval", "reasons": ["LARGE"], "people": 2}
    (other,) = findings(replay, "asking")
    assert (other.decision_id, other.found["approval"], other.found["people"]) == (large.id, "changes", 1)
    assert (replay.baseline_id, replay.policy_version_id) == (version.id, None)


def test_a_replay_records_receipts_of_request_and_result(book: ActingContext) -> None:
    version = put_in_force(PAYMENTS, ctx=book)
    three_cases(book)
    replay = replayed(PAYMENTS, book)
    (requested,), (done,) = receipts("policy.replay_requested"), receipts("policy.replayed")
    assert requested["inputs"]["policy_replay_id"] == done["inputs"]["policy_replay_id"] == replay.public_id
    assert requested["policy"] == {
        "policy": "payments",
        "document_sha256": version.document_sha256,
        "baseline": version.public_id,
    }
    assert done["outcome"] == {"replayed": 3, "flipped": 0, "not_replayable": 0}
    assert done["subject"]["policy_version_id"] == version.public_id


@pytest.mark.parametrize("against", list(Against))
def test_the_version_in_force_flips_nothing_in_its_own_history(book: ActingContext, against: Against) -> None:
    put_in_force(
        spec(rule("odd", "deny", "item.confidence < 0.2", overridable=True), YES), TENANT, ctx=book, policy="wide"
    )
    put_in_force(PAYMENTS, ctx=book)
    three_cases(book)
    for confidence in (0.1, 0.5, 1):
        decide(asking(confidence=confidence), ctx=book)
    decide(asking(payload={}), ctx=book)
    assert counts(replayed(PAYMENTS, book, against=against)) == (7, 0, 0)


def test_decisions_of_older_versions_are_compared_with_the_version_in_force(book: ActingContext, settled: None) -> None:
    """The replay shows the effect of this change only, or with `recorded` the difference to the decisions."""
    put_in_force(PAYMENTS, ctx=book)
    three_cases(book)
    now_in_force = spec(NO)
    upsert_policy("payments", now_in_force, ctx=book)
    decide(asking(), ctx=book)
    assert counts(replayed(now_in_force, book)) == (4, 0, 0)
    assert counts(replayed(PAYMENTS, book)) == (4, 4, 0)
    recorded = replayed(now_in_force, book, against=Against.RECORDED)
    assert (counts(recorded), recorded.baseline) == ((4, 3, 0), None)
    assert counts(replayed(PAYMENTS, book, against=Against.RECORDED)) == (4, 1, 0)


def test_other_policies_are_as_they_were_then(book: ActingContext) -> None:
    put_in_force(spec(YES), TENANT, ctx=book, policy="wide")
    put_in_force(PAYMENTS, ctx=book)
    decide(asking(), ctx=book)
    upsert_policy("wide", spec(NO), ctx=book)
    assert counts(replayed(PAYMENTS, book)) == (1, 0, 0)
    assert counts(replayed(spec(NO), book)) == (1, 1, 0)


def test_decisions_to_which_the_policy_did_not_apply_are_skipped(book: ActingContext) -> None:
    put_in_force(spec(YES), TENANT, ctx=book, policy="wide")
    put_in_force(spec(YES), WEB_MAIN, ctx=book)
    decide(asking(channel=""), ctx=book)
    decide(asking(), ctx=book)
    assert counts(replayed(spec(NO), book)) == (1, 1, 0)
    assert counts(replayed(spec(NO), book, policy="wide")) == (2, 2, 0)


def test_the_time_window_is_half_open(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    first, second, third = three_cases(book)
    at = [ids.instant_of(decision.id) for decision in (first, second, third)]
    within = sum(at[0] <= instant < at[2] for instant in at)
    replay = replayed(spec(NO), book, created_after=at[0], created_before=at[2])
    assert counts(replay)[0] == within
    later = clock.now() + timedelta(days=1)
    assert counts(replayed(spec(NO), book, created_after=later)) == (0, 0, 0)
    with pytest.raises(errors.InvalidRequest):
        replayed(spec(NO), book, created_after=at[2], created_before=at[0])


def test_missing_facts_are_not_guessed(book: ActingContext) -> None:
    put_in_force(spec(YES), ctx=book)
    decide(asking(), ctx=book)
    decide(asking(payload={**SMALL, "country": "FR"}), ctx=book)
    replay = replayed(spec(rule("abroad", "deny", "item.payload.country != 'FR'"), YES), book)
    assert counts(replay) == (1, 0, 1)
    assert replay.summary["not_replayable_because"] == {"fact_not_recorded": {"count": 1, "payments/abroad": 1}}
    (finding,) = findings(replay, "not_replayable")
    assert finding.found == {"why": "fact_not_recorded", "rules": ["payments/abroad"]}
    assert counts(replayed(spec(rule("abroad", "deny", "has(item.payload.country)"), YES), book)) == (2, 1, 0)


def test_replaying_a_failed_rule_fails_again_and_fixing_it_is_a_flip(book: ActingContext) -> None:
    fails = spec(rule("large", "deny", "item.payload.amount_minor > 100"), YES)
    put_in_force(fails, ctx=book)
    assert decide(asking(payload={"vendor": "Hooli"}), ctx=book).reason_codes == ["policy_error"]
    assert counts(replayed(fails, book)) == (1, 0, 0)
    has = "has(item.payload.amount_minor) && item.payload.amount_minor > 100"
    fixed = replayed(spec(rule("large", "deny", has), YES), book)
    assert (counts(fixed), fixed.summary["outcomes"]) == ((1, 1, 0), {"deny": {"allow": 1}})


def test_a_rule_that_fails_on_recorded_facts_is_replayable(book: ActingContext) -> None:
    put_in_force(spec(YES), ctx=book)
    decide(asking(), ctx=book)
    replay = replayed(spec(rule("odd", "deny", "int(item.payload.vendor) > 1"), YES), book)
    assert counts(replay) == (1, 1, 0)
    assert replay.summary["flips"][0]["to"] == {"effect": "deny", "reasons": ["policy_error"]}


def test_lists_have_the_version_at_the_time_of_the_decision(book: ActingContext) -> None:
    put_in_force(spec(YES), ctx=book)
    upsert_list("watched", parse_list({"items": ["Hooli"]}), ctx=book)
    decide(asking(), ctx=book)
    reading = spec(rule("watched", "deny", "item.payload.vendor in lists.watched"), YES)
    unsure = replayed(reading, book)
    assert counts(unsure) == (0, 0, 1)
    assert unsure.summary["not_replayable_because"] == {"list_not_recorded": {"count": 1, "lists.watched": 1}}
    put_in_force(reading, ctx=book)
    assert decide(asking(), ctx=book).outcome == "deny"
    upsert_list("watched", parse_list({"items": []}), ctx=book)
    assert decide(asking(), ctx=book).outcome == "allow"
    replay = replayed(reading, book, against=Against.RECORDED)
    assert counts(replay) == (2, 0, 1)


def test_a_list_version_long_in_use_is_certain(book: ActingContext, settled: None) -> None:
    put_in_force(spec(YES), ctx=book)
    decide(asking(), ctx=book)
    upsert_list("watched", parse_list({"items": ["Hooli"]}), ctx=book)
    decide(asking(), ctx=book)
    upsert_list("watched", parse_list({"items": []}), ctx=book)
    decide(asking(), ctx=book)
    replay = replayed(spec(rule("watched", "deny", "item.payload.vendor in lists.watched"), YES), book)
    assert (counts(replay), replay.summary["not_replayable_because"]) == (
        (2, 1, 1),
        {"fact_not_recorded": {"count": 1, "payments/watched": 1}},
    )


def test_erased_facts_are_not_replayable(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    gone, _, _ = three_cases(book)
    with platform_role():
        PolicyDecision.objects.filter(id=gone.id).update(facts=ErasedBytes("retention"))
    replay = replayed(spec(NO), book)
    assert counts(replay) == (2, 2, 1)
    (finding,) = findings(replay, "not_replayable")
    assert (finding.decision_id, finding.found) == (gone.id, {"why": "facts_removed", "rules": []})
    assert finding.case["workflow_id"] is None


def test_decisions_that_hit_the_time_limit_are_not_replayable(
    book: ActingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_force(PAYMENTS, ctx=book)
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "evaluate", lambda entries, facts: evaluate(entries, facts, cpu_limit=-1))
        assert decide(asking(), ctx=book).reason_codes == ["policy_too_slow"]
    replay = replayed(PAYMENTS, book)
    assert (counts(replay), replay.summary["not_replayable_because"]) == ((0, 0, 1), {"too_slow": {"count": 1}})


def test_a_first_version_is_replayed_where_nothing_was_in_force(book: ActingContext) -> None:
    upsert_policy("payments", spec(YES), ctx=book, publish=False)
    upsert_overlay("payments", PAYMENT_RUN, ctx=book)
    assert decide(asking(), ctx=book).reason_codes == ["policy_missing"]
    replay = replayed(spec(YES), book)
    assert (counts(replay), replay.summary["outcomes"]) == ((1, 1, 0), {"deny": {"allow": 1}})


def test_the_scope_of_a_policy_without_a_version_is_not_guessed(book: ActingContext) -> None:
    put_in_force(spec({**NO, "overridable": True}), TENANT, ctx=book, policy="wide")
    retire_policy_version(put_in_force(spec(YES), ctx=book), ctx=book)
    decide(asking(), ctx=book)
    replay = replayed(spec({**YES, "overrides": ["wide/no"]}), book)
    assert (counts(replay), replay.summary["not_replayable_because"]) == (
        (0, 0, 1),
        {"scope_not_recorded": {"count": 1}},
    )


def test_replaced_scopes_are_replayed_over_all_their_decisions(book: ActingContext) -> None:
    put_in_force(spec(YES), TENANT, ctx=book, policy="wide")
    put_in_force(spec(NO), WEB_MAIN, ctx=book)
    decide(asking(channel="web_main"), ctx=book)
    decide(asking(channel=""), ctx=book)
    assert counts(replayed(spec(NO), book, scopes=(WEB_MAIN,))) == (1, 0, 0)
    wider = replayed(spec(NO), book, scopes=(OverlayScope("tenant"),))
    assert (counts(wider), wider.summary["outcomes"]) == ((2, 1, 0), {"deny": {"deny": 1}, "allow": {"deny": 1}})
    nowhere = replayed(spec(NO), book, scopes=())
    assert (counts(nowhere), nowhere.summary["outcomes"]) == ((1, 1, 0), {"deny": {"allow": 1}})


def test_an_invalid_document_is_refused(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    with pytest.raises(errors.PolicyDocumentInvalid):
        replayed({"rules": 3}, book)
    assert not PolicyReplay.objects.exists()


# Cancellation, resumption and worker crashes


def started(ctx: ActingContext, **request: Any) -> PolicyReplay:
    version = put_in_force(PAYMENTS, ctx=ctx)
    for _ in range(4):
        three_cases(ctx)
    return request_replay(version, ReplayRequest(**request), ctx=ctx, by_job=False)


def test_a_resumed_replay_counts_nothing_twice(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH", 5)
    monkeypatch.setattr(replaying, "BATCH_S", 60)  # so that load does not end a batch early
    replay = started(book)
    progress: list[tuple[int, int]] = []
    assert run_replay(
        replay.id,
        ctx=book,
        is_asked_to_stop=lambda: len(progress) == 1,
        after_batch=lambda r: progress.append((r.replayed, r.percent)),
    )
    replay.refresh_from_db()
    assert (replay.status, replay.replayed, replay.attempt) == ("requested", 5, 1)
    assert progress[0][0] == 5
    assert 0 <= progress[0][1] <= 99
    assert run_replay(replay.id, ctx=book)
    replay.refresh_from_db()
    assert (replay.status, counts(replay), replay.attempt, replay.percent) == ("finished", (12, 0, 0), 2, 100)
    assert not run_replay(replay.id, ctx=book)


def test_a_cancelled_replay_stops_and_can_be_resumed(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH", 5)
    monkeypatch.setattr(replaying, "BATCH_S", 60)  # so that load does not end a batch early
    replay = started(book)

    def cancel(running: PolicyReplay) -> None:
        if running.status == "running":
            cancel_replay(PolicyReplay.objects.select_for_update().get(id=running.id), ctx=book)

    assert run_replay(replay.id, ctx=book, after_batch=cancel)
    replay.refresh_from_db()
    assert (replay.status, replay.replayed) == ("cancelled", 5)
    assert not run_replay(replay.id, ctx=book)
    resume_replay(replay, ctx=book, by_job=False)
    assert run_replay(replay.id, ctx=book)
    replay.refresh_from_db()
    assert (replay.status, counts(replay)) == ("finished", (12, 0, 0))
    with pytest.raises(errors.TransitionNotAllowed):
        cancel_replay(replay, ctx=book)
    with pytest.raises(errors.TransitionNotAllowed):
        resume_replay(replay, ctx=book)
    kinds = ["policy.replay_requested", "policy.replay_cancelled", "policy.replay_resumed", "policy.replayed"]
    assert [len(receipts(kind)) for kind in kinds] == [1, 1, 1, 1]


def test_a_worker_that_lost_its_lease_writes_nothing(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease of a stalled worker expires; another worker continues, and the first one stops."""
    monkeypatch.setattr(replaying, "BATCH", 5)
    monkeypatch.setattr(replaying, "BATCH_S", 60)  # so that load does not end a batch early
    replay = started(book)

    def overtake(running: PolicyReplay) -> None:
        if running.attempt == 1 and running.status == "running":
            PolicyReplay.objects.filter(id=running.id).update(lease_until=clock.now() - timedelta(seconds=1))
            assert run_replay(running.id, ctx=book)

    assert run_replay(replay.id, ctx=book, after_batch=overtake)
    replay.refresh_from_db()
    assert (replay.status, counts(replay), replay.attempt) == ("finished", (12, 0, 0), 2)


def test_a_replay_that_crashes_its_workers_fails(book: ActingContext) -> None:
    replay = started(book)
    long_ago = clock.now() - timedelta(minutes=1)
    PolicyReplay.objects.filter(id=replay.id).update(status="running", attempt=5, lost=4, lease_until=long_ago)
    assert not run_replay(replay.id, ctx=book)
    replay.refresh_from_db()
    assert (replay.status, replay.failure) == ("failed", "worker_lost")
    assert receipts("policy.replay_failed")[0]["outcome"]["reason_codes"] == ["worker_lost"]
    resume_replay(replay, ctx=book, by_job=False)
    assert run_replay(replay.id, ctx=book)


def test_an_unknown_replay_is_not_run(book: ActingContext) -> None:
    assert not run_replay(uuid.uuid4(), ctx=book)
