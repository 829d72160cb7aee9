"""Deletion of many rows without reading them."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import QuerySet


def delete_rows(rows: QuerySet[Any]) -> None:
    """Delete the rows of a queryset in one statement, without signals and cascades; constraints are checked.

    Raise ValueError if the queryset joins other tables; conditions on them must be subqueries.
    """
    database = connections[rows.db]
    quote = database.ops.quote_name
    key = rows.model._meta.pk
    sql, params = rows.order_by().values_list(key.attname).query.sql_with_params()
    table = quote(rows.model._meta.db_table)
    selected, _, conditions = sql.partition(" WHERE ")
    if not selected.endswith(f" FROM {table}"):
        raise ValueError(f"The rows to delete must be selected from {table} alone: {selected}")
    with database.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {conditions}", params)
