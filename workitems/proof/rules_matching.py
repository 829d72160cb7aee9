"""Check of a proof: rules in force that never match.

Two sources: the newest recorded decisions, and the conditions themselves, where it is certain that a rule never
decides. Such a rule breaks no promise, so it is named and fails nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from policies import selectors
from policies.documents.policy import parse_policy
from policies.language.reachability import rule_warnings
from policies.models import PolicyVersion
from policies.replay.idle_rules import FEWEST, matched_rules, rules_of
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.proof.results import Finding, Result

NAME: Final = "every_rule_matches"
PROMISE: Final = "Every rule decides some case"


def rule_findings(ctx: ActingContext) -> Iterator[Finding]:
    """Yield a finding for every rule that never matches, and one for every policy of which no rule is named.

    A policy passes only if no rule of any policy is named.
    """
    findings = list(_findings(ctx))
    is_one_named = any(finding.case.rpartition(" / ")[0] for finding in findings)
    for finding in findings:
        is_overruled = is_one_named and finding.result is Result.PASS
        yield replace(finding, result=Result.NOT_APPLICABLE) if is_overruled else finding


def _findings(ctx: ActingContext) -> Iterator[Finding]:
    asked = matched_rules(ctx)
    for policy in selectors.policies(ctx).filter(in_force__isnull=False).order_by("slug"):
        version = policy.in_force
        assert version is not None  # noqa: S101  (filtered)
        decisions, matched = asked.get(version.id, (0, set()))
        named = dict(_never_deciding(version))
        if decisions:
            said = f"It decided none of the newest {decisions} decisions of its policy."
            named |= {rule: said for rule in rules_of(version) if rule not in matched and rule not in named}
        for rule, text in named.items():
            yield Finding(NAME, Result.NOT_APPLICABLE, text, f"{policy.slug} / {rule}")
        if not named and decisions:
            text = f"Each of its rules matched in the newest {decisions} decisions of the policy."
            yield Finding(NAME, Result.PASS, text, policy.slug)
        elif not named:
            text = f"Fewer than {FEWEST} of the newest decisions asked it. Its conditions do not exclude each other."
            yield Finding(NAME, Result.NOT_APPLICABLE, text, policy.slug)


def _never_deciding(version: PolicyVersion) -> Iterator[tuple[str, str]]:
    """Yield the rules that certainly never decide, and why."""
    try:
        document = parse_policy(version.document)
    except errors.ThreadaError:
        return
    for warning in rule_warnings(document):
        yield document.rules[int(warning.pointer.rpartition("/")[2])].id, warning.detail
