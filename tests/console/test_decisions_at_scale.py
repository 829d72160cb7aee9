"""Cost of the pages of decisions with 10 or 10,000 votes, and with one or 100,000 open steps.

`THREADA_OPEN_STEPS` sets the number of generated steps.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import pytest
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.console.test_decision_page import STATEMENTS, address, advise
from tests.journeys.demo import Demo
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from workitems.models import DecisionStep, PendingApproverKey, WorkItem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OPEN_STEPS: Final = int(os.environ.get("THREADA_OPEN_STEPS", "100000"))
DESK: Final = "/console/workitems/decisionstep/desk/"
DESK_STATEMENTS: Final = 14
"""What the desk takes at most, session and sign-in included."""
LISTS: Final = (
    "/console/",
    "/console/pulse?page=dashboard",
    "/console/pulse?page=desk",
    "/console/workitems/workitem/",
    "/console/workitems/decisionstep/",
    "/console/workitems/decisionstep/?status=pending",
    f"{DESK}?due=day&claimed=free",
    f"{DESK}?claimed=me",
    f"{DESK}?risk=flagged",
    f"{DESK}?risk=plain",
)


def asked(browser: Client, url: str) -> list[str]:
    browser.get(url)  # values that a process reads once
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(url).status_code == 200
    return [query["sql"] for query in captured]


def milliseconds(browser: Client, url: str) -> float:
    """Return the best of three times, because other processes use the machine too."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        assert browser.get(url).status_code == 200
        taken.append(1000 * (time.perf_counter() - started))
    return round(min(taken), 1)


def open_steps(demo: Demo, like: str, count: int) -> None:
    """Create `count` items that wait like `like`, each at its own step, due one second after another."""
    step_id = ids.parse_public_id(ids.DECISION_STEP, like)
    with unit_of_work(demo.tenant.id), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE made ON COMMIT DROP AS SELECT n, gen_random_uuid() AS item, gen_random_uuid() "
                       "AS step FROM generate_series(1, %s) n", [count])  # fmt: skip
        _copy(
            cursor, WorkItem, "SELECT work_item_id FROM workitems_decisionstep WHERE id = %s", step_id, id="made.item"
        )
        due = "statement_timestamp() + made.n * interval '1 second'"
        _copy(
            cursor,
            DecisionStep,
            "SELECT %s::uuid",
            step_id,
            id="made.step",
            work_item_id="made.item",
            respond_due_at=due,
        )
        cursor.execute(
            "INSERT INTO workitems_pendingapproverkey (id, tenant_id, step_id, key) SELECT gen_random_uuid(), a.tenant_id, "
            "made.step, a.key FROM workitems_pendingapproverkey a, made WHERE a.step_id = %s", [step_id],
        )  # fmt: skip
    with owner_role(), connection.cursor() as cursor:  # plans need statistics, which only this updates
        for model in (WorkItem, DecisionStep, PendingApproverKey):
            cursor.execute(f"ANALYZE {model._meta.db_table}")


def _copy(cursor: Any, model: type[models.Model], of: str, step_id: Any, **changed: str) -> None:
    columns = [
        field.column for field in model._meta.local_concrete_fields if not isinstance(field, models.GeneratedField)
    ]
    values = ", ".join(changed.get(column, f"it.{column}") for column in columns)
    cursor.execute(
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {values} "
        f"FROM {model._meta.db_table} it, made WHERE it.id = ({of})",
        [step_id],
    )


def scanned_whole(demo: Demo, statements: list[str]) -> list[str]:
    """Return the big tables that a plan of one of `statements` reads completely."""
    big = [model._meta.db_table for model in (WorkItem, DecisionStep, PendingApproverKey)]
    found = []
    with unit_of_work(demo.tenant.id), connection.cursor() as cursor:
        for sql in statements:
            if sql.startswith("SELECT") and any(f'"{table}"' in sql for table in big):
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
                found += [f"{table}: {sql[:300]}\n{plan}" for table in big if f"Seq Scan on {table}" in plan]
    return found


def test_pages_cost_the_same(demo: Demo, busy_demo: Busy, console: Console, record_property: Any) -> None:
    browser, other = console("finance-1"), console("security-1")
    advise(demo, busy_demo.step, 10)
    page = address(busy_demo.step)
    before = {url: len(asked(browser, url)) for url in (page, DESK, *LISTS)}
    assert (before[page] <= STATEMENTS, before[DESK] <= DESK_STATEMENTS) == (True, True), before
    advise(demo, busy_demo.step, 5_000, kind="human")
    advise(demo, busy_demo.step, 4_990, kind="service")
    open_steps(demo, busy_demo.step, OPEN_STEPS)
    statements = {url: asked(browser, url) for url in (page, DESK, *LISTS)}
    assert {url: len(found) for url, found in statements.items()} == before
    assert scanned_whole(demo, [sql for found in statements.values() for sql in found]) == []
    assert scanned_whole(demo, asked(other, DESK)) == []
    assert scanned_whole(demo, asked(console("admin"), "/console/")) == []
    assert len(browser.get(DESK).context["groups"][0].rows) == 50
    assert other.get(DESK).context["is_empty"] is True
    taken = {url: milliseconds(browser, url) for url in statements} | {
        f"{DESK} of who has none": milliseconds(other, DESK)
    }
    print({"statements": before, "ms": taken})
    record_property("statements", before)
    assert max(taken.values()) < 3_000
