"""Open steps that wait because nobody knew who controls a requester, and go on once its owner is named."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import connection

_STORE: Final = """
    WITH waiting AS (
        SELECT s.id FROM workitems_workitem i
          JOIN workitems_decisionstep s ON s.tenant_id = i.tenant_id AND s.work_item_id = i.id AND s.status = 'pending'
         WHERE i.tenant_id = %(tenant)s AND i.nobody_can_decide
        UNION
        SELECT s.id FROM workitems_decisionstep s
         WHERE s.tenant_id = %(tenant)s AND s.status = 'pending' AND s.reachability_check_due),
    known AS (
        SELECT s.id, jsonb_object_agg(who, threada_controllers(who, %(tenant)s)) AS controllers
          FROM waiting
          JOIN workitems_decisionstep s ON s.tenant_id = %(tenant)s AND s.id = waiting.id
         CROSS JOIN LATERAL unnest(s.excluded_ids) who
          JOIN tenancy_user u ON u.id = who
         WHERE CASE WHEN jsonb_exists(s.excluded_controllers, who::text)
                    THEN s.excluded_controllers -> who::text = 'null' ELSE u.kind <> 'human' END
           AND threada_controllers(who, %(tenant)s) IS NOT NULL
         GROUP BY s.id)
    UPDATE workitems_decisionstep s
       SET excluded_controllers = s.excluded_controllers || known.controllers, reachability_check_due = true
      FROM known WHERE s.tenant_id = %(tenant)s AND s.id = known.id AND s.status = 'pending'
"""


def store_known_controllers(tenant_id: uuid.UUID) -> int:
    """Store who controls the excluded principals of waiting steps that were unknown before and are known now.

    The steps are then checked again. Return their number. Runs one statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STORE, {"tenant": tenant_id})
        return int(cursor.rowcount)
