"""Work of a search: the blocks that PostgreSQL reads do not grow with the items of a tenant."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection

from tests.workitems.office import Office
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from workitems.models import SearchDocument
from workitems.search.sweep import index_changes
from workitems.search.words import party_lexeme, tenant_key

pytestmark = pytest.mark.django_db

ITEMS = 20_000
CASES = [
    # query, principal, ids, blocks
    ("everywhere", "wim", 200, 100),
    ("rarely", "wim", 11, 600),
    ("rarely everywhere", "wim", 11, 600),
    ("rarely number", "wim", 10, 600),
    ("nowhere number", "wim", 0, 600),
    ("nowhere", "wim", 0, 600),
    ("everywhere", "rita", 2, 200),
    ("rarely", "rita", 1, 200),
    ("nowhere", "rita", 0, 200),
]
_MAKE = """
WITH sample AS (SELECT * FROM workitems_workitem LIMIT 1), made AS (
    INSERT INTO workitems_workitem ({columns})
    SELECT {values} FROM sample s, generate_series(1, {items}) AS number RETURNING id),
numbered AS (SELECT id, row_number() OVER () AS number FROM made)
INSERT INTO workitems_searchdocument (id, tenant_id, work_item_id, words)
SELECT id, '{tenant}', id, array_to_tsvector(ARRAY['{key}everywhere', '{key}' || 'number' || left(md5(id::text), 6), '{party}']
       || CASE WHEN number % 2000 = 0 THEN ARRAY['{key}rarely'] ELSE '{{}}' END)
  FROM numbered
"""


@pytest.fixture
def filled(office: Office) -> Office:
    """Add many items of ada, with documents, to two of rita's, whose words are everywhere and rarely as well.

    The planner's statistics are older: they know rita's items only.
    """
    office.create(payload={"amount": 1, "vendor": "everywhere"})
    office.create(payload={"amount": 1, "vendor": "everywhere rarely"})
    index_changes(now=clock.now())
    ada, key = office.people["ada"].id, tenant_key(office.tenant.id)
    values = {
        "id": "uuidv7(-interval '1 day' - number * interval '1 second')",
        "requester_id": f"'{ada}'",
        "submitted_by_id": f"'{ada}'",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'workitems_workitem' "
            "AND table_schema = 'public' ORDER BY ordinal_position"
        )
        columns = [name for (name,) in cursor.fetchall()]
        sql = _MAKE.format(
            columns=", ".join(columns),
            values=", ".join(values.get(name, f"s.{name}") for name in columns),
            items=ITEMS,
            tenant=office.tenant.id,
            key=key,
            party=party_lexeme(key, ada),
        )
        with owner_role():
            cursor.execute("ANALYZE workitems_workitem, workitems_searchdocument")
            cursor.execute(sql)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    return office


def searched(office: Office, query: str, by: str) -> tuple[int, int]:
    """Return how many ids a search finds, and how many blocks it reads."""
    key = tenant_key(office.tenant.id)
    asked = [f"'{key}{word}':*" for word in query.split()]
    with unit_of_work(office.tenant.id, actor=office.ctx(by)), connection.cursor() as cursor:
        parameters = [asked, uuid.UUID(int=0), ids.LAST]
        call = "SELECT threada_search(%s::text[]::tsquery[], %s, %s)"
        cursor.execute(call, parameters)
        found = len(cursor.fetchall())
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {call}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    read = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", plan)
    assert read is not None, plan
    return found, int(read[1]) + int(read[2] or 0)


@pytest.mark.slow
def test_a_search_reads_few_blocks_with_stale_and_with_fresh_statistics(filled: Office) -> None:
    with unit_of_work(filled.tenant.id):
        assert SearchDocument.objects.count() == ITEMS + 2
    measured = {}
    for statistics in ("stale", "fresh"):
        if statistics == "fresh":
            with owner_role(), connection.cursor() as cursor:
                cursor.execute("ANALYZE workitems_workitem, workitems_searchdocument")
        for query, by, expected, most_blocks in CASES:
            found, read = searched(filled, query, by)
            assert found == expected, (statistics, query, by)
            measured[statistics, query, by] = read, most_blocks
    assert [case for case, (read, most) in measured.items() if read >= most] == [], measured
