"""Units of permits: reserved when an execution is dispatched, checked before its call, returned if nothing happened.

The row of the permit is locked for every change of its counters, after the work item and the execution. Nothing is
locked after it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, IntegerField, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from integrations.models import Attempt, Execution
from policies.deciding.decide import deciding_rules
from policies.deciding.stored_decision import stored_facts
from policies.language.approvals import ApprovalRule, from_json
from policies.language.evaluation import Verdict
from policies.models import PolicyDecision
from policies.selectors import policy_decision
from telemetry.receipts.authentic import authentic_receipts
from threada_site.database.batched_writes import insert_rows
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.personal_data.erasable_fields import is_erased
from workitems.approvers.count_votes import Outcome
from workitems.items import stated_ends
from workitems.models import Permit, PermitUse, WorkItem
from workitems.permits.approval_receipts import stated_approvals
from workitems.permits.counters import has_unit_left
from workitems.permits.counting_again import CastVotes, count_again
from workitems.permits.records import approved_terms, limits_of, record_use
from workitems.permits.selectors import use_of
from workitems.permits.terms import (
    BoundedFacts,
    NotCoveredError,
    Terms,
    beyond_limits,
    check_covers,
    wider_than,
)
from workitems.steps.exclusions import excluded_principals
from workitems.steps.opening_and_closing import pinned_versions
from workitems.steps.policy.decision import approval_rule

MOST_TRIED: Final = 20
"""Permits of a principal that are compared with a request. More for one action are not looked at."""


def reserve_unit(
    item: WorkItem, execution: Execution, decision: PolicyDecision, *, envelope_sha256: str, ctx: ActingContext
) -> Permit | None:
    """Reserve a unit of a permit that takes the place of the approval which `decision` requires. None: no permit does.

    Runs no statement if the rules allow no permits. The caller saves `permit_id` of the execution.
    """
    rule = approval_rule(decision)
    if rule.permit is None or execution.is_timed_undo or is_erased(decision.facts):
        return None
    rules = _pairs(decision.matched)
    facts = _facts(decision)
    for found in _candidates(item, execution)[:MOST_TRIED]:
        if _amount(found, execution, rules, facts, rule) is None:
            continue
        if not _is_approved(found, item, execution, rule, pins=pinned_versions(decision)):
            continue
        permit = Permit.objects.select_for_update().get(tenant_id=found.tenant_id, id=found.id)
        amount = _amount(permit, execution, rules, facts, rule)
        if amount is None or not has_unit_left(permit, limits_of(permit), amount):
            continue
        _take(permit, item, execution, decision, amount, envelope_sha256=envelope_sha256, ctx=ctx)
        return permit
    return None


def unit_still_covers(item: WorkItem, execution: Execution, verdict: Verdict) -> bool:
    """Return True if the execution has a unit of a permit that still takes the place of the approval required now.

    The row of the permit is locked until the end of the transaction, so that a revocation that has answered stops every
    later call. A permit with more units than its number or sum, because it was narrowed, covers none of them.
    """
    rule, use = verdict.approvals, use_of(execution.id, tenant_id=execution.tenant_id)
    if rule is None or use is None or use.permit_id != execution.permit_id:
        return False
    decision = policy_decision(use.policy_decision_id, tenant_id=execution.tenant_id)
    if decision is None or is_erased(decision.facts):
        return False
    permit = Permit.objects.select_for_update(no_key=True).get(tenant_id=execution.tenant_id, id=use.permit_id)
    asked = deciding_rules(verdict)
    rules = {(match.policy, match.rule) for match in asked}
    amount = _amount(permit, execution, rules, _facts(decision), rule)
    pins = {ids.parse_public_id(ids.POLICY_VERSION, match.version_id) for match in asked}
    return (
        amount == use.amount
        and has_unit_left(permit, limits_of(permit), use.amount, own=use)
        and _is_approved(
            permit, item, execution, rule, pins=sorted(each for each in pins if each is not None), used_by=execution
        )
    )


def return_unused_unit(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> bool:
    """Return the unit of an execution, if it has one, unless the receiver may have acted since it was reserved.

    Return False if the execution keeps its unit.
    """
    use = use_of(execution.id, tenant_id=execution.tenant_id) if execution.permit_id is not None else None
    if use is None:
        return True
    tried = Attempt.objects.filter(tenant_id=execution.tenant_id, execution=execution, started_at__gte=use.reserved_at)
    if tried.filter(ambiguous=True).exists():
        return False
    return_unit(item, execution, ctx=ctx)
    return True


def return_unit(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    """Return the unit of an execution of which a person or the receiver says that it failed, if it has one.

    An execution keeps its unit if its receipts say that it succeeded.
    """
    if execution.permit_id is None or _has_succeeded(execution):
        return
    permit = Permit.objects.select_for_update().get(tenant_id=execution.tenant_id, id=execution.permit_id)
    use = use_of(execution.id, tenant_id=execution.tenant_id)
    if use is None or use.permit_id != permit.id:
        return
    use.returned_at = clock.now()
    use.save(update_fields=["returned_at"])
    _count(permit, -1, -use.amount)
    record_use("returned", permit, item, execution, ctx=ctx)


def _take(
    permit: Permit,
    item: WorkItem,
    execution: Execution,
    decision: PolicyDecision,
    amount: Decimal,
    *,
    envelope_sha256: str,
    ctx: ActingContext,
) -> None:
    execution.permit_id = permit.id
    use = PermitUse(
        tenant_id=permit.tenant_id,
        permit=permit,
        execution_id=execution.id,
        work_item_id=item.id,
        policy_decision_id=decision.id,
        amount=amount,
    )
    insert_rows(use)
    _count(permit, 1, amount)
    record_use("used", permit, item, execution, ctx=ctx, envelope_sha256=envelope_sha256)
    if permit.used_count >= limits_of(permit).max_count:
        record_use("exhausted", permit, item, execution, ctx=ctx)


def _count(permit: Permit, uses: int, amount: Decimal) -> None:
    """Change the counters of a locked permit at once: the next use in this transaction reads them."""
    rows = Permit.objects.filter(tenant_id=permit.tenant_id, id=permit.id)
    rows.update(used_count=F("used_count") + uses, used_sum=F("used_sum") + amount)
    permit.used_count += uses
    permit.used_sum += amount


def _has_succeeded(execution: Execution) -> bool:
    about = [execution.work_item_id]
    found = authentic_receipts(about, kinds=stated_ends.KINDS, tenant_id=execution.tenant_id)
    return stated_ends.has_succeeded(execution.public_id, (one.content for one in found[execution.work_item_id]))


def _candidates(item: WorkItem, execution: Execution) -> QuerySet[Permit]:
    """Return the permits in effect for the action and its requester that have units left, by their ends."""
    return (
        Permit.objects.filter(
            tenant_id=execution.tenant_id,
            workflow=execution.workflow,
            workflow_id=item.workflow_version.workflow_id,
            integration=execution.integration,
            action=execution.action,
            status="in_effect",
            ends_at__gt=clock.now(),
            limits__principals__contains=[ids.public_id(ids.PRINCIPAL, execution.requested_by)],
        )
        .alias(most=Cast(KT("limits__max_count"), IntegerField()))
        .filter(used_count__lt=F("most"))
        .order_by("ends_at", "id")
    )


def _amount(
    permit: Permit,
    execution: Execution,
    rules: Iterable[tuple[str, str]],
    facts: BoundedFacts,
    rule: ApprovalRule,
) -> Decimal | None:
    """Return the amount of a use; None if the permit does not cover it, or the rule no longer allows the permit."""
    try:
        terms = _sound_terms(permit)
        if rule.permit is None or next(beyond_limits(terms, rule.permit, proposed_at=permit.proposed_at), None):
            return None
        if terms.integration_version != ids.public_id(ids.INTEGRATION_VERSION, execution.integration_version_id):
            return None
        principal = ids.public_id(ids.PRINCIPAL, execution.requested_by)
        return check_covers(terms, principal=principal, rules=rules, facts=facts, now=clock.now())
    except NotCoveredError:
        return None


def _sound_terms(permit: Permit) -> Terms:
    """Return the terms in force. Raise `NotCoveredError` unless they are those that were approved, or narrower."""
    if is_erased(permit.body) or is_erased(permit.bounds):
        raise NotCoveredError("Its terms were erased.")
    if permit.status != "in_effect" or sha256_hex(bytes(permit.body)) != permit.sha256:
        raise NotCoveredError("It is not in effect.")
    limits = limits_of(permit)
    approved = approved_terms(permit)
    scope = (approved.workflow, approved.integration, approved.action)
    if next(wider_than(limits, approved), None) or scope != (permit.workflow, permit.integration, permit.action):
        raise NotCoveredError("It is wider than what was approved.")
    return limits


def _is_approved(
    permit: Permit,
    item: WorkItem,
    execution: Execution,
    rule: ApprovalRule,
    *,
    pins: list[uuid.UUID],
    used_by: Execution | None = None,
) -> bool:
    """Return True if the approvals of the permit would count as votes on this execution now, and are enough."""
    try:
        votes = stated_approvals(permit, used_by=used_by)
    except NotCoveredError:
        return False
    excluded = excluded_principals(
        item, rule, pins=pins, asked_by=execution.requested_by, input_edited_by=execution.input_edited_by
    )
    cast = CastVotes(
        votes=votes,
        rule=from_json(permit.rule),
        grants_as_of=permit.grants_as_of,
        escalated_to=permit.escalated_to,
    )
    _, result = count_again(
        cast,
        rule,
        excluded=excluded,
        tenant_id=item.tenant_id,
        workflow_id=item.workflow_version.workflow_id,
    )
    return result.outcome is Outcome.APPROVED


def _facts(decision: PolicyDecision) -> BoundedFacts:
    """Return the facts of a decision at the time of now."""
    facts = stored_facts(decision)
    return BoundedFacts({**facts, "ctx": {**facts["ctx"], "now": rfc3339(clock.now())}})


def _pairs(matched: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(rule["policy"], rule["rule"]) for rule in matched}
