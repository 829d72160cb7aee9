"""Approvals of an execution as their receipts state them, compared with the rows right before a call.

The rows of steps and votes count only if receipts that the product wrote say the same: SQL that inserts a vote, even
with a receipt, cannot sign it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from integrations.attempts.failures import envelope_mismatch
from telemetry.receipts.authentic import AuthenticReceipt, authentic_receipts
from threada_site.database.sets.shared_reads import remember, shared
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from workitems.approvers.stated_escalations import ESCALATED, stored_and_stated
from workitems.items import stated_ends
from workitems.models import DecisionStep, Vote
from workitems.steps.opening_facts import cast_id, opening_facts

KINDS: Final = (
    "decision_step.controllers_known",
    ESCALATED,
    "decision_step.opened",
    "vote.recorded",
    *stated_ends.KINDS,
)
_RECORDED_WITHIN_S: Final = 60.0
"""Most seconds between the time in a vote's row and that of its receipt, which are written by one transaction."""


def read_ahead_approvals(items: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> None:
    """Read the receipts of all cases of a set in one statement."""
    if items:
        for item, receipts in authentic_receipts(items, kinds=KINDS, tenant_id=tenant_id).items():
            remember(_key(item), receipts)


def check_approvals(work_item_id: uuid.UUID, steps: Sequence[DecisionStep], votes: Sequence[Vote]) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) unless receipts state these steps and exactly these votes.

    An approval is used once: raise it too if receipts say that the execution ended after its last retry, or is called.
    """
    if not steps:
        return
    tenant_id = steps[0].tenant_id
    receipts = shared(
        _key(work_item_id),
        lambda: authentic_receipts([work_item_id], kinds=KINDS, tenant_id=tenant_id)[work_item_id],
    )
    for execution_id in {step.execution_id for step in steps if step.execution_id}:
        stated_ends.check_may_run(ids.public_id(ids.EXECUTION, execution_id), [one.content for one in receipts])
    cast = {one.content["inputs"].get("vote_id"): one for one in receipts if one.content["kind"] == "vote.recorded"}
    for step in steps:
        opened = _opening_of(step, receipts)
        _check_escalations(step, receipts)
        on_step = {one["inputs"]["vote_id"]: one for one in _counted_on(step, receipts)}
        carried = set(opened.content["inputs"].get("carried_votes", ()))
        rows = [vote for vote in votes if vote.step_id == step.id]
        own = {vote.public_id for vote in rows if vote.carried_from is None}
        moved = {cast_id(vote) for vote in rows if vote.carried_from is not None}
        if own != set(on_step) or (opened.is_signed and moved != carried):
            raise _differs(step, "votes")
        for vote in rows:
            _check_vote(vote, cast.get(cast_id(vote)), step)


def _opening_of(step: DecisionStep, receipts: Iterable[AuthenticReceipt]) -> AuthenticReceipt:
    """Return the receipt of the opening of a step, which states its rule, exclusions and controllers."""
    found = [
        one
        for one in receipts
        if one.content["kind"] == "decision_step.opened"
        and one.content["inputs"].get("decision_step_id") == step.public_id
    ]
    if len(found) != 1:
        raise _differs(step, "opening")
    inputs = found[0].content["inputs"]
    stated = {name: inputs.get(name) for name in ("rule_sha256", "excluded", "controllers", "grants_as_of")}
    if stated["controllers"] is not None:
        stated["controllers"] = {**stated["controllers"], **_known_later(step, receipts)}
    now = {name: value for name, value in opening_facts(step, ()).items() if name in stated}
    # Versions that did not sign stated neither the exclusions nor the controllers.
    is_earlier = not found[0].is_signed and not any(stated.values())
    if inputs.get("envelope_sha256") != step.envelope_sha256 or (stated != now and not is_earlier):
        raise _differs(step, "rule, exclusions or controllers")
    return found[0]


def _check_escalations(step: DecisionStep, receipts: Iterable[AuthenticReceipt]) -> None:
    """Compare the escalation targets of a step, which may fill any position, with those of its receipts."""
    stored, stated = stored_and_stated(
        step.escalated_to,
        (one.content for one in receipts),
        step=step.public_id,
        rule=step.rule,
        tenant_id=step.tenant_id,
    )
    if stored != stated:
        raise _differs(step, "escalations")


def _known_later(step: DecisionStep, receipts: Iterable[AuthenticReceipt]) -> dict[str, Any]:
    """Return the controllers that became known while the step waited for an owner."""
    found = [
        one.content["inputs"].get("controllers", {})
        for one in receipts
        if one.content["kind"] == "decision_step.controllers_known"
        and one.content["inputs"].get("decision_step_id") == step.public_id
    ]
    return {who: people for known in found for who, people in known.items()}


def _counted_on(step: DecisionStep, receipts: Iterable[AuthenticReceipt]) -> list[Mapping[str, Any]]:
    """Return the contents of the receipts of the counted votes on a step."""
    return [
        one.content
        for one in receipts
        if one.content["kind"] == "vote.recorded"
        and one.content["inputs"].get("decision_step_id") == step.public_id
        and one.content["outcome"].get("counted") is True
    ]


def _check_vote(vote: Vote, receipt: AuthenticReceipt | None, step: DecisionStep) -> None:
    """Compare a vote with its receipt."""
    if receipt is None:
        raise _differs(step, "votes")
    content = receipt.content
    stated = (
        content["actor"]["principal"],
        content["actor"]["kind"],
        content["outcome"].get("decision"),
        content["inputs"].get("envelope_sha256"),
        content["inputs"].get("authentication"),
        set(content["inputs"].get("stands_for", ())),
    )
    row = (
        ids.public_id(ids.PRINCIPAL, vote.voter_id),
        vote.voter_kind,
        vote.decision,
        vote.envelope_sha256,
        vote.authentication,
        {ids.public_id(ids.PRINCIPAL, who) for who in vote.stands_for},
    )
    cast_at = content["inputs"].get("cast_at")
    if cast_at is None:  # versions that did not sign
        is_of_then = abs((ids.instant_of(receipt.id) - vote.created_at).total_seconds()) <= _RECORDED_WITHIN_S
    else:
        is_of_then = cast_at == rfc3339(vote.created_at)
    if stated != row or not is_of_then:
        raise _differs(step, "votes")


def _key(work_item_id: uuid.UUID) -> tuple[str, uuid.UUID]:
    return ("receipts of approvals", work_item_id)


def _differs(step: DecisionStep, what: str) -> Exception:
    return envelope_mismatch(
        f"What would run is not what was approved: the {what} of step {step.public_id} are not those of its receipts."
    )
