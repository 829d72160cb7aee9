"""Open steps that wait because nobody knew who controls a requester, and go on once its owner is named."""

from __future__ import annotations

import uuid
from typing import Final

import orjson
from django.db import connection

from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item, step_blocks
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.steps.opening_facts import controllers_with_public_ids

_NOW_KNOWN: Final = """
    WITH waiting AS (
        SELECT s.id FROM workitems_workitem i
          JOIN workitems_decisionstep s ON s.tenant_id = i.tenant_id AND s.work_item_id = i.id AND s.status = 'pending'
         WHERE i.tenant_id = %(tenant)s AND i.nobody_can_decide
        UNION
        SELECT s.id FROM workitems_decisionstep s
         WHERE s.tenant_id = %(tenant)s AND s.status = 'pending' AND s.reachability_check_due)
    SELECT s.id, s.work_item_id, jsonb_object_agg(who, threada_controllers(who, %(tenant)s))::text
      FROM waiting
      JOIN workitems_decisionstep s ON s.tenant_id = %(tenant)s AND s.id = waiting.id
     CROSS JOIN LATERAL unnest(s.excluded_ids) who
      JOIN tenancy_user u ON u.id = who
     WHERE CASE WHEN jsonb_exists(s.excluded_controllers, who::text)
                THEN s.excluded_controllers -> who::text = 'null' ELSE u.kind <> 'human' END
       AND threada_controllers(who, %(tenant)s) IS NOT NULL
     GROUP BY s.id, s.work_item_id
     ORDER BY s.id
"""


def store_known_controllers(*, ctx: ActingContext) -> int:
    """Store who controls the excluded principals of waiting steps that were unknown before and are known now.

    The steps are then checked again. Return their number. Receipt `decision_step.controllers_known`, which the check
    right before a call compares with the row. Runs one statement if there are none.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOW_KNOWN, {"tenant": ctx.tenant_id})
        found = cursor.fetchall()
    return sum(_store(step_id, item_id, orjson.loads(known), ctx=ctx) for step_id, item_id, known in found)


def _store(step_id: uuid.UUID, item_id: uuid.UUID, known: dict[str, list[str]], *, ctx: ActingContext) -> bool:
    """Store the controllers in one step. Return False if it is locked elsewhere or closed: the next check does it."""
    items = WorkItem.objects.select_for_update(of=("self",), skip_locked=True).select_related("workflow_version")
    item = items.filter(tenant_id=ctx.tenant_id, id=item_id).first()
    steps = DecisionStep.objects.select_for_update(of=("self",), skip_locked=True)
    step = steps.filter(tenant_id=ctx.tenant_id, id=step_id, status=StepStatus.PENDING).first() if item else None
    if item is None or step is None:
        return False
    step.excluded_controllers = {**step.excluded_controllers, **known}
    step.reachability_check_due = True
    step.save(update_fields=["excluded_controllers", "reachability_check_due"])
    blocks = step_blocks(step)
    blocks["inputs"]["controllers"] = controllers_with_public_ids(known)
    record_item("decision_step.controllers_known", item, ctx=ctx, **blocks, outcome={"status": step.status})
    return True
