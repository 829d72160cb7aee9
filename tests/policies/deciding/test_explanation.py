"""Explanation of decisions in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from policies.deciding.decide import decide
from policies.deciding.stored_decision import explanation_of
from policies.models import PolicyDecision
from policies.publication.publish import retire_policy_version
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.policies.rulebooks import PAYMENTS, TENANT, WEB_MAIN, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.roles import platform_role
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import ErasedBytes
from threada_site.tenancy.models import Tenant


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    return work


def explained(ctx: ActingContext, **request: Any) -> list[str]:
    """Return all sentences but the last, which contains the duration."""
    decision = PolicyDecision.objects.get(id=decide(asking(**request), ctx=ctx).id)
    sentences = explanation_of(decision)
    assert sentences[-1] == f"{decision.engine} took {decision.duration_us} µs."
    return sentences[:-1]


def test_deciding_rules_and_facts_are_explained(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    assert explained(book, payload={"vendor": "Hooli", "amount_minor": 5000}, action="pay") == [
        "An approval is required first (LARGE).",
        "At least 1 person must agree.",
        (
            "Rule large of payments version 1 on workflow asks for an approval because ctx.action == 'pay' && "
            "item.payload.amount_minor > 1000 is true (LARGE)."
        ),
        'Facts: ctx.action is "pay"; item.payload.amount_minor is 5000.',
        "Also matched, with a less strict effect: payments/within-limits.",
        (
            "Evaluated at execute of payment_run, from web_main: payments version 1 on workflow payment_run; "
            "3 rules were evaluated."
        ),
    ]


def test_unconditional_rules_and_messages_are_explained(book: ActingContext) -> None:
    put_in_force(spec(rule("open", "allow", message="Small sums are nobody's business.")), ctx=book)
    assert explained(book)[:3] == [
        "It is allowed (OPEN).",
        "Rule open of payments version 1 on workflow allows it in every case (OPEN).",
        "Message of the rule: Small sums are nobody's business.",
    ]


def test_failures_are_explained(book: ActingContext) -> None:
    put_in_force(spec(rule("odd", "deny", "item.payload.amount_minor > 10"), rule("yes", "allow")), ctx=book)
    sentences = explained(book, payload={"vendor": "Hooli"})
    assert sentences[0] == "It is denied (policy_error): a rule failed, so the request is denied."
    assert sentences[1].startswith("Rule odd of payments failed: Key not found")
    assert "Matched without effect: payments/yes." in sentences


def test_denials_without_a_rule_are_explained(book: ActingContext) -> None:
    assert explained(book) == [
        "It is denied (policy_missing): a policy that applies has no version in force.",
        "Evaluated at intake of payment_run, from web_main: no policy applied.",
    ]
    version = put_in_force(spec(rule("never", "allow", "false")), ctx=book)
    assert explained(book)[0] == "It is denied (no_rule_matched): no rule matched, so the request is denied."
    retire_policy_version(version, ctx=book)
    assert "Without a version in force: payments." in explained(book)


def test_overridden_rules_are_explained(book: ActingContext) -> None:
    put_in_force(spec(rule("no", "deny", overridable=True)), TENANT, ctx=book, policy="wide")
    put_in_force(spec(rule("yes", "allow", overrides=["wide/no"])), WEB_MAIN, ctx=book, policy="narrow")
    assert "Overridden by a narrower rule: wide/no." in explained(book)


def test_erased_facts_are_reported(book: ActingContext) -> None:
    put_in_force(PAYMENTS, ctx=book)
    decision = decide(asking(payload={"vendor": "Hooli", "amount_minor": 5000}, action="pay"), ctx=book)
    with platform_role():
        PolicyDecision.objects.filter(id=decision.id).update(facts=ErasedBytes("retention"))
    sentences = explanation_of(PolicyDecision.objects.get(id=decision.id))
    assert "Retention has removed the facts." in sentences
    assert not [sentence for sentence in sentences if "5000" in sentence]


def test_the_api_returns_the_explanation(
    tenant: Tenant, ctx: ActingContext, api: Callable[..., Api], work: ActingContext
) -> None:
    put_payment_run(ctx)
    put_in_force(PAYMENTS, ctx=ctx)
    decision = decide(asking(), ctx=ctx)
    viewer = api(make_token(tenant, make_principal(tenant, "vera", roles=["viewer"])))
    body = viewer.get(f"/policy-decisions/{decision.public_id}").json()
    assert body["explanation"][0] == "It is allowed (WITHIN_LIMITS)."
