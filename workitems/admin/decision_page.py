"""Page of one decision: everything an approver needs, on one screen.

The number of SQL statements does not depend on the number of votes or steps. The votes that count are read completely
with few columns; the votes shown are read page by page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final

import orjson
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from integrations.freezes.block import freeze_rows_in_force
from integrations.models import Freeze
from policies import selectors as policy_selectors
from policies.deciding.explanation import people_sentence
from policies.deciding.stored_decision import conditions_in
from policies.language.approvals import from_json
from policies.models import PolicyDecision, PolicyVersion
from threada_site.admin.html import page_url
from threada_site.admin.reauthentication import proof_asked
from threada_site.database.joint_reads import fetch_together
from threada_site.kernel import clock, ids
from threada_site.kernel.characters import code_point, name_of, turns_text, unseen_in
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.truncate import shorten
from threada_site.personal_data.erasable_fields import is_erased
from workitems import selectors
from workitems.admin.contents import RELATED_SHOWN, contents_of, described, related_to
from workitems.admin.conversation import conversation_of, conversation_rows
from workitems.admin.envelope_differences import differences_to
from workitems.admin.permits.pages import permit_choice
from workitems.admin.preview import previews_in, small_payloads
from workitems.admin.sent import end_in_words, is_simulated_request, what_is_sent
from workitems.approvers import count_votes
from workitems.approvers.active_members import active_members_of, escalation_leaves
from workitems.approvers.step_votes import StepVotes
from workitems.approvers.timely_grants import late_in_words
from workitems.approvers.unowned import names_without_owner
from workitems.conversation.audience import owners_of_requesters, remember_owners
from workitems.display.fields import readable
from workitems.display.formats import locale_named
from workitems.display.rule_sentences import rule_sentence
from workitems.executions.freeze_states import freeze_notices, freezes_of_step
from workitems.explain.history import history_of
from workitems.explain.wording import excluded_in_words
from workitems.items.erasable_fields import erased_by
from workitems.items.questions import question_of
from workitems.items.sensitive import record_reading
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Evidence, Vote, WorkItem
from workitems.steps.eligible_voter import ENDS_DEPENDENCE
from workitems.steps.vote_authentication import authentication_in_words, signed_in_at

VOTES_SHOWN: Final = 10
ALIKE_SHOWN: Final = 5
MOST_BYTES: Final = 64 * 1024
COMMENT_LENGTH: Final = 4000
_NAMED: Final = 6
_MOST_PEOPLE: Final = 300


@dataclass(frozen=True)
class Unseen:
    """Invisible character, as the warning names it."""

    code: str
    name: str
    times: int
    turns_text: bool


def decision_page(step: DecisionStep, query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context. `?whole=1` shows everything uncut; `?before=<vote id>` pages through votes."""
    record_reading(step.work_item, ctx=ctx)
    is_pending = step.status == StepStatus.PENDING
    rule = from_json(step.rule)
    envelope = bytes(step.envelope.body)
    envelope_fields: dict[str, Any] = orjson.loads(envelope)
    rows = _rows_of(step, query, ctx=ctx)
    previous = next(iter(rows.previous), None)
    alike = list(rows.alike)
    conversation = conversation_rows(step.work_item, query, ctx=ctx)
    payloads = small_payloads([one.work_item_id for one in alike], ctx=ctx)
    fetch_together(*conversation.parts, payloads)
    page = {
        "question": question_of(step),
        "item": step.work_item,
        "envelope_bytes": len(envelope),
        "rule": rule,
        **permit_choice(step, rule),
        "is_pending": is_pending,
        "freezes": freeze_notices(freezes_of_step(step, rows.freezes)) if is_pending else [],
        "previous": previous,
        "escalated_to": [f"the {leaf.kind} {leaf.name}" for leaf in escalation_leaves(step.escalated_to)],
        "history": history_of(step),
        "comment_length": COMMENT_LENGTH,
        "asks_proof": proof_asked(
            ctx, is_required=rule.step_up, must_be_passkey=rule.authentication == "phishing_resistant"
        ),
        "reject_reasons": policy_selectors.workflow_document(
            step.work_item.workflow_version_id, ctx=ctx
        ).reject_reasons,
        "alike": _decided_alike(alike, payloads, ctx=ctx),
        **related_to(step.work_item, rows.related, ctx=ctx),
        "workflow_name": readable(step.workflow),
        "erased_by": erased_by(step.work_item),
        **conversation_of(
            step.work_item, conversation, ctx=ctx, back=page_url("workitems.decisionstep", step.public_id)
        ),
        **_people(step, rows.counted, ctx=ctx),
        **_votes(rows.votes, query),
        **_rules(step, rows, ctx=ctx),
    }
    whole = query.get("whole") == "1"
    content = _content(step, rows.evidence, envelope_fields, envelope, whole=whole)
    contents = contents_of(step.work_item, content["payload"], ctx=ctx)
    changes = None
    if previous:
        document = policy_selectors.workflow_document(step.work_item.workflow_version_id, ctx=ctx)
        describe = partial(described, document.payload_schema, ctx=ctx)
        changes = differences_to(previous, envelope_fields, step.work_item.payload, describe=describe, whole=whole)
    return {
        **page,
        **content,
        "payload": contents.whole,
        "summary": contents.summary,
        "resembling": contents.resembling,
        "changes": changes.shown if changes else [],
        "is_cut": content["is_cut"] or bool(changes and changes.is_cut),
    }


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of many tables that the page shows, read by one statement."""

    previous: QuerySet[DecisionStep]
    alike: QuerySet[DecisionStep]
    related: QuerySet[WorkItem]
    freezes: QuerySet[Freeze]
    counted: QuerySet[Vote]
    votes: QuerySet[Vote]
    evidence: QuerySet[Evidence]
    decision: QuerySet[PolicyDecision]
    pinned: QuerySet[PolicyVersion]


def _rows_of(step: DecisionStep, query: QueryDict, *, ctx: ActingContext) -> _Rows:
    item = step.work_item
    before = ids.parse_public_id(ids.VOTE, query.get("before", "")[:80])
    decisions = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id__in=filter(None, [step.policy_decision_id]))
    versions = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=step.policy_version_ids)
    found = _Rows(
        previous=selectors.superseded_before(step),
        alike=selectors.decided_alike(step, ctx=ctx, most=ALIKE_SHOWN),
        related=selectors.related_items(item, ctx=ctx, most=RELATED_SHOWN),
        freezes=freeze_rows_in_force(step.tenant_id),
        counted=selectors.votes_of_people(step),
        votes=selectors.newest_votes(step, before=before, most=VOTES_SHOWN + 1),
        evidence=selectors.evidence_rows(item.id, item.tenant_id),
        decision=decisions.defer("facts", "trace"),
        pinned=versions.select_related("policy"),
    )
    owners = owners_of_requesters(item)
    fetch_together(owners, *(getattr(found, field.name) for field in fields(found)))
    remember_owners(item, owners)
    return found


def _content(
    step: DecisionStep,
    evidence_rows: Iterable[Evidence],
    envelope_fields: dict[str, Any],
    envelope: bytes,
    *,
    whole: bool,
) -> dict[str, Any]:
    """Return payload, evidence and envelope, shortened to the size of a page unless `whole` is set."""
    evidence = [{"kind": part.kind, "content": part.content} for part in evidence_rows]
    parts = {
        "sends": what_is_sent(envelope_fields),
        "payload": step.work_item.payload,
        "evidence": evidence,
        "envelope_fields": envelope_fields,
    }
    found = unseen_in([parts, step.question])
    text = envelope.decode()
    is_cut = False
    if not whole:
        shortened = {name: shorten(value) for name, value in parts.items()}
        is_cut = len(text) > MOST_BYTES or any(part.is_cut for part in shortened.values())
        parts = {name: part.value for name, part in shortened.items()}
        text = text[:MOST_BYTES]
    return {
        **parts,
        "is_simulated": is_simulated_request(envelope_fields),
        "ends": end_in_words(envelope_fields),
        "evidence": [part for part in parts["evidence"] if isinstance(part, dict) and "content" in part],
        "envelope_text": text,
        "is_cut": is_cut,
        "unseen": [
            Unseen(code_point(character), name_of(character), times, turns_text(character))
            for character, times in sorted(found.items())
        ],
    }


def _people(step: DecisionStep, counted: Iterable[Vote], *, ctx: ActingContext) -> dict[str, Any]:
    """Return the votes cast, the votes still needed, and the actions that the reader may take."""
    workflow_id = step.work_item.workflow_version.workflow_id
    votes = StepVotes(step, tuple(counted), active_members_of(ctx.tenant_id), workflow_id)
    is_pending = step.status == StepStatus.PENDING
    result = votes.result if is_pending else None
    standing = votes.eligibility_of(ctx)
    has_voted = ctx.principal_id in votes.voters or votes.is_represented(ctx.principal_id)
    may_decide = is_pending and ctx.allows(Scope.DECISIONS_DECIDE, workflow=workflow_id)
    counts = standing is count_votes.Eligibility.COUNTS
    only_rejects = may_decide and not has_voted and standing is count_votes.Eligibility.NOT_INDEPENDENT
    dependent = votes.dependent_vote(ctx.principal_id) if only_rejects else None
    claimant = step.claimant_at(clock.now())
    manages = ctx.allows(Scope.WORKFLOW_MANAGE, workflow=workflow_id)
    return {
        "vote_result": result,
        "unowned": ", ".join(names_without_owner(votes)) if is_pending else "",
        "given": len(result.counted) if result else 0,
        "asked": len(result.counted) + sum(need.missing for need in result.waiting_for) if result else 0,
        "needs": [need_in_words(need) for need in result.waiting_for] if result else [],
        "could_decide": _could_decide(votes) if result else "",
        "excluded_by_rule": excluded_in_words(votes.rule.exclude),
        "excluded": sorted(member.username for member in votes.active_members if member.id in votes.excluded),
        "may_vote": (may_decide and counts and not has_voted) or only_rejects,
        "only_rejects": only_rejects,
        "dependent_voter": votes.name_of(dependent.voter_id) if dependent else "",
        "ends_dependence": _(ENDS_DEPENDENCE),
        "why_not": _why_not(votes, standing, may_decide=may_decide, has_voted=has_voted, ctx=ctx) if is_pending else "",
        "claimed_by": step.claimed_by if claimant else None,
        "may_claim": may_decide and counts and not has_voted and claimant is None,
        "may_release": is_pending and claimant == ctx.principal_id,
        "may_reassign": may_decide and ctx.is_person and (counts or manages),
        "may_escalate": may_decide
        and (
            (manages and ctx.is_person) or bool(set(votes.rule.escalate_to) - set(escalation_leaves(step.escalated_to)))
        ),
    }


def _why_not(
    votes: StepVotes, standing: count_votes.Eligibility, *, may_decide: bool, has_voted: bool, ctx: ActingContext
) -> str:
    if ctx.principal_id in votes.voters:
        return _("You have voted on this step.")
    if standing is count_votes.Eligibility.LATE and may_decide and not has_voted:
        return late_in_words(votes.late_grants_of(ctx), as_of=votes.step.grants_as_of)
    return why_not(standing, may_decide=may_decide, has_voted=has_voted)


def _could_decide(votes: StepVotes) -> str:
    """Return the first names of the people who may still vote; empty in a large tenant."""
    if len(votes.active_members.members) > _MOST_PEOPLE:
        return ""
    counting = votes.can_vote_ids()
    names = [member.username for member in votes.active_members if member.id in counting]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _decided_alike(
    found: Iterable[DecisionStep], payloads: QuerySet[WorkItem, Any], *, ctx: ActingContext
) -> list[tuple[DecisionStep, list[tuple[str, str]]]]:
    """Return earlier decisions on the same rule and action, newest first, each with a preview of its payload."""
    previews = previews_in(payloads, ctx=ctx)
    return [(one, previews.get(one.work_item_id, [])) for one in found]


def _votes(found: Iterable[Vote], query: QueryDict) -> dict[str, Any]:
    """Return the newest votes, or those before the vote in the query."""
    shown = list(found)
    authentications = [
        (authentication_in_words(vote.authentication), signed_in_at(vote.authentication))
        for vote in shown[:VOTES_SHOWN]
    ]
    return {
        "votes": list(zip(shown[:VOTES_SHOWN], authentications, strict=True)),
        "older_votes": shown[VOTES_SHOWN - 1].public_id if len(shown) > VOTES_SHOWN else "",
        "newest_votes": ids.parse_public_id(ids.VOTE, query.get("before", "")[:80]) is not None,
    }


def _rules(step: DecisionStep, rows: _Rows, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the policy decision that caused this step, each matched rule with a sentence, and the pinned versions."""
    decision = next(iter(rows.decision), None)
    pinned = list(rows.pinned)
    document = policy_selectors.workflow_document(step.work_item.workflow_version_id, ctx=ctx)
    conditions = {version.public_id: conditions_in(version.document) for version in pinned}
    payload = None if is_erased(step.work_item.payload) else step.work_item.payload
    said = [
        rule_sentence(
            rule,
            conditions.get(rule["version_id"], {}).get(rule["rule"], ""),
            schema=document.payload_schema,
            payload=payload,
            locale=locale_named(get_language()),
        )
        for rule in (decision.matched if decision else ())
    ]
    return {
        "decision": decision,
        "matched": list(zip(decision.matched, said, strict=True)) if decision else [],
        "people_asked": people_sentence(decision.approvals) if decision else "",
        "pinned": pinned,
    }


def need_in_words(need: count_votes.Need) -> str:
    """Return the missing votes of one part of the rule in words."""
    people = _("1 more person") if need.missing == 1 else _("{missing} more people").format(missing=need.missing)
    named = {
        "role": _("{people} with the role {name}").format(people=people, name=need.leaf.name),
        "group": _("{people} of the group {name}").format(people=people, name=need.leaf.name),
        "user": need.leaf.name,
        "scope": _("{people} with {name} on this workflow").format(people=people, name=need.leaf.name),
    }
    return named[need.leaf.kind]


def why_not(standing: count_votes.Eligibility, *, may_decide: bool, has_voted: bool) -> str:
    """Return the reason why the reader cannot vote; empty if the reader can."""
    if has_voted:
        return _("You or somebody in your place has already voted on this step. Each person has one vote.")
    if not may_decide:
        return _("You may read this step. Voting needs the scope decisions:decide on the workflow.")
    if standing is count_votes.Eligibility.EXCLUDED:
        return _("You take part in this case, so another person must decide.")
    if standing is count_votes.Eligibility.DEPENDENT_ON_EXCLUDED:
        return _(
            "Your account and that of a person who takes part in this case depend on each other or on "
            "one person, so another person must decide. {advice}"
        ).format(advice=_(ENDS_DEPENDENCE))
    if standing is count_votes.Eligibility.NOT_ACCEPTED:
        return _("You have not accepted your invitation to this tenant.")
    if standing is count_votes.Eligibility.NOT_ELIGIBLE:
        return _("The approval rule names none of your roles or groups.")
    if standing is count_votes.Eligibility.NOT_YET:
        return _("An earlier stage is not complete. You can vote when it is.")
    return ""
