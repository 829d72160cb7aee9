"""Decisions: evaluation, stored data, and a deny with its own reason code for every failure."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies import selectors
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.deciding import decide as deciding
from policies.deciding import rulebook
from policies.deciding.decide import decide, recheck
from policies.deciding.stored_decision import stored_facts
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.language.approvals import from_json
from policies.language.evaluation import RulebookEntry, Verdict, evaluate
from policies.models import PolicyDecision, PolicyVersion
from policies.publication.publish import retire_policy_version, upsert_policy
from tests.policies.rulebooks import (
    PAYMENT_RUN,
    PAYMENTS,
    TENANT,
    WEB_MAIN,
    asking,
    put_in_force,
    put_payment_run,
    rule,
    spec,
)
from threada_site.database.unit_of_work import OutsideUnitOfWorkError
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.personal_data.subject_keys import note_case


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    return work


def answered(ctx: ActingContext, **request: Any) -> tuple[str, list[str]]:
    decision = decide(asking(**request), ctx=ctx)
    return decision.outcome, decision.reason_codes


@pytest.mark.parametrize(
    ("request_", "outcome", "reasons"),
    [
        ({}, "allow", ["WITHIN_LIMITS"]),
        ({"confidence": 0.3}, "review", ["UNSURE"]),
        ({"payload": {"vendor": "Initech", "amount_minor": 5}}, "deny", ["SANCTIONED"]),
        ({"payload": {"vendor": "Hooli", "amount_minor": 5000}}, "allow", ["WITHIN_LIMITS"]),
        ({"payload": {"vendor": "Hooli", "amount_minor": 5000}, "action": "pay"}, "require_approval", ["LARGE"]),
        ({"payload": {"vendor": "Initech", "amount_minor": 5000}, "action": "pay"}, "deny", ["SANCTIONED"]),
        ({"action": "pay"}, "allow", ["WITHIN_LIMITS"]),
    ],
)
def test_the_rules_in_force_decide(
    book: ActingContext, request_: dict[str, Any], outcome: str, reasons: list[str]
) -> None:
    put_in_force(PAYMENTS, ctx=book)
    assert answered(book, **request_) == (outcome, reasons)


def test_a_decision_stores_what_is_needed_to_repeat_it(book: ActingContext) -> None:
    version = put_in_force(PAYMENTS, ctx=book)
    item, execution = uuid.uuid4(), uuid.uuid4()
    request = asking(
        work_item_id=item,
        execution_id=execution,
        payload={"vendor": "Hooli", "amount_minor": 5000},
        action="pay",
        integration="int_bank",
        input={"note": "ü"},
        roles=("requester", "operator"),
    )
    saved = decide(request, ctx=book)
    decision = PolicyDecision.objects.get()
    assert decision.id == saved.id
    assert (decision.work_item_id, decision.execution_id, decision.point) == (item, execution, "execute")
    assert decision.matched == [
        {
            "policy": "payments",
            "version_id": version.public_id,
            "rule": "large",
            "effect": "require_approval",
            "reason": "LARGE",
            "scope": "workflow",
        }
    ]
    assert decision.policy_version_id == version.id
    assert decision.versions == [
        {"policy": "payments", "version_id": version.public_id, "scope": "workflow", "on": ["payment_run"]}
    ]
    (sanctioned,) = selectors.lists(book)
    assert decision.list_versions == {"sanctioned_vendors": str(sanctioned.current_version_id)}
    assert decision.approvals is not None
    assert str(from_json(decision.approvals).tree) == "Leaf(kind='role', name='finance', count=1)"
    assert decision.trace[0]["looked_at"] == ["sanctioned", "large", "within-limits"]
    assert decision.trace[0]["matched"] == ["large", "within-limits"]
    assert decision.engine.startswith("cel-expr-python ")
    assert sha256_hex(bytes(decision.facts)) == decision.facts_sha256
    facts = stored_facts(decision)
    assert sorted(facts) == ["ctx", "input", "item"]
    assert facts["item"]["id"] == ids.public_id(ids.WORK_ITEM, item)
    assert facts["input"] == {"note": "ü"}
    assert (facts["ctx"]["action"], facts["ctx"]["roles"]) == ("pay", ["operator", "requester"])


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"confidence": 0.3},
        {"payload": {"vendor": "Initech", "amount_minor": 5}},
        {"payload": {"vendor": "Hooli", "amount_minor": 5000}, "action": "pay"},
        {"payload": {}},
    ],
)
def test_stored_facts_and_versions_reproduce_the_outcome(book: ActingContext, request_: dict[str, Any]) -> None:
    put_in_force(PAYMENTS, ctx=book)
    decision = decide(asking(**request_), ctx=book)
    upsert_policy("payments", spec(rule("other", "deny")), ctx=book)
    upsert_list("sanctioned_vendors", parse_list({"items": []}), ctx=book)
    assert answered(book, **request_) == ("deny", ["OTHER"])
    again = evaluated_again(PolicyDecision.objects.get(id=decision.id), book)
    assert (again.outcome, list(again.reason_codes)) == (decision.outcome, decision.reason_codes)


def evaluated_again(decision: PolicyDecision, ctx: ActingContext) -> Verdict:
    versions = {
        row["version_id"]: ids.parse_public_id(ids.POLICY_VERSION, row["version_id"]) for row in decision.versions
    }
    compiled = rulebook.compiled_policies([found for found in versions.values() if found], ctx=ctx)
    entries = [
        RulebookEntry(row["policy"], row["version_id"], row["scope"], compiled[versions[row["version_id"]]])  # type: ignore[index]
        for row in decision.versions
    ]
    named = {name: uuid.UUID(version_id) for name, version_id in decision.list_versions.items()}
    items = rulebook.list_items(named.values(), ctx=ctx)
    lists = {name: items[version_id] for name, version_id in named.items()}
    return evaluate(entries, {**stored_facts(decision), "lists": lists})


def test_a_recheck_gives_the_same_verdict_and_stores_nothing(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    request = asking(payload={"vendor": "Initech", "amount_minor": 5}, action="pay")
    verdict = recheck(request, ctx=book)
    assert (verdict.outcome, verdict.reason_codes) == ("deny", ("SANCTIONED",))
    assert not PolicyDecision.objects.exists()


def test_deciding_takes_two_statements(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    put_in_force(spec(rule("yes", "allow")), TENANT, ctx=book, policy="wide")
    first, second = asking(), asking()
    for request in (first, second):
        note_case(request.work_item_id, None)  # as every caller that has read the case
    with CaptureQueriesContext(connection) as cold:
        decide(first, ctx=book)
    with CaptureQueriesContext(connection) as warm:
        decide(second, ctx=book)
    with CaptureQueriesContext(connection) as without_keeping:
        recheck(asking(), ctx=book)
    assert (len(cold), len(warm), len(without_keeping)) == (4, 2, 1)


def test_without_an_overlay_no_policy_applies(book: ActingContext) -> None:
    upsert_policy("payments", PAYMENTS, ctx=book)
    assert answered(book) == ("deny", ["policy_missing"])


def test_a_bound_policy_without_a_version_in_force_denies(book: ActingContext) -> None:
    put_in_force(spec(rule("yes", "allow")), TENANT, ctx=book, policy="wide")
    first = put_in_force(PAYMENTS, ctx=book)
    second = upsert_policy("payments", spec(rule("yes", "allow")), ctx=book).row
    assert answered(book) == ("allow", ["YES"])
    retire_policy_version(second, ctx=book)
    decision = decide(asking(), ctx=book)
    assert (decision.outcome, decision.reason_codes, decision.matched) == ("deny", ["policy_missing"], [])
    assert decision.rule_errors == [{"policy": "payments", "rule": "", "message": "It has no version in force."}]
    assert {"policy": "payments", "version_id": None, "scope": None, "on": []} in decision.versions
    assert PolicyVersion.objects.get(id=first.id).status == "published"
    upsert_policy("payments", PAYMENTS, ctx=book)
    assert answered(book) == ("allow", ["YES", "WITHIN_LIMITS"])


def test_a_rule_that_fails_denies(book: ActingContext) -> None:
    put_in_force(spec(rule("odd", "deny", "item.payload.amount_minor > 10"), rule("yes", "allow")), ctx=book)
    decision = decide(asking(payload={"vendor": "Hooli"}), ctx=book)
    assert (decision.outcome, decision.reason_codes, decision.matched) == ("deny", ["policy_error"], [])
    assert [(error["policy"], error["rule"]) for error in decision.rule_errors] == [("payments", "odd")]
    assert decision.policy_version_id == PolicyVersion.objects.get().id


def test_an_unreadable_version_denies(book: ActingContext) -> None:
    version = put_in_force(PAYMENTS, ctx=book)
    broken = PolicyVersion.objects.create(
        tenant_id=book.tenant_id,
        policy=version.policy,
        number=2,
        status="published",
        document={"rules": 3},
        document_sha256="",
    )
    version.policy.in_force = broken
    version.policy.save()
    decision = decide(asking(), ctx=book)
    assert (decision.outcome, decision.reason_codes) == ("deny", ["policy_malformed"])
    assert decision.policy_version_id == broken.id


def test_rules_that_take_too_long_deny(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_force(PAYMENTS, ctx=book)
    monkeypatch.setattr(deciding, "evaluate", lambda entries, facts: evaluate(entries, facts, cpu_limit=-1))
    assert answered(book) == ("deny", ["policy_too_slow"])


def test_an_engine_failure_denies(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_force(PAYMENTS, ctx=book)

    def broken(*_: Any) -> Verdict:
        raise MemoryError

    monkeypatch.setattr(deciding, "evaluate", broken)
    assert answered(book) == ("deny", ["policy_error"])


def test_no_matching_rule_denies(book: ActingContext) -> None:
    put_in_force(spec(rule("never", "allow", "false")), ctx=book)
    decision = decide(asking(), ctx=book)
    assert (decision.outcome, decision.reason_codes) == ("deny", ["no_rule_matched"])
    assert (decision.matched, decision.policy_version_id) == ([], None)


def test_a_missing_list_denies(book: ActingContext) -> None:
    draft = upsert_policy("payments", spec(rule("odd", "deny", "true")), ctx=book, publish=False).row
    gone = spec(rule("odd", "deny", "'a' in lists.nothing"))
    PolicyVersion.objects.filter(id=draft.id).update(document=gone, status="published")
    draft.policy.in_force = draft
    draft.policy.save()
    upsert_overlay_unchecked(draft, book)
    assert answered(book) == ("deny", ["policy_error"])


def upsert_overlay_unchecked(version: PolicyVersion, ctx: ActingContext) -> None:
    version.policy.overlays.create(tenant_id=ctx.tenant_id, scope_kind="tenant", scope_slug="")


def test_only_the_deciding_rules_are_stored_as_matched(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    decision = decide(asking(payload={"vendor": "Initech", "amount_minor": 5}, confidence=0.1), ctx=book)
    assert [match["rule"] for match in decision.matched] == ["sanctioned"]
    assert decision.trace[0]["matched"] == ["sanctioned", "unsure", "within-limits"]


NO, YES = rule("no", "deny"), rule("yes", "allow")


@pytest.mark.parametrize(
    ("wide", "narrow", "scope", "outcome"),
    [
        (YES, NO, PAYMENT_RUN, "deny"),
        (NO, YES, PAYMENT_RUN, "deny"),
        (NO, {**YES, "overrides": ["wide/no"]}, PAYMENT_RUN, "deny"),
        ({**NO, "overridable": True}, YES, PAYMENT_RUN, "deny"),
        ({**NO, "overridable": True}, {**YES, "overrides": ["wide/no"]}, PAYMENT_RUN, "allow"),
        ({**NO, "overridable": True}, {**YES, "overrides": ["wide/no"]}, WEB_MAIN, "allow"),
        ({**NO, "overridable": True}, {**YES, "overrides": ["wide/no"]}, TENANT, "deny"),
    ],
)
def test_a_narrower_overlay_tightens_and_overrides_only_named_overridable_rules(
    book: ActingContext, wide: dict[str, Any], narrow: dict[str, Any], scope: OverlayScope, outcome: str
) -> None:
    put_in_force(spec({**wide, "overridable": True}), TENANT, ctx=book, policy="wide")
    put_in_force(spec(narrow), scope, ctx=book, policy="narrow")
    upsert_policy("wide", spec(wide), ctx=book)
    decision = decide(asking(), ctx=book)
    assert decision.outcome == outcome
    assert [row["scope"] for row in decision.versions] == ["tenant", scope.kind]
    overridden = ["no"] if outcome == "allow" else []
    assert decision.trace[0]["overridden"] == overridden


def test_an_overlay_of_another_scope_does_not_apply(book: ActingContext) -> None:
    put_in_force(spec(YES), PAYMENT_RUN, ctx=book)
    put_in_force(spec(NO), WEB_MAIN, ctx=book, policy="web-only")
    assert answered(book, channel="web_main") == ("deny", ["NO"])
    assert answered(book, channel="") == ("allow", ["YES"])
    assert answered(book, workflow="other", channel="") == ("deny", ["policy_missing"])


def test_a_removed_overlay_does_not_apply(book: ActingContext) -> None:
    put_in_force(spec(YES), PAYMENT_RUN, ctx=book)
    upsert_policy("strict", spec(NO), ctx=book)
    overlay = upsert_overlay("strict", TENANT, ctx=book).row
    assert answered(book) == ("deny", ["NO"])
    remove_overlay(overlay, ctx=book)
    assert answered(book) == ("allow", ["YES"])


def test_a_new_list_version_applies_from_the_next_decision(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    assert answered(book) == ("allow", ["WITHIN_LIMITS"])
    upsert_list("sanctioned_vendors", parse_list({"items": ["Hooli"]}), ctx=book)
    assert answered(book) == ("deny", ["SANCTIONED"])


def test_deciding_needs_a_unit_of_work(ctx: ActingContext) -> None:
    with pytest.raises(OutsideUnitOfWorkError):
        decide(asking(), ctx=ctx)
