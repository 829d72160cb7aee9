"""Units of a permit that are used: at least its counters, and at least the uses without an authentic return.

Requests change the counters, so SQL in one can reset them. It deletes no use, and signs no receipt `permit.returned`.
"""

from __future__ import annotations

import uuid
from collections import Counter
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, Q, QuerySet, Sum

from telemetry.receipts.authentic import authentic_receipts
from threada_site.kernel import ids
from workitems.models import Permit, PermitUse
from workitems.permits.terms import NotCoveredError, Terms, fits

_KEPT: Final = Q(returned_at__isnull=True)


def has_unit_left(permit: Permit, limits: Terms, amount: Decimal, *, own: PermitUse | None = None) -> bool:
    """Return True if one more use of a locked permit is within its number and sum. `own`: a use that is not counted.

    Runs one statement; two more if it depends on whether returned units were returned.
    """
    uses = PermitUse.objects.filter(tenant_id=permit.tenant_id, permit=permit)
    if own is not None:
        uses = uses.exclude(id=own.id)
    counted = _counted(uses)
    own_units, own_amount = (0, Decimal(0)) if own is None else (1, own.amount)

    def is_within(count: int, total: Decimal) -> bool:
        count, total = max(permit.used_count - own_units, count), max(permit.used_sum - own_amount, total)
        return fits(limits, amount, used_count=count, used_sum=total)

    if not is_within(counted["kept"], counted["kept_sum"] or Decimal(0)):
        return False
    if is_within(counted["all"], counted["all_sum"] or Decimal(0)):
        return True
    not_returned = _without_receipt(permit, uses.exclude(_KEPT))
    return is_within(
        counted["kept"] + len(not_returned), (counted["kept_sum"] or Decimal(0)) + sum(not_returned, Decimal(0))
    )


def check_counters(permit: Permit) -> None:
    """Raise `NotCoveredError` if the counters are less than the uses of a permit."""
    counted = _counted(PermitUse.objects.filter(tenant_id=permit.tenant_id, permit=permit))
    if permit.used_count < counted["kept"] or permit.used_sum < (counted["kept_sum"] or Decimal(0)):
        raise NotCoveredError("Its counters are less than its uses.")


def _counted(uses: QuerySet[PermitUse]) -> dict[str, Any]:
    return uses.order_by().aggregate(
        kept=Count("id", filter=_KEPT), kept_sum=Sum("amount", filter=_KEPT), all=Count("id"), all_sum=Sum("amount")
    )


def _without_receipt(permit: Permit, returned: QuerySet[PermitUse]) -> list[Decimal]:
    """Return the amounts of returned units whose return no authentic receipt states."""
    rows: list[tuple[uuid.UUID, uuid.UUID, Decimal]] = list(
        returned.order_by("amount", "id").values_list("work_item_id", "execution_id", "amount")
    )
    if not rows:
        return []
    found = authentic_receipts({item for item, *_ in rows}, kinds=["permit.returned"], tenant_id=permit.tenant_id)
    stated = Counter(
        one.content["subject"].get("execution_id")
        for receipts in found.values()
        for one in receipts
        if one.content["inputs"].get("permit_id") == permit.public_id
    )
    missing = []
    for _, execution_id, amount in rows:
        execution = ids.public_id(ids.EXECUTION, execution_id)
        if stated[execution] > 0:
            stated[execution] -= 1
        else:
            missing.append(amount)
    return missing
