"""Candidate override: a rulebook in which another version replaces the version in force of one policy."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from policies import selectors
from policies.deciding.rulebook import Rulebook, list_items, rulebook_for
from policies.documents.policy import parse_policy
from policies.language.evaluation import SCOPES, CompiledPolicy, RulebookEntry, Scope, outline_policy
from policies.language.request import DecisionRequest
from policies.models import List, PolicyVersion
from threada_site.kernel.context import ActingContext

DRAFT: Final = "draft"
"""Version id of a document that is not stored."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version of the policy `policy`, in force or not, for the evaluator."""

    policy: str
    version_id: str
    compiled: CompiledPolicy


@dataclass(frozen=True, slots=True)
class CandidateRulebook:
    """A rulebook with the candidate in place. `applies` is False if no overlay binds its policy to the case."""

    rulebook: Rulebook
    applies: bool


def candidate_of(policy: str, document: Any, *, version_id: str = DRAFT) -> Candidate:
    """Parse and check a document. Raises `PolicyDocumentInvalid`."""
    return Candidate(policy, version_id, outline_policy(parse_policy(document)))


def candidate_version(version: PolicyVersion) -> Candidate:
    """Parse and check a stored version of any status. Raises `PolicyDocumentInvalid`."""
    return candidate_of(version.policy.slug, version.document, version_id=version.public_id)


def rulebook_with_candidate(
    candidate: Candidate, request: DecisionRequest, *, at: datetime, ctx: ActingContext
) -> CandidateRulebook:
    """Return the rulebook in force at `at` for the request, with the candidate as the version in force."""
    workflow, channel = request.workflow, request.channel
    live = rulebook_for(
        workflow=workflow,
        channel=channel,
        requester_id=request.requester_id,
        requester_groups=request.requester_groups,
        at=at,
        ctx=ctx,
    )
    scopes = [entry.scope for entry in live.entries if entry.policy == candidate.policy]
    if candidate.policy in live.missing:
        overlays = selectors.overlays(ctx)
        bound = selectors.applying(overlays, workflow=workflow, channel=channel, groups=live.requester_groups, at=at)
        kinds = bound.filter(policy__slug=candidate.policy).values_list("scope_kind", flat=True)
        scopes = [cast("Scope", kind) for kind in kinds]
    entries = override_with_candidate(live.entries, candidate, scopes)
    missing = tuple(slug for slug in live.missing if slug != candidate.policy)
    asked = lists_read(entries, _current_lists(ctx)) if scopes else live.list_versions
    items = list_items(asked.values(), ctx=ctx)
    return CandidateRulebook(
        Rulebook(
            entries,
            missing,
            asked,
            {name: items[version_id] for name, version_id in asked.items()},
            live.requester_groups,
        ),
        applies=bool(scopes),
    )


def rulebook_of_candidate(candidate: Candidate, *, ctx: ActingContext) -> Rulebook:
    """Return a rulebook that contains only the candidate."""
    entries = override_with_candidate((), candidate, ["tenant"])
    asked = lists_read(entries, _current_lists(ctx))
    items = list_items(asked.values(), ctx=ctx)
    return Rulebook(entries, (), asked, {name: items[version_id] for name, version_id in asked.items()})


def override_with_candidate(
    entries: Iterable[RulebookEntry], candidate: Candidate, scopes: Iterable[Scope]
) -> tuple[RulebookEntry, ...]:
    """Return `entries` with the candidate on `scopes` instead of the entries of its policy, in evaluation order."""
    known = list(entries)
    others = [entry for entry in known if entry.policy != candidate.policy]
    on = {entry.scope: entry.on for entry in known if entry.policy == candidate.policy}
    placed = [
        RulebookEntry(candidate.policy, candidate.version_id, scope, candidate.compiled, on=on.get(scope, ()))
        for scope in dict.fromkeys(scopes)
    ]
    return tuple(sorted([*others, *placed], key=lambda entry: (SCOPES.index(entry.scope), entry.policy)))


def lists_read(entries: Iterable[RulebookEntry], there_are: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Return the existing lists that the rules read, or all lists if a rule may read any."""
    named: set[str] = set()
    for entry in entries:
        if entry.document is not None:
            if entry.document.lists is None:
                return dict(there_are)
            named |= entry.document.lists
    return {name: there_are[name] for name in sorted(named) if name in there_are}


def _current_lists(ctx: ActingContext) -> dict[str, uuid.UUID]:
    rows = List.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    return dict(rows.values_list("slug", "current_version_id"))
