"""Queries of cases for principals that see only their own work items and those that name them.

Row-level security enforces the same (`threada_site.database.constraints.CaseVisibility`). Queries filter as well, so
that lists use the indexes of the principal, and so that services, which work on the whole tenant, check what they load.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db.models import BooleanField, F, Func, QuerySet, Value

KEYSET: Final = "keyset"
"""Alias of the column by which a list is ordered and bounded, if that is not the id of its own table."""


def keyset_column(rows: QuerySet[Any], field: str = "id") -> str:
    """Return the name of the column that orders and bounds `rows` by `field`."""
    return KEYSET if field == "id" and KEYSET in rows.query.annotations else field


class Names(Func):
    """SQL condition: the work item in `column` is the principal's own or names it."""

    function = "threada_names"
    output_field = BooleanField()

    def __init__(self, column: str, principal_id: uuid.UUID) -> None:
        super().__init__(F(column), Value(principal_id))
