"""Statements of a page with their plans."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """Statement of a page, with its plan as PostgreSQL executed it again."""

    statement: str
    plan: dict[str, Any]
    planning_ms: float

    @property
    def blocks(self) -> int:
        """Return the number of blocks of 8 KB read from memory or disk."""
        return int(self.plan["Shared Hit Blocks"]) + int(self.plan["Shared Read Blocks"])

    @property
    def rows(self) -> int:
        return int(self.plan["Actual Rows"])


def asked_statements(tenant_id: str, path: str, headers: Mapping[str, str]) -> list[Asked]:
    """Return the statements of a page, without those of authentication."""
    from django.db import connection as database
    from django.test import Client

    from threada_site.database.unit_of_work import unit_of_work

    taken: list[tuple[str, Any]] = []

    def noted(execute: Any, statement: str, params: Any, many: bool, context: Any) -> Any:
        if statement.startswith(("SELECT", "WITH", "(SELECT")) and "threada_enter" not in statement:
            taken.append((statement, params))
        return execute(statement, params, many, context)

    with database.execute_wrapper(noted):
        answer = Client(headers=dict(headers), SERVER_NAME="127.0.0.1").get(path)
    assert answer.status_code == 200, answer.content
    actor = answer.wsgi_request.acting_context  # type: ignore[attr-defined]
    found: list[Asked] = []
    with unit_of_work(uuid.UUID(tenant_id), actor=actor):
        for statement, params in taken:
            cursor = database.prepared_cursor() if "$1" in statement else database.cursor()  # type: ignore[attr-defined]
            with cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", params)
                (plan,) = cursor.fetchone()
            [explained] = json.loads(plan) if isinstance(plan, str) else plan
            found.append(Asked(statement, explained["Plan"], explained["Planning Time"]))
    return found


def print_plan(asked: list[Asked], said: str) -> None:
    """Print the plan of the statement that reads most."""
    worst = max(asked, key=lambda each: each.blocks)
    print(f"  {said}; of {len(asked)} statements the one that reads most, {worst.blocks} blocks:")
    print(f"    {worst.statement[:700]}")
    for line in _lines(worst.plan, worst.plan["Actual Total Time"] / 10):
        print(f"    {line}", flush=True)


def _lines(node: dict[str, Any], least_ms: float, depth: int = 0) -> Iterator[str]:
    """Yield a line for each node with at least a tenth of the time."""
    if node["Actual Total Time"] * node["Actual Loops"] < least_ms:
        return
    index = f" on {node['Index Name']}" if "Index Name" in node else ""
    removed = f", {node['Rows Removed by Filter']} removed" if "Rows Removed by Filter" in node else ""
    yield (
        f"{'  ' * depth}{node['Node Type']}{index}: {node['Actual Rows']:g} rows of {node['Plan Rows']} expected{removed}, "
        f"{node['Actual Total Time']:.2f} ms, {node.get('Shared Read Blocks', 0)} blocks read"
    )
    for child in node.get("Plans", []):
        yield from _lines(child, least_ms, depth + 1)
