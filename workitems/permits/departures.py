"""Ends of what a person, a service or an agent held in cases: work of decision steps, and permits."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace

from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased
from workitems.models import Permit
from workitems.permits.records import limits_of, record_permit, set_limits
from workitems.steps.departures import end_work_of


def end_power_of(principal_id: uuid.UUID, *, ctx: ActingContext) -> Mapping[str, tuple[str, ...]]:
    """End delegations, claims, assignments and permits of a principal. Return public ids by noun.

    For `THREADA_DEPARTURE_HANDLER`. The caller has checked permissions. Receipts of `end_work_of`, `permit.narrowed`
    and `permit.revoked`.
    """
    return {**end_work_of(principal_id, ctx=ctx), "permits": _end_permits(principal_id, ctx=ctx)}


def _end_permits(principal_id: uuid.UUID, *, ctx: ActingContext) -> tuple[str, ...]:
    """Take the principal out of the permits that name it; revoke those that name nobody else, or were not approved."""
    name = ids.public_id(ids.PRINCIPAL, principal_id)
    rows = Permit.objects.select_for_update(of=("self",)).filter(
        tenant_id=ctx.tenant_id, ends_at__gt=clock.now(), limits__principals__contains=[name]
    )
    found = list(rows.exclude(status="revoked").order_by("id"))
    for permit in found:
        before = limits_of(permit) if not is_erased(permit.bounds) else None
        others = tuple(one for one in before.principals if one != name) if before is not None else ()
        if before is not None and others and permit.status == "in_effect":
            set_limits(permit, replace(before, principals=others))
            permit.narrowed_at = clock.now()
            permit.save(update_fields=["limits", "bounds", "ends_at", "narrowed_at"])
            record_permit("narrowed", permit, ctx=ctx, limits_before_sha256=before.sha256)
        else:
            permit.status, permit.revoked_at, permit.revoked_by = "revoked", clock.now(), ctx.principal_id
            permit.save(update_fields=["status", "revoked_at", "revoked_by"])
            record_permit("revoked", permit, ctx=ctx)
    return tuple(permit.public_id for permit in found)
