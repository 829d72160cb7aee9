"""Narrowing and revocation of permits. Both take effect at once, also for executions that are not called yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from policies.language.approvals import SumLimit
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.personal_data.erasable_fields import is_erased
from workitems.models import Permit
from workitems.permits.records import limits_of, record_permit, set_limits
from workitems.permits.terms import MOST_BOUNDS, bound_errors, wider_than


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Narrower terms. None keeps a term; `bounds` are added to those of the permit."""

    ends_at: datetime | None = None
    max_count: int | None = None
    max_sum: SumLimit | None = None
    principals: Sequence[str] | None = None
    bounds: Sequence[str] = ()


def narrow_permit(permit: Permit, narrowing: Narrowing, *, ctx: ActingContext) -> None:
    """Narrow a locked permit. Raises `PermitTooWide` for any term that is wider than now."""
    _check_may_change(permit, ctx=ctx)
    before = limits_of(permit)
    given = {
        "ends_at": narrowing.ends_at.replace(microsecond=0) if narrowing.ends_at else None,
        "max_count": narrowing.max_count,
        "max_sum": narrowing.max_sum,
        "principals": None if narrowing.principals is None else tuple(sorted(set(narrowing.principals))),
    }
    terms = replace(
        before,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        bounds=tuple(sorted({*before.bounds, *narrowing.bounds})),
    )
    if invalid := list(bound_errors(narrowing.bounds, "/bounds")):
        raise errors.InvalidRequest("A bound cannot be used. Fix the fields named.", errors=invalid)
    if len(terms.bounds) > MOST_BOUNDS:
        raise errors.InvalidRequest(errors=[FieldError("/bounds", f"are more than {MOST_BOUNDS} together", "invalid")])
    if wide := list(wider_than(terms, before)):
        raise errors.PermitTooWide("A permit can only become narrower. See errors.", errors=wide)
    if terms == before:
        return
    set_limits(permit, terms)
    permit.narrowed_at = clock.now()
    permit.save(update_fields=["limits", "bounds", "ends_at", "narrowed_at"])
    record_permit("narrowed", permit, ctx=ctx, limits_before_sha256=before.sha256)


def revoke_permit(permit: Permit, *, ctx: ActingContext) -> None:
    """Revoke a locked permit, in effect or proposed. Nothing happens if it is revoked already."""
    _check_may_change(permit, ctx=ctx, revokes=True)
    if permit.status == "revoked":
        return
    permit.status, permit.revoked_at, permit.revoked_by = "revoked", clock.now(), ctx.principal_id
    permit.save(update_fields=["status", "revoked_at", "revoked_by"])
    record_permit("revoked", permit, ctx=ctx)


def _check_may_change(permit: Permit, *, ctx: ActingContext, revokes: bool = False) -> None:
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.DECISIONS_DECIDE, workflow=permit.workflow_id):
        raise errors.PermissionDenied(f"You do not hold decisions:decide on the workflow {permit.workflow}.")
    if permit.status != "in_effect" and not revokes:
        raise errors.PermitClosed(f"Only a permit in effect is narrowed; this one is {permit.status}.")
    if is_erased(permit.bounds) and not revokes:
        raise errors.ContentsRemoved("The conditions of this permit were erased, so it covers nothing any more.")
