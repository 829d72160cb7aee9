"""Decisions: evaluation of the rulebook in force for one case. Every failure is a deny with a reason code."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import structlog

from policies.deciding.rulebook import Rulebook, rulebook_for
from policies.language.approvals import to_json
from policies.language.evaluation import MatchedRule, RuleError, Verdict, denied, engine_failure, evaluate
from policies.language.request import DecisionRequest
from policies.language.time_window import whole_milliseconds
from policies.models import PolicyDecision
from threada_site.database.batched_writes import insert_rows
from threada_site.database.sets.shared_reads import shared
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.kernel.tracing import traced

__all__ = ["DecisionRequest", "decide", "recheck", "verdict_of"]

FAILURES: Final = frozenset(
    {"policy_missing", "policy_error", "policy_malformed", "policy_too_slow", "no_rule_matched"}
)
"""Reason codes of a deny that no rule caused."""

log = structlog.get_logger("threada.policies")


@dataclass(frozen=True, slots=True)
class _Answer:
    """Facts, rulebook and verdict of one evaluation."""

    facts: dict[str, Any]
    rulebook: Rulebook
    verdict: Verdict


@traced("policy.decide")
def decide(request: DecisionRequest, *, ctx: ActingContext) -> PolicyDecision:
    """Evaluate the rulebook in force and store the decision with everything needed to repeat it.

    Takes two statements, plus one for each version or list that is not cached. The caller records the receipt.
    """
    answer = _ask(request, ctx=ctx)
    decision = _decision(request, answer, ctx=ctx)
    insert_rows(decision)
    return decision


@traced("policy.recheck")
def recheck(request: DecisionRequest, *, ctx: ActingContext) -> Verdict:
    """Return the verdict without storing it. Used for the check right before a call."""
    return _ask(request, ctx=ctx).verdict


def deciding_rules(verdict: Verdict) -> tuple[MatchedRule, ...]:
    """Return the matched rules with the winning effect; empty if the deny comes from a failure."""
    if FAILURES.intersection(verdict.reason_codes):
        return ()
    return tuple(match for match in verdict.matched if match.effect is verdict.outcome)


def _ask(request: DecisionRequest, *, ctx: ActingContext) -> _Answer:
    require_unit_of_work(ctx.tenant_id)
    now = whole_milliseconds(clock.now())
    groups = request.requester_groups
    asked = (ctx.tenant_id, request.workflow, request.channel, request.requester_id, groups and tuple(groups))
    rulebook = shared(
        ("rulebook", *asked),
        lambda: rulebook_for(
            workflow=request.workflow,
            channel=request.channel,
            requester_id=request.requester_id,
            requester_groups=groups,
            at=now,
            ctx=ctx,
        ),
    )
    facts = request.facts(now=now, lists=rulebook.lists, requester_groups=rulebook.requester_groups)
    return _Answer(facts, rulebook, verdict_of(rulebook, facts))


def verdict_of(rulebook: Rulebook, facts: dict[str, Any]) -> Verdict:
    """Return the verdict of `rulebook` on complete facts for a live check. `evaluator_verdict` is for untried rules."""
    if rulebook.missing:
        return missing_versions(rulebook)
    try:
        return evaluate(rulebook.entries, facts)
    except Exception as error:  # an engine defect must deny, not leave the item undecided
        log.exception("evaluation_failed")
        return engine_failure(type(error).__name__)


def missing_versions(rulebook: Rulebook) -> Verdict:
    """Return the verdict of a rulebook in which a policy has no version in force."""
    errors = (RuleError(slug, "", "It has no version in force.") for slug in rulebook.missing)
    return denied("policy_missing", *errors)


def _decision(request: DecisionRequest, answer: _Answer, *, ctx: ActingContext) -> PolicyDecision:
    verdict, rulebook = answer.verdict, answer.rulebook
    # Lists are stored by version: they may be large, and a version never changes.
    facts = canonical_bytes({name: value for name, value in answer.facts.items() if name != "lists"})
    deciding = deciding_rules(verdict)
    return PolicyDecision(
        tenant_id=ctx.tenant_id,
        work_item_id=request.work_item_id,
        execution_id=request.execution_id,
        point=str(request.point),
        outcome=str(verdict.outcome),
        reason_codes=list(verdict.reason_codes),
        matched=[rule_json(match) for match in deciding],
        rule_errors=errors_json(verdict),
        versions=versions_json(rulebook),
        list_versions={name: str(version_id) for name, version_id in rulebook.list_versions.items()},
        approvals=to_json(verdict.approvals) if verdict.approvals else None,
        trace=trace_of(verdict),
        facts=facts,
        facts_sha256=sha256_hex(request.salt + facts),
        policy_version_id=_deciding_version(deciding, answer),
        engine=verdict.engine,
        duration_us=verdict.duration_us,
    )


def _deciding_version(deciding: tuple[MatchedRule, ...], answer: _Answer) -> uuid.UUID | None:
    """Return the version of the first deciding rule, or else of the first failed rule."""
    if deciding:
        return ids.parse_public_id(ids.POLICY_VERSION, deciding[0].version_id)
    failed = {error.policy for error in answer.verdict.errors}
    named = (entry.version_id for entry in answer.rulebook.entries if entry.policy in failed)
    first = next(named, None)
    return ids.parse_public_id(ids.POLICY_VERSION, first) if first else None


def rule_json(match: MatchedRule) -> dict[str, Any]:
    """Return a matched rule in the form stored on decisions."""
    return {
        "policy": match.policy,
        "version_id": match.version_id,
        "rule": match.rule,
        "effect": str(match.effect),
        "reason": match.reason,
        "scope": match.scope,
        **({"message": match.message} if match.message else {}),
    }


def errors_json(verdict: Verdict) -> list[dict[str, Any]]:
    """Return the failed rules with their errors."""
    return [{"policy": error.policy, "rule": error.rule, "message": error.message} for error in verdict.errors]


def versions_json(rulebook: Rulebook) -> list[dict[str, Any]]:
    """Return the evaluated versions with their scopes; a policy without a version in force has version null."""
    asked = [
        {"policy": entry.policy, "version_id": entry.version_id, "scope": entry.scope, "on": list(entry.on)}
        for entry in rulebook.entries
    ]
    return [*asked, *({"policy": slug, "version_id": None, "scope": None, "on": []} for slug in rulebook.missing)]


def trace_of(verdict: Verdict) -> list[dict[str, Any]]:
    """Return the trace, with the overridden rules added."""
    overridden: dict[tuple[str, str], list[str]] = defaultdict(list)
    for match in verdict.overridden:
        overridden[match.policy, match.scope].append(match.rule)
    return [{**entry, "overridden": overridden[entry["policy"], entry["scope"]]} for entry in verdict.trace]
