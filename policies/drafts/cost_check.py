"""Check of the policies in force against a payload or a list that is about to grow. Reads only.

Within a limit of processor time: rules that remain then are measured at each decision.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import F, Func, IntegerField, Q

from policies import selectors
from policies.deciding.rulebook import compiled_policies
from policies.language.budget import CHECK_SECONDS, CpuBudget
from policies.language.cost import TOO_EXPENSIVE, PayloadLimits, costs_by_workflow, describe
from policies.language.evaluation import CompiledPolicy
from policies.models import List, Overlay, Policy
from threada_site.kernel.cel import Expression
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import MAX_FIELD_ERRORS
from threada_site.kernel.errors import FieldError, RulesTooExpensive


def check_payload_growth(
    workflow: str, *, before: Mapping[str, Any] | None, after: Mapping[str, Any], ctx: ActingContext
) -> None:
    """Raise `RulesTooExpensive` if a rule in force would cost too much, and more than before, for the new payload.

    `before` and `after` are specs of the workflow.
    """
    lists = list_sizes(ctx=ctx)
    errors = []
    budget = CpuBudget(CHECK_SECONDS)
    for policy, rule, condition in _rules_reaching(workflow, ctx=ctx):
        if budget.is_used_up:
            break
        for _, cost in costs_by_workflow(condition.source, {workflow: payload_limits(after)}, lists=lists):
            earlier = {workflow: payload_limits(before)} if before else {}
            if not any(cost <= known for _, known in costs_by_workflow(condition.source, earlier, lists=lists)):
                errors.append(_error("/payload_schema", policy, rule, cost))
    _refuse(errors)


def check_list_growth(name: str, *, before: int, after: int, ctx: ActingContext) -> None:
    """Raise `RulesTooExpensive` if a rule in force that reads the list would cost too much with `after` items."""
    if after <= before:
        return
    lists = list_sizes(ctx=ctx)
    errors = []
    payloads = {row.slug: payload_limits(row.current_version.spec) for row in _workflows(ctx)}
    budget = CpuBudget(CHECK_SECONDS)
    for policy, rule, condition in _rules_of(Overlay.objects.filter(tenant_id=ctx.tenant_id), ctx=ctx):
        if budget.is_used_up:
            break
        if condition.lists is None or name in condition.lists:
            costs = dict(costs_by_workflow(condition.source, payloads, lists={**lists, name: after}))
            known = dict(costs_by_workflow(condition.source, payloads, lists={**lists, name: before}))
            grown = {workflow: cost for workflow, cost in costs.items() if cost > known.get(workflow, 0)}
            errors += [_error("/items", policy, f"{rule} ({slug})", cost) for slug, cost in list(grown.items())[:1]]
    _refuse(errors)


def payload_limits(spec: Mapping[str, Any]) -> PayloadLimits:
    """Return the limits in the spec of a workflow."""
    return PayloadLimits(spec["payload_schema"], spec["max_payload_bytes"])


def list_sizes(*, ctx: ActingContext) -> dict[str, int]:
    """Return the number of items of every list in force."""
    length = Func(F("current_version__spec"), function="jsonb_array_length", output_field=IntegerField())
    rows = List.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).annotate(length=length)
    return dict(rows.values_list("slug", "length"))


def _rules_reaching(workflow: str, *, ctx: ActingContext) -> Iterator[tuple[str, str, Expression]]:
    packs = selectors.pack_members(ctx).filter(kind="Workflow", name=workflow).values("pack__slug")
    overlays = Overlay.objects.filter(tenant_id=ctx.tenant_id).exclude(
        Q(scope_kind="workflow") & ~Q(scope_slug=workflow) | Q(scope_kind="pack") & ~Q(scope_slug__in=packs)
    )
    return _rules_of(overlays, ctx=ctx)


def _rules_of(overlays: Any, *, ctx: ActingContext) -> Iterator[tuple[str, str, Expression]]:
    """Yield policy, rule and condition of every rule in force that these overlays bind."""
    bound = Policy.objects.filter(tenant_id=ctx.tenant_id, in_force__isnull=False, id__in=overlays.values("policy_id"))
    versions: dict[uuid.UUID, str] = {
        version_id: slug for slug, version_id in bound.values_list("slug", "in_force_id") if version_id
    }
    for version_id, policy in compiled_policies(versions.keys(), ctx=ctx).items():
        for rule, condition in _conditions(policy):
            yield versions[version_id], rule, condition


def _conditions(policy: CompiledPolicy | None) -> Iterator[tuple[str, Expression]]:
    batches = [batch for found in policy.batches.values() for batch in found] if policy else []
    conditions = {
        rule.id: condition for batch in batches for rule, condition in zip(batch.rules, batch.conditions, strict=True)
    }
    return iter(conditions.items())


def _workflows(ctx: ActingContext) -> Iterator[Any]:
    return (row for row in selectors.all_workflows(ctx) if row.current_version)


def _error(pointer: str, policy: str, rule: str, cost: float) -> FieldError:
    return FieldError(pointer, f"Policy {policy}, rule {rule}: the condition {describe(cost)}", TOO_EXPENSIVE)


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise RulesTooExpensive(errors=errors[:MAX_FIELD_ERRORS])
