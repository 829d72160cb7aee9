"""Simulations: same result as the live check if the version were in force."""

from __future__ import annotations

import random
from typing import Any

import pytest

from policies.api.resources.trials import SIMULATION
from policies.configuration.lists import upsert_list
from policies.deciding.decide import decide, errors_json, versions_json
from policies.documents.list import parse_list
from policies.drafts.edit import draft_policy_version
from policies.language.request import DecisionRequest
from policies.models import PolicyDecision
from policies.publication.publish import retire_policy_version, upsert_policy
from policies.replay.candidate import candidate_of, candidate_version
from policies.replay.simulate import Simulation, simulate
from tests.policies.rulebooks import (
    PAYMENT_RUN,
    PAYMENTS,
    TENANT,
    WEB_MAIN,
    asking,
    put_in_force,
    put_payment_run,
    receipt_kinds,
    rule,
    spec,
)
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext

YES, NO = rule("yes", "allow"), rule("no", "deny")


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    return work


def facts(payload: Any = None, **more: Any) -> dict[str, Any]:
    """Return the facts of a small payment, updated with `more`."""
    given = {"item": {"workflow": "payment_run", "payload": payload or {"vendor": "Hooli", "amount_minor": 5}}}
    given["item"] |= more.pop("item", {})
    return given | more


def said(document: dict[str, Any], given: dict[str, Any], ctx: ActingContext) -> Simulation:
    return simulate(candidate_of("payments", document), given, ctx=ctx)


def test_a_draft_is_evaluated_together_with_all_policies_in_force(book: ActingContext) -> None:
    put_in_force(
        spec(rule("never-initech", "deny", "item.payload.vendor == 'Initech'"), YES), TENANT, ctx=book, policy="wide"
    )
    version = put_in_force(PAYMENTS, ctx=book)
    draft = draft_policy_version("payments", spec(rule("all", "require_approval", at="both")), ctx=book).row
    kinds, decisions = receipt_kinds(), PolicyDecision.objects.count()
    small = simulate(candidate_version(draft), facts(), ctx=book)
    assert (small.verdict.outcome, small.verdict.reason_codes, small.applies) == ("require_approval", ("ALL",), True)
    assert [(row["policy"], row["version_id"], row["scope"]) for row in versions_json(small.rulebook)] == [
        ("wide", small.rulebook.entries[0].version_id, "tenant"),
        ("payments", draft.public_id, "workflow"),
    ]
    assert [entry["matched"] for entry in SIMULATION.represent(small)["trace"]] == [["yes"], ["all"]]
    denied = simulate(candidate_version(draft), facts({"vendor": "Initech", "amount_minor": 5}), ctx=book)
    assert (denied.verdict.outcome, denied.verdict.reason_codes) == ("deny", ("NEVER_INITECH",))
    assert denied.alone.outcome == "require_approval"
    assert SIMULATION.represent(denied)["alone"]["reason_codes"] == ["ALL"]
    version.policy.refresh_from_db()
    assert (version.policy.in_force_id, receipt_kinds(), PolicyDecision.objects.count()) == (
        version.id,
        kinds,
        decisions,
    )


def test_an_unbound_policy_does_not_apply(book: ActingContext) -> None:
    """The verdict of the policy alone is returned separately; the outcome is that of the live check."""
    answer = said(spec(YES), facts(), book)
    assert (answer.verdict.outcome, answer.verdict.reason_codes, answer.applies) == ("deny", ("policy_missing",), False)
    assert answer.alone.outcome == "allow"


def test_a_bound_policy_without_a_version_in_force_is_simulated_on_its_scopes(book: ActingContext) -> None:
    put_in_force(spec({**NO, "overridable": True}), TENANT, ctx=book, policy="wide")
    retire_policy_version(put_in_force(spec(NO), WEB_MAIN, ctx=book), ctx=book)
    loosening = spec({**YES, "overrides": ["wide/no"]})
    assert said(loosening, facts(item={"channel": "web_main"}), book).verdict.outcome == "allow"
    elsewhere = said(loosening, facts(), book)
    assert (elsewhere.verdict.reason_codes, elsewhere.applies) == (("NO",), False)


def test_lists_that_only_the_draft_reads_are_loaded(book: ActingContext) -> None:
    put_in_force(spec(YES), ctx=book)
    upsert_list("watched", parse_list({"items": ["Hooli"]}), ctx=book)
    answer = said(spec(rule("watched", "deny", "item.payload.vendor in lists.watched"), YES), facts(), book)
    assert (answer.verdict.outcome, list(answer.rulebook.list_versions)) == ("deny", ["watched"])


def test_a_failing_rule_denies_as_in_live_checks(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    answer = said(spec(rule("odd", "deny", "item.payload.nothing > 1"), YES), facts(), book)
    assert (answer.verdict.outcome, answer.verdict.reason_codes) == ("deny", ("policy_error",))
    assert [(error["policy"], error["rule"]) for error in errors_json(answer.verdict)] == [("payments", "odd")]


@pytest.mark.parametrize(
    ("given", "error", "pointer"),
    [
        ({}, errors.InvalidRequest, "/facts/item"),
        ({"item": {"workflow": "payment_run", "colour": 1}}, errors.InvalidRequest, "/facts/item/colour"),
        (facts(item={"confidence": 2}), errors.InvalidRequest, "/facts/item/confidence"),
        (facts(item={"id": "wi_nonsense"}), errors.InvalidRequest, "/facts/item/id"),
        (facts(ctx={"point": "execute"}), errors.InvalidRequest, "/facts/ctx/action"),
        (facts(ctx={"point": "intake", "action": "pay"}), errors.InvalidRequest, "/facts/ctx/action"),
        (facts(item={"workflow": "nowhere"}), errors.UnknownWorkflow, "/facts/item/workflow"),
        (facts(item={"channel": "nowhere"}), errors.UnknownChannel, "/facts/item/channel"),
        (facts({"vendor": "Hooli"}), errors.PayloadSchemaViolation, "/facts/item/payload/amount_minor"),
    ],
)
def test_requests_that_never_reach_the_live_check_are_refused(
    book: ActingContext, given: dict[str, Any], error: type[errors.ThreadaError], pointer: str
) -> None:
    put_in_force(PAYMENTS, ctx=book)
    with pytest.raises(error) as refusal:
        said(PAYMENTS, given, book)
    assert [entry.pointer for entry in refusal.value.errors] == [pointer]


def test_an_action_that_the_workflow_does_not_allow_is_refused(book: ActingContext) -> None:
    with pytest.raises(errors.ActionNotAllowed):
        said(PAYMENTS, facts(ctx={"action": "refund"}), book)


def test_simulations_of_the_version_in_force_equal_live_checks(book: ActingContext) -> None:
    """Compare 500 random cases with three policies on three scopes, including failures and overrides."""
    dice = random.Random(4)
    put_in_force(
        spec(rule("half", "deny", "item.confidence < 0.2", overridable=True), YES), TENANT, ctx=book, policy="wide"
    )
    version = put_in_force(PAYMENTS, PAYMENT_RUN, ctx=book)
    put_in_force(
        spec(
            rule("trusted", "allow", "item.payload.vendor == 'Hooli'", overrides=["wide/half"]),
            rule("fails", "deny", "int(item.payload.vendor) == 7 && item.confidence > 0.9", at="execute"),
        ),
        WEB_MAIN,
        ctx=book,
        policy="web",
    )
    seen = set()
    for _ in range(500):
        case: dict[str, Any] = {
            "payload": {"vendor": dice.choice(["Hooli", "Initech", "7"]), "amount_minor": dice.choice([5, 5000, 5.0])},
            "channel": dice.choice(["", "web_main"]),
            "confidence": dice.choice([0.1, 0.5, 0.95, 1]),
        }
        action = dice.choice(["", "pay"])
        request: DecisionRequest = asking(**case, roles=("operator",), **({"action": action} if action else {}))
        live = decide(request, ctx=book)
        given = {
            "item": {**case, "workflow": "payment_run", "requester": "pr_someone"},
            "ctx": {"action": action, "actor": "pr_someone", "actor_kind": "human", "roles": ["operator"]},
        }
        simulated = simulate(candidate_version(version), given, ctx=book)
        assert simulated.verdict.outcome == live.outcome
        assert list(simulated.verdict.reason_codes) == live.reason_codes
        assert simulated.matched == live.matched
        body = SIMULATION.represent(simulated)
        assert (body["approvals"], body["trace"], body["errors"]) == (live.approvals, live.trace, live.rule_errors)
        seen.add((live.outcome, tuple(live.reason_codes)))
    assert {outcome for outcome, _ in seen} == {"allow", "deny", "review", "require_approval"}
    assert ("deny", ("policy_error",)) in seen


def test_publishing_gives_the_simulated_result(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    stricter = spec(rule("small-too", "deny", "item.payload.amount_minor > 1"), YES)
    before = said(stricter, facts(), book)
    upsert_policy("payments", stricter, ctx=book)
    live = decide(asking(channel=""), ctx=book)
    assert (live.outcome, live.reason_codes) == (before.verdict.outcome, list(before.verdict.reason_codes))
