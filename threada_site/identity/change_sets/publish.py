"""Publication and rejection of change sets."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Final

import structlog

from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.change_sets.permissions import change_sets, require_independent, require_reviewer
from threada_site.identity.change_sets.receipts import record_change_set
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.change_sets import ProposedChange, known_operation, operation_named

MAX_REASON: Final = 500
OTHER_VERSION: Final = (
    "The change was proposed by another version of Threada, whose arguments this version cannot read. Propose it again."
)
_NO_LONGER_POSSIBLE: Final = (errors.NotFound, errors.VersionNotDraft, errors.TransitionNotAllowed)
"""Refusals of an operation whose object has changed or is gone since it was proposed."""


log = structlog.get_logger("threada.identity")


class _ChangesNothingError(Exception):
    """The operation would change nothing; its savepoint is rolled back."""


class _ForeignArgumentsError(Exception):
    """The operation has other arguments in this version."""


def publish(change_set: ChangeSet, digest: str, *, ctx: ActingContext) -> ChangeSet:
    """Carry out a change set as an independent person.

    Receipt `change_set.published`, after those of the operation. Raise `PersonRequired`, `PermissionDenied`,
    `SecondPersonRequired`, `ChangeSetClosed`, and `ChangeSetStale` for an operation that this version does not know,
    for another digest, or if the change would no longer be the one that was proposed, or has arguments of another
    version; the latter two mark the change set as stale (receipt `change_set.stale`) and keep that.
    """
    found = _locked(change_set, ctx=ctx)
    require_reviewer(found, ctx=ctx)
    require_independent(found, ctx=ctx)
    _check_is_open(found)
    if digest != found.digest:
        raise errors.ChangeSetStale("The digest is not that of this change set. Read it again, then publish it.")
    try:
        current = _described_now(found, ctx=ctx)
    except _ForeignArgumentsError:
        found.reason = OTHER_VERSION
        _close(found, ChangeSetStatus.STALE, ctx=ctx)
        raise errors.ChangeSetStale(OTHER_VERSION, keeps_changes=True) from None
    if current is None or current.digest != found.digest:
        _close(found, ChangeSetStatus.STALE, ctx=ctx)
        raise errors.ChangeSetStale(keeps_changes=True)
    require_independent(found, ctx=ctx, also=current.parties - {ctx.principal_id})
    publishing = replace(ctx, change_set_id=found.id, confirmed_change=current)
    operation_named(found.operation).carry_out(found.arguments, publishing)
    _close(found, ChangeSetStatus.PUBLISHED, ctx=ctx)
    return found


def reject(change_set: ChangeSet, reason: str, *, ctx: ActingContext) -> ChangeSet:
    """Close a change set without carrying it out, as somebody who may publish it, or as its proposer.

    Receipt `change_set.rejected`. Raise `InvalidRequest` without a reason, `PersonRequired`, `PermissionDenied`,
    `SecondPersonRequired`, `ChangeSetClosed`, and `ChangeSetStale` for an unknown operation of somebody else.
    """
    found = _locked(change_set, ctx=ctx)
    if ctx.is_system or found.proposed_by != ctx.principal_id:
        require_reviewer(found, ctx=ctx)
        require_independent(found, ctx=ctx)
    _check_is_open(found)
    said = reason.strip()
    if not said or len(said) > MAX_REASON:
        problem = FieldError("/reason", f"must have 1 to {MAX_REASON} characters", "required")
        raise errors.InvalidRequest(f"Give a reason of at most {MAX_REASON} characters.", errors=[problem])
    found.reason = said
    _close(found, ChangeSetStatus.REJECTED, ctx=ctx)
    return found


def close_unpublished(change_set: ChangeSet, reason: str, *, ctx: ActingContext) -> None:
    """Mark a locked, open change set as stale, for example because its proposer left. Receipt `change_set.stale`.

    One whose operation this version does not know is closed too; what it stored besides waits for its end.
    """
    change_set.reason = reason[:MAX_REASON]
    _close(change_set, ChangeSetStatus.STALE, ctx=ctx)


def change_set_with_id(change_set_id: uuid.UUID | None, *, ctx: ActingContext) -> ChangeSet:
    """Return a change set that `ctx` may read. Raise `NotFound`."""
    found = change_sets(ctx).filter(id=change_set_id).first() if change_set_id else None
    if found is None:
        raise errors.NotFound
    return found


def _locked(change_set: ChangeSet, *, ctx: ActingContext) -> ChangeSet:
    require_unit_of_work(ctx.tenant_id)
    return ChangeSet.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=change_set.id)


def _check_is_open(change_set: ChangeSet) -> None:
    if change_set.status != ChangeSetStatus.PROPOSED:
        raise errors.ChangeSetClosed(f"This change set is already {change_set.status}.")


def _described_now(change_set: ChangeSet, *, ctx: ActingContext) -> ProposedChange | None:
    """Return the change that the operation would make now; None if it would change nothing or is not possible.

    Raise `_ForeignArgumentsError` if the operation cannot read its arguments, as after an upgrade or a rollback.
    """
    proposing = replace(ctx, always_propose=True, recorded_receipts=None)
    try:
        with unit_of_work(ctx.tenant_id):
            operation_named(change_set.operation).carry_out(change_set.arguments, proposing)
            raise _ChangesNothingError
    except errors.ConfirmationRequired as refusal:
        change: ProposedChange = refusal.change
        return change
    except (_ChangesNothingError, *_NO_LONGER_POSSIBLE):
        return None
    except (LookupError, TypeError, ValueError):
        log.exception("change_set_unreadable", operation=change_set.operation)
        raise _ForeignArgumentsError from None


def _close(change_set: ChangeSet, status: ChangeSetStatus, *, ctx: ActingContext) -> None:
    change_set.status = status
    change_set.closed_by = None if ctx.is_system else ctx.principal_id
    change_set.closed_at = clock.now()
    change_set.save(update_fields=["status", "closed_by", "closed_at", "reason"])
    operation = known_operation(change_set.operation)
    if operation is not None and operation.on_close is not None:
        operation.on_close(change_set)
    record_change_set(f"change_set.{status.value}", change_set, ctx=ctx)
