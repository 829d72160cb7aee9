"""Completeness check of receipts: cases, policy versions and every row listed in `expected_receipts`."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import batched
from operator import itemgetter
from typing import Any, Final

import orjson
from django.db.models import Model, OuterRef, QuerySet, Subquery

from integrations.models import Attempt, Execution
from policies.models import PolicyDecision, PolicyVersion
from telemetry.models import LogLeaf, Receipt
from telemetry.receipts.authentic import Authenticity, verified_signed_from
from telemetry.receipts.signature import OriginState
from telemetry.verification.findings import Finding
from threada_site.kernel import ids
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Tenant
from workitems.completeness.approved_calls import calls_without_approvals
from workitems.completeness.expected_receipts import EXPECTED_DELETION_RECEIPTS, EXPECTED_RECEIPTS
from workitems.completeness.newest_states import KINDS as STATE_KINDS
from workitems.completeness.newest_states import states_unlike_newest_receipts
from workitems.completeness.rules import CaseRows, missing_receipts
from workitems.completeness.scopes import KINDS as SCOPE_KINDS
from workitems.completeness.scopes import scopes_without_receipt
from workitems.items.stated_ends import acts_after_end
from workitems.models import Comment, CommentVersion, DecisionStep, Permit, RequesterQuestion, Vote, WorkItem
from workitems.permits.approval_receipts import stated_approvals
from workitems.permits.counters import check_counters
from workitems.permits.terms import NotCoveredError

AT_ONCE: Final = 500
_CHUNK: Final = 2000


_ACCEPTED_KINDS: Final = {
    "policy.published": ("policy.published", "policy.published_in_emergency"),
    "policy.retired": ("policy.retired", "policy.emergency_ended"),
}


def verify_completeness(
    tenant: Tenant, *, watch: Callable[[], None] = lambda: None, only_authentic: bool = True
) -> Iterator[Finding]:
    """Yield a finding for each missing receipt, call without approvals, and act after the end of an execution.

    A receipt that no process of the product wrote is like a missing one. Call inside a unit of work; reads in batches
    to bound memory. `only_authentic`: False for receipts of another instance, whose keys are not known here.
    """
    authenticity = Authenticity(tenant.id, signed_from=verified_signed_from) if only_authentic else None
    for items in _batches(WorkItem.objects.filter(tenant_id=tenant.id).only("id", "status")):
        cases, bodies = _cases(tenant.id, items, authenticity)
        for case in cases:
            watch()
            for event in missing_receipts(case, bodies.get(case.work_item_id, ())):
                yield Finding(tenant.slug, "act_without_receipt", str(event))
            contents = bodies.get(case.work_item_id, ())
            for message in (*acts_after_end(contents), *calls_without_approvals(contents)):
                yield Finding(tenant.slug, "act_without_receipt", message)
    for versions in _batches(PolicyVersion.objects.filter(tenant_id=tenant.id).exclude(status="draft")):
        yield from _unpublished(tenant, versions, authenticity)
    yield from _missing_expected_receipts(tenant, authenticity)
    if authenticity is not None:
        yield from _permits_that_differ(tenant, watch, authenticity)
    about_scopes = sorted(_named_receipts(tenant, SCOPE_KINDS, authenticity), key=itemgetter(0))
    for message in scopes_without_receipt(tenant, [body for _, _, body in about_scopes]):
        yield Finding(tenant.slug, "act_without_receipt", message)
    for message in states_unlike_newest_receipts(tenant, _named_receipts(tenant, STATE_KINDS, authenticity)):
        yield Finding(tenant.slug, "act_without_receipt", message)


def case_count(tenant: Tenant) -> int:
    """Return the number of cases, for the progress of a verification."""
    return WorkItem.objects.filter(tenant_id=tenant.id).count()


def _cases(
    tenant_id: uuid.UUID, items: Sequence[WorkItem], authenticity: Authenticity | None
) -> tuple[list[CaseRows], dict[str, list[Any]]]:
    item_ids = [item.id for item in items]
    mine: dict[str, Any] = {"tenant_id": tenant_id, "work_item_id__in": item_ids}
    executions: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    owner: dict[uuid.UUID, uuid.UUID] = {}
    for row_id, item_id, status in Execution.objects.filter(**mine).values_list("id", "work_item_id", "status"):
        executions[item_id][ids.public_id(ids.EXECUTION, row_id)] = status
        owner[row_id] = item_id
    attempts: dict[uuid.UUID, list[tuple[str, int]]] = defaultdict(list)
    settled = Attempt.objects.filter(tenant_id=tenant_id, execution_id__in=owner).exclude(outcome="")
    for row_id, number in settled.values_list("execution_id", "number"):
        attempts[owner[row_id]].append((ids.public_id(ids.EXECUTION, row_id), number))
    steps: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    of_step: dict[uuid.UUID, uuid.UUID] = {}
    for row_id, item_id, status in DecisionStep.objects.filter(**mine).values_list("id", "work_item_id", "status"):
        steps[item_id][ids.public_id(ids.DECISION_STEP, row_id)] = status
        of_step[row_id] = item_id
    votes: dict[uuid.UUID, list[str]] = defaultdict(list)
    cast = Vote.objects.filter(tenant_id=tenant_id, step_id__in=of_step, carried_from=None)
    for row_id, step_id in cast.values_list("id", "step_id"):
        votes[of_step[step_id]].append(ids.public_id(ids.VOTE, row_id))
    decisions: dict[uuid.UUID, list[str]] = defaultdict(list)
    for row_id, item_id in PolicyDecision.objects.filter(**mine).values_list("id", "work_item_id"):
        decisions[item_id].append(ids.public_id(ids.POLICY_DECISION, row_id))
    comments: dict[uuid.UUID, list[tuple[str, int]]] = defaultdict(list)
    versions = CommentVersion.objects.filter(**mine)
    for row_id, item_id, number in versions.values_list("comment_id", "work_item_id", "number"):
        comments[item_id].append((ids.public_id(ids.COMMENT, row_id), number))
    removed: dict[uuid.UUID, list[str]] = defaultdict(list)
    gone = Comment.objects.filter(**mine, removed_at__isnull=False)
    for row_id, item_id in gone.values_list("id", "work_item_id"):
        removed[item_id].append(ids.public_id(ids.COMMENT, row_id))
    questions: dict[uuid.UUID, dict[str, str]] = defaultdict(dict)
    for row_id, item_id, status in RequesterQuestion.objects.filter(**mine).values_list("id", "work_item_id", "status"):
        questions[item_id][ids.public_id(ids.REQUESTER_QUESTION, row_id)] = status
    cases = [
        CaseRows(
            work_item_id=item.public_id,
            status=item.status,
            executions=executions[item.id],
            attempts=attempts[item.id],
            steps=steps[item.id],
            votes=votes[item.id],
            decisions=decisions[item.id],
            comments=comments[item.id],
            removed_comments=removed[item.id],
            questions=questions[item.id],
        )
        for item in items
    ]
    return cases, _bodies(Receipt.objects.filter(**mine), "work_item_id", ids.WORK_ITEM, authenticity)


def _unpublished(
    tenant: Tenant, versions: Sequence[PolicyVersion], authenticity: Authenticity | None
) -> Iterator[Finding]:
    kinds = [kind for accepted in _ACCEPTED_KINDS.values() for kind in accepted]
    rows = Receipt.objects.filter(
        tenant_id=tenant.id, policy_version_id__in=[version.id for version in versions], kind__in=kinds
    )
    bodies = _bodies(rows, "policy_version_id", ids.POLICY_VERSION, authenticity)
    for version in versions:
        recorded = {body["kind"] for body in bodies.get(version.public_id, ())}
        expected = {
            "policy.published": version.published_at is not None,
            "policy.retired": version.retired_at is not None,
        }
        for kind, is_expected in expected.items():
            if is_expected and recorded.isdisjoint(_ACCEPTED_KINDS[kind]):
                message = f"{version.public_id}: there is no receipt that says it was {kind.partition('.')[2]}"
                yield Finding(tenant.slug, "act_without_receipt", message)


def _missing_expected_receipts(tenant: Tenant, authenticity: Authenticity | None) -> Iterator[Finding]:
    recorded = _recorded_keys(tenant, authenticity)
    for expected in EXPECTED_RECEIPTS:
        rows = expected.model._default_manager.filter(expected.condition, **{expected.tenant: tenant.id}).order_by("pk")
        for columns in rows.values_list(*expected.columns).iterator(chunk_size=_CHUNK):
            key = expected.row_key(*columns)
            if key not in recorded[expected]:
                yield Finding(tenant.slug, "act_without_receipt", f"{key}: there is no receipt {expected.kind}")
    for deletion in EXPECTED_DELETION_RECEIPTS:
        rows = deletion.model._default_manager.filter(tenant_id=tenant.id)
        present = {deletion.row_key(*columns) for columns in rows.values_list(*deletion.columns)}
        for key in sorted(recorded[deletion, deletion.created_kind] - recorded[deletion, deletion.kind] - present):
            yield Finding(tenant.slug, "act_without_receipt", f"{key}: there is no receipt {deletion.kind}")


def _permits_that_differ(tenant: Tenant, watch: Callable[[], None], authenticity: Authenticity) -> Iterator[Finding]:
    """Yield a finding for each permit in effect that its receipts state otherwise. Erased ones cover nothing."""
    for permits in _batches(Permit.objects.filter(tenant_id=tenant.id, status="in_effect")):
        for permit in permits:
            watch()
            if is_erased(permit.body) or is_erased(permit.bounds):
                continue
            try:
                stated_approvals(permit, authenticity=authenticity)
                check_counters(permit)
            except NotCoveredError as error:
                yield Finding(tenant.slug, "act_without_receipt", f"{permit.public_id}: {error}")


def _named_receipts(
    tenant: Tenant, kinds: Sequence[str], authenticity: Authenticity | None
) -> Iterator[tuple[uuid.UUID, int | None, dict[str, Any]]]:
    """Yield id, index in the log and content of the receipts of these kinds that count.

    They name people by the ids that they have now.
    """
    invited = _invited(tenant, authenticity)
    rows = Receipt.objects.filter(tenant_id=tenant.id, kind__in=kinds)
    for receipt_id, body, index in _counting(rows, "id", authenticity):
        with suppress(orjson.JSONDecodeError):
            decoded = orjson.loads(body)
            inputs = decoded.get("inputs", {})
            for name in ("principal", "owner"):
                if isinstance(named := inputs.get(name), str):
                    inputs[name] = invited.get(named, named)
            yield receipt_id, index, decoded


def _recorded_keys(tenant: Tenant, authenticity: Authenticity | None) -> defaultdict[Any, set[str]]:
    """Return the keys found in receipts, by `ReceiptExpectation`, and by `DeletionExpectation` and receipt kind."""
    readers: dict[str, list[tuple[Any, Callable[[Any], str]]]] = defaultdict(list)
    for expected in EXPECTED_RECEIPTS:
        for kind in (expected.kind, *expected.other_kinds):
            readers[kind].append((expected, expected.receipt_key))
    for deletion in EXPECTED_DELETION_RECEIPTS:
        for kind in (deletion.kind, deletion.created_kind):
            readers[kind].append(((deletion, kind), deletion.receipt_key))
    recorded: defaultdict[Any, set[str]] = defaultdict(set)
    invited = _invited(tenant, authenticity)
    rows = Receipt.objects.filter(tenant_id=tenant.id, kind__in=list(readers))
    for kind, body, _ in _counting(rows, "kind", authenticity):
        with suppress(orjson.JSONDecodeError):
            decoded = orjson.loads(body)
            inputs = decoded.get("inputs", {})
            if isinstance(named := inputs.get("principal"), str):
                inputs["principal"] = invited.get(named, named)
            for about, read in readers[kind]:
                with suppress(KeyError):
                    recorded[about].add(read(decoded))
    return recorded


def _invited(tenant: Tenant, authenticity: Authenticity | None) -> dict[str, str]:
    """Return the public ids of invitations, which receipts name until they are accepted, with those of their people.

    An imported tenant has no rows of invitations. The receipt of an acceptance names both.
    """
    found: dict[str, str] = {}
    accepted = Receipt.objects.filter(tenant_id=tenant.id, kind="invitation.accepted")
    for _, body, _ in _counting(accepted, "id", authenticity):
        with suppress(orjson.JSONDecodeError, KeyError):
            said = orjson.loads(body)["inputs"]
            found[said["link"]] = said["principal"]
    rows = AccountLink.objects.filter(tenant_id=tenant.id, purpose=LinkPurpose.INVITATION)
    for link, person in rows.values_list("id", "user_id"):
        found[ids.public_id(ids.ACCOUNT_LINK, link)] = ids.public_id(ids.PRINCIPAL, person)
    return found


def _bodies(
    rows: QuerySet[Receipt], column: str, prefix: str, authenticity: Authenticity | None
) -> dict[str, list[Any]]:
    """Return decoded receipt bodies by public id. Skip malformed bodies: the log verification reports them."""
    found: dict[str, list[Any]] = defaultdict(list)
    for about, body, _ in _counting(rows, column, authenticity):
        try:
            found[ids.public_id(prefix, about)].append(orjson.loads(body))
        except orjson.JSONDecodeError:
            continue
    return found


def _counting(
    rows: QuerySet[Receipt], column: str, authenticity: Authenticity | None
) -> Iterator[tuple[Any, bytes, int | None]]:
    """Yield one column, the body and the index in the log of the receipts that count."""
    place = LogLeaf.objects.filter(id=OuterRef("id"), tenant_id=OuterRef("tenant_id")).values("index")[:1]
    read = rows.order_by().values_list(column, "id", "body", "signature", Subquery(place)).iterator(chunk_size=_CHUNK)
    for some in batched(read, _CHUNK):
        known = [(row[1], bytes(row[2]), row[3], row[4]) for row in some]
        states = authenticity.origins(known) if authenticity else [OriginState.AUTHENTIC] * len(known)
        counting = (row for row, state in zip(some, states, strict=True) if state is not None)
        yield from ((row[0], bytes(row[2]), row[4]) for row in counting)


def _batches[Row: Model](rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """Yield the rows in batches, ordered by id."""
    last: uuid.UUID | None = None
    while True:
        after = rows if last is None else rows.filter(id__gt=last)
        batch = list(after.order_by("id")[:AT_ONCE])
        if batch:
            yield batch
        if len(batch) < AT_ONCE:
            return
        last = batch[-1].pk
