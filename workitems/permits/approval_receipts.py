"""State, terms and approvals of a permit as its receipts state them, compared with the rows before each use.

The rows count only if receipts that the product wrote say the same: SQL that inserts a permit or puts a revoked one in
effect again cannot sign. A case without receipts is no excuse: retention keeps the case of a permit in effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from integrations.models import Execution
from telemetry.receipts.authentic import Authenticity, AuthenticReceipt, authentic_receipts
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.approvers.stated_escalations import ESCALATED, stored_and_stated
from workitems.items import stated_ends
from workitems.models import Permit, Vote
from workitems.permits.propose import approval_votes
from workitems.permits.records import limits_of
from workitems.permits.terms import NotCoveredError

_KINDS: Final = (
    ESCALATED,
    "decision_step.opened",
    "permit.approved",
    "permit.in_effect",
    "permit.narrowed",
    "permit.revoked",
    "permit.used",
    *stated_ends.KINDS,
)
_RECORDED_WITHIN_S: Final = 60.0
"""Most seconds between the time in the row of an approval and that of its receipt."""


def stated_approvals(
    permit: Permit, *, used_by: Execution | None = None, authenticity: Authenticity | None = None
) -> list[Vote]:
    """Return the approvals of a permit that receipts state, as votes that are not saved.

    `used_by`: execution that has reserved a unit. Raise `TransportFailure` if it may not run. Raise `NotCoveredError`
    unless receipts state that the permit is in effect with these terms and this rule, and that the unit was reserved
    for the envelope of the execution. `authenticity`: which receipts count; by default as before a call.
    """
    found = _receipts(permit, used_by, authenticity)
    if used_by is not None:
        stated_ends.check_may_run(used_by.public_id, [one.content for one in found])
    about = [one for one in found if one.content["inputs"].get("permit_id") == permit.public_id]
    if used_by is not None and not any(_is_use(one, used_by) for one in _of_kind("used", about)):
        raise NotCoveredError("No receipt states this use.")
    about = [one for one in about if one.content["kind"] != "permit.used"]
    _check_terms(permit, about)
    _check_rule(permit, [one for one in found if one.content["kind"] == "decision_step.opened"])
    _check_escalations(permit, found)
    stated = {one.content["inputs"].get("vote"): one for one in _of_kind("approved", about)}
    return [vote for vote in approval_votes(permit) if _is_stated(vote, stated.get(vote.public_id))]


def _receipts(permit: Permit, used_by: Execution | None, authenticity: Authenticity | None) -> list[AuthenticReceipt]:
    """Return the receipts of the case of a permit, and of that of an execution that uses it."""
    items = {permit.work_item_id}
    if used_by is not None:
        items.add(used_by.work_item_id)
    try:
        found = authentic_receipts(items, kinds=_KINDS, tenant_id=permit.tenant_id, authenticity=authenticity)
    except ValueError:
        raise NotCoveredError("The id of its work item contains no time.") from None
    return [one for receipts in found.values() for one in receipts]


def _is_use(receipt: AuthenticReceipt, execution: Execution) -> bool:
    content = receipt.content
    stated = (content["subject"].get("execution_id"), content["inputs"].get("envelope_sha256"))
    return stated == (ids.public_id(ids.EXECUTION, execution.id), execution.envelope.sha256)


def _check_terms(permit: Permit, about: Sequence[AuthenticReceipt]) -> None:
    """Compare status, digest and limits. Each narrowing states the digests of the limits before and after."""
    began, narrowed = _of_kind("in_effect", about), _of_kind("narrowed", about)
    if not began or _of_kind("revoked", about):
        raise NotCoveredError("Its receipts do not state that it is in effect.")
    if {one.content["inputs"]["permit_sha256"] for one in about} != {permit.sha256}:
        raise NotCoveredError("Its terms are not those of its receipts.")
    limits = {one.content["inputs"]["limits_sha256"] for one in (*began, *narrowed)}
    if limits - {one.content["inputs"]["limits_before_sha256"] for one in narrowed} != {limits_of(permit).sha256}:
        raise NotCoveredError("Its limits are not those of its receipts.")


def _check_rule(permit: Permit, openings: Sequence[AuthenticReceipt]) -> None:
    """Compare the rule with that of the step on which the permit was proposed."""
    step = ids.public_id(ids.DECISION_STEP, permit.step_id)
    opened = [one for one in openings if one.content["inputs"].get("decision_step_id") == step]
    if len(opened) != 1:
        raise NotCoveredError("No receipt states its step.")
    stated = tuple(opened[0].content["inputs"].get(name) for name in ("rule_sha256", "grants_as_of"))
    # Versions that did not sign stated neither.
    is_earlier = not opened[0].is_signed and not any(stated)
    if not is_earlier and stated != (canonical_sha256(permit.rule), rfc3339(permit.grants_as_of)):
        raise NotCoveredError("Its rule is not that of its step.")


def _check_escalations(permit: Permit, receipts: Sequence[AuthenticReceipt]) -> None:
    """Compare the escalation targets with those of the step, which may have been escalated further since then."""
    stored, stated = stored_and_stated(
        permit.escalated_to,
        (one.content for one in receipts),
        step=ids.public_id(ids.DECISION_STEP, permit.step_id),
        rule=permit.rule,
        tenant_id=permit.tenant_id,
    )
    if not stored <= stated:
        raise NotCoveredError("Its escalations are not those of its step.")


def _is_stated(vote: Vote, receipt: AuthenticReceipt | None) -> bool:
    if receipt is None:
        return False
    content = receipt.content
    stated = (content["actor"]["principal"], content["inputs"].get("authentication"))
    is_of_then = abs((ids.instant_of(receipt.id) - vote.created_at).total_seconds()) <= _RECORDED_WITHIN_S
    return is_of_then and stated == (ids.public_id(ids.PRINCIPAL, vote.voter_id), vote.authentication)


def _of_kind(verb: str, receipts: Sequence[AuthenticReceipt]) -> list[AuthenticReceipt]:
    return [one for one in receipts if one.content["kind"] == f"permit.{verb}"]
