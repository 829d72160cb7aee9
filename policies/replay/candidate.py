"""Rulebooks that are not in force: one that is, or was, with another version of one policy in its place."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from policies import selectors
from policies.deciding.rulebook import Rulebook, list_items, rulebook_for
from policies.documents.policy import parse_policy
from policies.language.evaluation import SCOPES, CompiledPolicy, RulebookEntry, Scope, compile_policy
from policies.language.request import DecisionRequest
from policies.models import List, PolicyVersion
from threada_site.kernel.context import ActingContext

DRAFT: Final = "draft"
"""What a document is called that is no stored version."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version of the policy `policy` as it would decide, in force or not."""

    policy: str
    version_id: str
    compiled: CompiledPolicy


@dataclass(frozen=True, slots=True)
class CandidateRulebook:
    """A rulebook with the candidate in it. `applies` is whether any overlay brings the candidate to bear at all."""

    rulebook: Rulebook
    applies: bool


def candidate_of(policy: str, document: Any, *, version_id: str = DRAFT) -> Candidate:
    """A document, read and compiled. Raises `PolicyDocumentInvalid`."""
    return Candidate(policy, version_id, compile_policy(parse_policy(document)))


def candidate_version(version: PolicyVersion) -> Candidate:
    """A stored version, whatever its status. Raises `PolicyDocumentInvalid`."""
    return candidate_of(version.policy.slug, version.document, version_id=version.public_id)


def rulebook_with_candidate(
    candidate: Candidate, request: DecisionRequest, *, at: datetime, ctx: ActingContext
) -> CandidateRulebook:
    """The rulebook in force for such work items at `at`, as if the candidate were its policy's version in force."""
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
    """The candidate with nothing beside it."""
    entries = override_with_candidate((), candidate, ["tenant"])
    asked = lists_read(entries, _current_lists(ctx))
    items = list_items(asked.values(), ctx=ctx)
    return Rulebook(entries, (), asked, {name: items[version_id] for name, version_id in asked.items()})


def override_with_candidate(
    entries: Iterable[RulebookEntry], candidate: Candidate, scopes: Iterable[Scope]
) -> tuple[RulebookEntry, ...]:
    """`entries` with the candidate on `scopes` in place of what its policy had, in the order of evaluation."""
    known = list(entries)
    others = [entry for entry in known if entry.policy != candidate.policy]
    on = {entry.scope: entry.on for entry in known if entry.policy == candidate.policy}
    placed = [
        RulebookEntry(candidate.policy, candidate.version_id, scope, candidate.compiled, on=on.get(scope, ()))
        for scope in dict.fromkeys(scopes)
    ]
    return tuple(sorted([*others, *placed], key=lambda entry: (SCOPES.index(entry.scope), entry.policy)))


def lists_read(entries: Iterable[RulebookEntry], there_are: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """The lists that the rules read, of those that there are; all, where a rule may read any."""
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
