"""Building blocks of the parts of a dashboard, and bounded counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from threada_site.database.router import read_connection

CAP: Final = 200
"""Upper bound of each count; larger counts are shown as "200+"."""
LISTED: Final = 8
"""Upper bound of the lines of a part."""


@dataclass(frozen=True)
class DashboardMetric:
    """Number with a label and the list behind it. `tone` is `bad` or `plain`."""

    label: str
    value: str
    url: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class Line:
    """Line of a part: a linked text, a badge and a remark, both as HTML or text."""

    text: str
    url: str
    badge: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Part:
    """Part of the dashboard for one role. `nothing` is shown without lines; `more_url` leads to the whole list."""

    key: str
    title: str
    metrics: tuple[DashboardMetric, ...] = ()
    lines: tuple[Line, ...] = ()
    nothing: str = ""
    more: str = ""
    more_url: str = ""
    newest: str = ""


def metric(label: str, count: int, url: str = "", *, is_bad: bool = False) -> DashboardMetric:
    """Return a metric of a count that was read up to `CAP` + 1."""
    return DashboardMetric(label, shown(count), url, "bad" if is_bad and count else "plain")


def shown(count: int) -> str:
    return f"{CAP}+" if count > CAP else str(count)


def capped_counts(wanted: Mapping[str, QuerySet[Any]], *, most: int = CAP) -> dict[str, int]:
    """Return the number of rows of each query, up to `most` + 1, in one statement.

    Rows are read by an index in their order, newest first unless the query has another one. Without an order the
    planner reads the table, which is long if few rows match.
    """
    parts: list[str] = []
    parameters: list[Any] = []
    for name, rows in wanted.items():
        in_order = rows if rows.query.order_by else rows.order_by("-id")
        some, values = in_order.values("id")[: most + 1].query.sql_with_params()
        parts.append(f"SELECT %s, (SELECT count(*) FROM ({some}) AS found)")
        parameters += [name, *values]
    with read_connection().cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        return dict(cursor.fetchall())
