"""Conditions that cost too much: refused when a policy is saved or bound, and when a list or a payload grows."""

from __future__ import annotations

from typing import Any

import pytest

from policies.configuration.lists import upsert_list
from policies.configuration.overlays import upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.deciding.decide import decide
from policies.documents.list import MAX_ITEM_LENGTH, MAX_ITEMS, parse_list
from policies.documents.workflow import parse_workflow
from policies.drafts.edit import draft_policy_version
from policies.language.cost import PayloadLimits, costs_by_workflow
from policies.publication.publish import upsert_policy
from tests.client import Api
from tests.policies.rulebooks import PAYMENT_RUN, TENANT, asking, put_in_force, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.cel import expression, sizes
from threada_site.kernel.context import ActingContext

SELF = "item.payload.xs.all(x, item.payload.xs == item.payload.xs)"
LISTED = "!item.payload.xs.all(x, !(x in lists.names))"
YES = rule("yes", "allow")


def put_workflow(ctx: ActingContext, *, slug: str = "payment_run", most: int | None = 1000, **more: Any) -> None:
    xs = {"type": "array", "items": {"type": "integer"}} | ({} if most is None else {"maxItems": most})
    schema = {"type": "object", "properties": {"xs": xs}, "additionalProperties": False}
    upsert_workflow(slug, parse_workflow({"payload_schema": schema, **more}), ctx=ctx)


def put_list(ctx: ActingContext, count: int) -> None:
    upsert_list("names", parse_list({"items": [f"n{number}" for number in range(count)]}), ctx=ctx)


def refusal(error: errors.ThreadaError) -> tuple[list[tuple[str, str]], str]:
    return [(entry.pointer, entry.code) for entry in error.errors], error.errors[0].detail


def test_a_draft_is_refused_for_the_largest_payload_of_its_workflow(work: ActingContext) -> None:
    put_workflow(work, most=None)
    put_in_force(spec(YES), ctx=work)
    document = spec(YES, rule("self", "deny", SELF))
    with pytest.raises(errors.PolicyDocumentInvalid, match="cost too much") as refused:
        draft_policy_version("payments", document, ctx=work)
    places, detail = refusal(refused.value)
    assert places == [("/rules/1/when", "too_expensive")]
    assert detail.startswith("payment_run: the condition may cost ")
    assert "2,500,000 are allowed" in detail
    assert "maxItems" in detail
    put_workflow(work)
    assert draft_policy_version("payments", document, ctx=work).row.number == 2


def test_a_policy_that_is_bound_is_checked_for_the_new_workflows(work: ActingContext) -> None:
    put_workflow(work, most=None)
    upsert_policy("payments", spec(rule("self", "deny", SELF), YES), ctx=work)
    with pytest.raises(errors.PolicyDocumentInvalid, match="would cost too much"):
        upsert_overlay("payments", PAYMENT_RUN, ctx=work)


def test_a_list_that_grows_is_refused_and_names_the_rule(work: ActingContext) -> None:
    put_workflow(work)
    put_list(work, 100)
    put_in_force(spec(rule("listed", "deny", LISTED), YES), TENANT, ctx=work)
    put_list(work, 900)
    with pytest.raises(errors.RulesTooExpensive) as refused:
        put_list(work, MAX_ITEMS)
    places, detail = refusal(refused.value)
    assert places == [("/items", "too_expensive")]
    assert detail.startswith("Policy payments, rule listed (payment_run): the condition may cost ")
    put_list(work, 200)
    assert decide(asking(payload={"xs": [1]}), ctx=work).outcome == "allow"


@pytest.mark.parametrize("larger", [{"most": None}, {"most": 100_000}], ids=["unlimited", "more"])
def test_a_payload_that_grows_is_refused_and_names_the_rule(work: ActingContext, larger: dict[str, Any]) -> None:
    put_workflow(work)
    put_list(work, 900)
    put_in_force(spec(rule("listed", "deny", LISTED), YES), ctx=work)
    with pytest.raises(errors.RulesTooExpensive) as refused:
        put_workflow(work, **larger)
    places, detail = refusal(refused.value)
    assert places == [("/payload_schema", "too_expensive")]
    assert detail.startswith("Policy payments, rule listed: the condition may cost ")
    put_workflow(work, most=500)
    put_workflow(work, slug="other", most=None)


def test_a_new_workflow_under_a_rule_of_the_tenant_is_checked(work: ActingContext) -> None:
    put_workflow(work)
    put_list(work, 900)
    put_in_force(spec(rule("listed", "deny", LISTED), YES), TENANT, ctx=work)
    with pytest.raises(errors.RulesTooExpensive):
        put_workflow(work, slug="other", most=None)
    schema = {"type": "object", "properties": {"note": {"type": "string"}}, "additionalProperties": False}
    upsert_workflow("other", parse_workflow({"payload_schema": schema}), ctx=work)


def test_a_rule_that_already_costs_too_much_does_not_block_smaller_changes(
    work: ActingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_workflow(work, most=None)
    put_list(work, 900)
    with monkeypatch.context() as patched:
        patched.setattr("policies.language.cost.MAX_COST", float("inf"))
        put_in_force(spec(rule("listed", "deny", LISTED), YES), ctx=work)
    put_list(work, 800)
    put_workflow(work, most=None, actions=["pay"])
    put_workflow(work, most=9000)
    with pytest.raises(errors.RulesTooExpensive):
        put_list(work, 1000)


def test_one_megabyte_payloads_of_unknown_shape_are_fine_for_ordinary_rules() -> None:
    payloads = {"any": PayloadLimits({"type": "object"}, 262_144)}
    lists = {"names": MAX_ITEMS}
    for source in (
        "item.payload.vendor in lists.names",
        "item.payload.amount_minor > 1000000 && ctx.action == 'pay'",
        "item.payload.lines.exists(line, line.vendor == 'x' && line.amount > 3)",
        "item.payload.owner == item.requester",
        "item.payload.a == item.payload.b",
        "item.risk_flags.exists(flag, flag in lists.names)",
        "'emea' in item.requester_groups && item.payload.tags.exists(tag, tag in ['a', 'b'])",
    ):
        assert dict(costs_by_workflow(source, payloads, lists=lists)) == {}, source


def test_sizes_of_lists_are_those_of_the_kernel() -> None:
    assert sizes.LIST_TEXT_BYTES == MAX_ITEM_LENGTH * 4
    assert expression._MOST_LISTED == MAX_ITEMS


def test_a_simulation_of_an_expensive_draft_names_the_rule(admin: Api, ctx: ActingContext) -> None:
    """The draft was accepted before the policy was bound: no workflow limited its payload."""
    with unit_of_work(ctx.tenant_id):
        put_workflow(ctx, most=None)
    slow = rule("slow", "deny", f"item.payload.xs.all(x, {' && '.join(['item.payload.xs == item.payload.xs'] * 80)})")
    drafted = admin.post("/policies", {"policy_id": "hostile", "document": spec(slow, YES)})
    assert drafted.status_code == 201, drafted.content
    with unit_of_work(ctx.tenant_id):
        upsert_overlay("hostile", PAYMENT_RUN, ctx=ctx)
    facts = {"item": {"workflow": "payment_run", "payload": {"xs": list(range(1000))}}}
    answer = admin.post("/policies/hostile/versions/1/simulate", {"facts": facts})
    assert (answer.json()["outcome"], answer.json()["reason_codes"]) == ("deny", ["policy_too_slow"])
    assert "slow" in answer.content.decode()
