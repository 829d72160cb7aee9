"""Hostile policies are refused or stopped by limits, and never affect other tenants."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from policies.configuration.overlays import upsert_overlay
from policies.deciding.decide import decide
from policies.documents.policy import parse_policy
from policies.drafts.validation import validate_policy
from policies.language import budget, rule_tests
from policies.language.evaluation import RulebookEntry, compile_policy, evaluate
from policies.language.facts import build_facts
from policies.language.rule_tests import run_tests
from policies.models import Policy, PolicyVersion
from policies.publication.publish import upsert_policy
from tests.factories import acting, make_principal
from tests.policies.random_rulebooks import NOW
from tests.policies.rulebooks import PAYMENT_RUN, TENANT, WEB_MAIN, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.cel import compile_expression
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.reader import load_documents
from threada_site.tenancy.models import Tenant

LONG = " || ".join(f"item.payload.amount_minor == {number}" for number in range(100))


def rules(count: int, when: str) -> dict[str, Any]:
    return {"rules": [rule(f"r{number}", "deny", when, reason="NO") for number in range(count)]}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (rules(10_000, "true"), "/rules"),
        (rules(1000, LONG), "/rules"),
        (rules(1, "true || " * 10_000 + "true"), "/rules/0/when"),
        (rules(1, "true || " * 100_000 + "true"), "/rules"),
        (rules(1, "(" * 1500 + "true" + ")" * 1500), "/rules/0/when"),
        (rules(1, "[" * 1500 + "]" * 1500 + " == []"), "/rules/0/when"),
        (rules(1, "item.payload.l.all(a, [[a, a]].all(b, b == b))"), "/rules/0/when"),
        ({"rules": [rule("no", "deny", message="x" * 10_000_000)]}, "/rules/0/message"),
        ({"rules": [rule("no", "deny", overrides=["a/b"] * 100_000)]}, "/rules/0/overrides"),
        ({"rules": [], "tests": [{"expect": {"effect": "deny"}}] * 100_000}, "/tests"),
    ],
    ids=["rules", "bytes", "string", "huge", "parentheses", "lists", "multiplying", "message", "overrides", "tests"],
)
def test_a_hostile_document_is_refused_quickly(document: dict[str, Any], pointer: str) -> None:
    began = time.thread_time()
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        parse_policy(document)
    assert time.thread_time() - began < 1
    assert [entry.pointer for entry in refused.value.errors] == [pointer]


def test_a_deep_document_is_refused_before_parsing() -> None:
    with pytest.raises(errors.DocumentInvalid, match="nest"):
        load_documents("rules: " + "[" * 10_000 + "]" * 10_000, source="policy")


def test_the_largest_policy_is_compiled_and_evaluated_in_bounded_time() -> None:
    """The maximum of 128 KB of conditions bounds the time that other threads wait."""
    count = budget.MAX_CONDITION_BYTES // len(LONG)
    began = time.thread_time()
    compiled = compile_policy(parse_policy(rules(count, LONG)))
    compiled_in = time.thread_time() - began
    assert compiled_in < 5
    facts = build_facts(point="intake", now=NOW, payload={"amount_minor": -1})
    verdict = evaluate([RulebookEntry("p", "pv", "tenant", compiled)], facts)
    assert verdict.reason_codes == ("no_rule_matched",)
    assert verdict.duration_us < 1_000_000


def test_looping_rules_are_evaluated_one_by_one_with_time_checks() -> None:
    """In one batch, twenty such rules would take twenty times as long before the time check."""
    loop = "item.payload.l.all(x, !(x in item.payload.m))"
    document = parse_policy(rules(40, loop))
    compiled = compile_policy(document)
    assert {len(batch.rules) for batches in compiled.batches.values() for batch in batches} == {1}
    facts = build_facts(point="intake", now=NOW, payload={"l": list(range(2000)), "m": list(range(10_000, 30_000))})
    began = time.thread_time()
    verdict = evaluate([RulebookEntry("p", "pv", "tenant", compiled)], facts, cpu_limit=0.2)
    assert verdict.reason_codes == ("policy_too_slow",)
    assert time.thread_time() - began < 10
    mixed = spec(rule("aa", "deny"), rule("bb", "deny", loop), rule("cc", "deny"), rule("dd", "deny"))
    batches = compile_policy(parse_policy(mixed)).batches["intake"]  # type: ignore[index]
    assert [[asked.id for asked in batch.rules] for batch in batches] == [["aa"], ["bb"], ["cc", "dd"]]


def test_the_cache_of_compiled_policies_is_bounded() -> None:
    from threada_site.kernel.cel import expression

    cache = expression._compiled
    for number in range(300):
        compile_expression(f"{LONG} || item.payload.vendor == '{number}'", variables=("item",))
    assert cache.weight <= expression._MOST_KEPT
    assert len(cache._entries) < 300


def test_tests_that_take_too_long_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    document = parse_policy({**spec(rule("yes", "allow")), "tests": [{"expect": {"effect": "allow"}}] * 3})
    assert run_tests(document) == []
    used_up = budget.CpuBudget(-1)
    assert [(entry.pointer, entry.code) for entry in run_tests(document, cpu_budget=used_up)] == [
        ("/tests/0", "too_large")
    ]
    monkeypatch.setattr(rule_tests, "CHECK_SECONDS", -1.0)
    assert len(run_tests(document)) == 1


def test_checks_against_many_workflows_stop(work: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    put_payment_run(work)
    version = upsert_policy("payments", spec(rule("no", "deny", "item.payload.amount_minor > 5")), ctx=work).row
    upsert_overlay("payments", TENANT, ctx=work)
    monkeypatch.setattr("policies.drafts.validation.CHECK_SECONDS", -1.0)
    found = validate_policy(version.document, policy=version.policy, ctx=work)
    assert [entry.code for entry in found.type_errors] == ["too_large"]


def test_policies_that_apply_in_one_tenant_are_limited(work: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_RULES_APPLYING", 3)
    put_payment_run(work)
    put_in_force(rules(2, "true"), TENANT, ctx=work, policy="first")
    upsert_policy("second", rules(2, "true"), ctx=work)
    with pytest.raises(errors.PolicyDocumentInvalid, match="exceed a limit"), transaction.atomic():
        upsert_overlay("second", PAYMENT_RUN, ctx=work)
    upsert_policy("second", rules(1, "true"), ctx=work)
    upsert_overlay("second", PAYMENT_RUN, ctx=work)
    upsert_overlay("second", WEB_MAIN, ctx=work)
    with pytest.raises(errors.PolicyDocumentInvalid, match="exceed a limit"), transaction.atomic():
        upsert_policy("first", rules(3, "true"), ctx=work)
    upsert_policy("unbound", rules(900, "true"), ctx=work)
    assert budget.limit_errors({"a": rules(1, "x" * (budget.MAX_BYTES_APPLYING + 1))})[0].code == "too_large"


def test_a_failing_rule_denies_and_is_reported(work: ActingContext) -> None:
    put_payment_run(work)
    version = put_in_force(
        spec(rule("odd", "deny", "item.payload.amount_minor > 1"), rule("yes", "allow")), TENANT, ctx=work
    )
    decision = decide(asking(payload={"vendor": "Hooli"}), ctx=work)
    assert (decision.outcome, decision.reason_codes) == ("deny", ["policy_error"])
    assert [(entry["policy"], entry["rule"]) for entry in decision.rule_errors] == [("payments", "odd")]
    assert "amount_minor" in decision.rule_errors[0]["message"]
    assert decision.policy_version_id == version.id


def test_no_version_in_force_denies(work: ActingContext) -> None:
    put_payment_run(work)
    assert decide(asking(), ctx=work).reason_codes == ["policy_missing"]
    upsert_policy("drafted", spec(rule("yes", "allow")), ctx=work, publish=False)
    upsert_overlay("drafted", TENANT, ctx=work)
    assert decide(asking(), ctx=work).reason_codes == ["policy_missing"]


@pytest.mark.parametrize("as_role", ["threada_owner", None])
def test_another_tenants_version_can_never_be_in_force(
    ctx: ActingContext, other_tenant: Tenant, as_role: str | None
) -> None:
    """The foreign key (tenant, version) refuses it even for SQL that bypasses row-level security."""
    theirs = acting(other_tenant, make_principal(other_tenant, "eve", roles=["tenant_admin"]))
    with unit_of_work(other_tenant.id):
        foreign = upsert_policy("payments", spec(rule("yes", "allow")), ctx=theirs).row
    with unit_of_work(ctx.tenant_id):
        mine = upsert_policy("payments", spec(rule("no", "deny")), ctx=ctx).row
        with pytest.raises(IntegrityError, match="policy_in_force_fk"):
            put_in_force_by_sql(foreign, ctx, as_role)
        assert Policy.objects.get().in_force_id == mine.id
        assert list(PolicyVersion.objects.values_list("id", flat=True)) == [mine.id]


def put_in_force_by_sql(version: PolicyVersion, ctx: ActingContext, as_role: str | None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if as_role:
            cursor.execute(f"SET LOCAL ROLE {as_role}")
        cursor.execute("UPDATE policies_policy SET in_force_id = %s WHERE tenant_id = %s", [version.id, ctx.tenant_id])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
