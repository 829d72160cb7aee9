"""Removal of the controllers that open steps store for agents and services of unknown control."""

from __future__ import annotations

import uuid
from typing import Any, Final

_BATCH: Final = """
    SELECT id FROM workitems_decisionstep WHERE status = 'pending' AND id > %s ORDER BY id LIMIT %s
"""
_FORGET: Final = """
    WITH unknown AS (
        SELECT s.id, array_agg(u.id::text) AS principals
          FROM workitems_decisionstep s
         CROSS JOIN LATERAL jsonb_object_keys(s.excluded_controllers) who
          JOIN tenancy_user u ON u.id = who::uuid AND u.kind <> 'human'
         WHERE s.id = ANY(%s) AND threada_controllers(u.id, s.tenant_id) IS NULL
         GROUP BY s.id)
    UPDATE workitems_decisionstep s
       SET excluded_controllers = s.excluded_controllers - unknown.principals, reachability_check_due = true
      FROM unknown WHERE s.id = unknown.id AND s.status = 'pending'
"""


def forget_unknown(_apps: Any, editor: Any) -> None:
    """Change the open steps in batches, each in a transaction of its own."""
    after = uuid.UUID(int=0)
    with editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_BATCH, [after, forget_unknown.batch_size])  # type: ignore[attr-defined]
            steps = [step for (step,) in cursor.fetchall()]
            if not steps:
                return
            cursor.execute(_FORGET, [steps])
            after = steps[-1]


forget_unknown.batch_size = 500  # type: ignore[attr-defined]
