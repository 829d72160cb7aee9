"""Work of lists: a page reads few blocks, in a tenant with nearly all rows and in one with few."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from tests.factories import make_tenant
from tests.workitems.office import Office, open_office
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from workitems.items.labels import metadata_label, risk_label, voter_label
from workitems.models import DecisionStep, ItemLabel, Vote, WorkItem

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ITEMS = 10_000
MOST_BLOCKS = 600
_CHANGED = {
    WorkItem: {
        "id": "made.item",
        "external_ref": "'REF-' || n",
        "status": "CASE WHEN n %% 100 = 0 THEN 'new' ELSE 'resolved' END",
        "data_class": "CASE WHEN n %% 1000 = 0 THEN 'restricted' ELSE 'internal' END",
        "assignee_id": "CASE WHEN n %% 500 = 0 THEN it.requester_id END",
        "updated_at": "statement_timestamp() - n * interval '1 second'",
        "channel": "CASE WHEN n %% 1000 = 0 THEN 'rare' ELSE 'common' END",
    },
    DecisionStep: {"id": "made.step", "work_item_id": "made.item", "status": "'approved'", "execution_id": "NULL"},
    Vote: {"id": "gen_random_uuid()", "step_id": "made.step"},
}
_LABELS = f"""
INSERT INTO workitems_itemlabel (id, tenant_id, work_item_id, label)
SELECT gen_random_uuid(), %s, item, label FROM made, (VALUES
       ('{metadata_label("env", "prod")}'::uuid, 1), ('{risk_label("rare")}', 1000), ('{risk_label("common")}', 2), (%s, 5)
       ) AS labels (label, one_in)
 WHERE n %% one_in = 0
"""


@pytest.fixture
def offices() -> tuple[Office, Office]:
    """Return an office with 99 % of the rows and one with the rest."""
    big, small = open_office(make_tenant("big")), open_office(make_tenant("small"))
    fill(big, ITEMS * 99 // 100)
    fill(small, ITEMS // 100)
    with connection.cursor() as cursor, owner_role():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for model in (WorkItem, DecisionStep, Vote, ItemLabel):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
    return big, small


def fill(office: Office, count: int) -> None:
    _, step, _ = office.awaiting()
    vote = office.vote(step, "finn")
    with unit_of_work(office.tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE made ON COMMIT DROP AS SELECT n, uuidv7(-n * interval '1 second') AS item, "
            "gen_random_uuid() AS step FROM generate_series(1, %s) n",
            [count],
        )
        for model, of in ((WorkItem, step.work_item_id), (DecisionStep, step.id), (Vote, vote.id)):
            _copy(cursor, model, of)
        cursor.execute(_LABELS, [office.tenant.id, voter_label(office.people["finn"].id)])
        cursor.execute("DROP TABLE made")


def _copy(cursor: Any, model: type[models.Model], of: Any) -> None:
    columns = [f.column for f in model._meta.local_concrete_fields if not isinstance(f, models.GeneratedField)]
    values = ", ".join(_CHANGED[model].get(column, f"it.{column}") for column in columns)
    where = " AND made.n %% 50 = 0" if model is Vote else ""
    cursor.execute(
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {values} "
        f"FROM {model._meta.db_table} it, made WHERE it.id = %s{where}",
        [of],
    )


def blocks(office: Office, query: dict[str, Any], path: str = "/work-items") -> tuple[int, int, str]:
    """Return how many rows the page of `query` has, how many blocks its statement reads, and its plan."""
    with CaptureQueriesContext(connection) as captured:
        answer = office.api("wim").get(path, query)
    assert answer.status_code == 200, answer.json()
    table = "workitems_decisionstep" if path == "/decision-steps" else "workitems_workitem"
    statements = [entry["sql"] for entry in captured.captured_queries if f'FROM "{table}"' in entry["sql"]]
    if not statements:
        return len(answer.json()["data"]), 0, ""
    sql = statements[0]
    with unit_of_work(office.tenant.id), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        (plan,) = cursor.fetchone()
    plan = (json.loads(plan) if isinstance(plan, str) else plan)[0]
    read = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return len(answer.json()["data"]), read, json.dumps(plan, indent=1)


def test_a_page_of_filtered_decision_steps_reads_few_blocks(offices: tuple[Office, Office]) -> None:
    too_many = {}
    for office in offices:
        pinned = office.api("wim").get("/decision-steps", {"limit": 1}).json()["data"][0]["policy_version_ids"]
        for query in (
            {"channel_id": "rare"},
            {"channel_id": "common"},
            {"channel_id": ["rare", "common"]},
            {"channel_id": "rare", "status": "approved"},
            {"channel_id": "common", "sort": "opened_at"},
            {"policy_version_id": pinned},
        ):
            found, read, plan = blocks(office, query, "/decision-steps")
            print(office.tenant.slug, query, found, read)
            if read > 2 * MOST_BLOCKS:
                too_many[office.tenant.slug, str(query)] = (read, plan)
    assert not too_many, "\n".join(f"{key}: {read} blocks\n{plan}" for key, (read, plan) in too_many.items())


def test_a_page_of_a_filtered_list_reads_few_blocks(offices: tuple[Office, Office]) -> None:
    too_many = {}
    for office in offices:
        people = {name: ids.public_id(ids.PRINCIPAL, user.id) for name, user in office.people.items()}
        for query in (
            {"external_ref": "REF-7"},
            {"external_ref": ["REF-7", "REF-9", "REF-none"]},
            {"status": ["new", "ready"]},
            {"status": ["new", "resolved"]},
            {"requester": people["rita"]},
            {"requester": [people["rita"], people["ada"]]},
            {"requester": people["ada"]},
            {"assignee": people["rita"]},
            {"decided_by": people["finn"]},
            {"decided_by": people["fay"]},
            {"risk_flag": "rare"},
            {"risk_flag": "common"},
            {"risk_flag": ["rare", "common"]},
            {"metadata": "env=prod"},
            {"metadata": "env=none"},
            {"metadata": "env=prod", "status": "new"},
            {"data_class": "restricted"},
            {"data_class": ["internal", "restricted"]},
            {"updated_after": "2020-01-01T00:00:00Z"},
            {"sort": "updated_at"},
            {"sort": "-updated_at", "status": "new"},
            {"sort": "created_at"},
        ):
            found, read, plan = blocks(office, query)
            print(office.tenant.slug, query, found, read)
            if read > MOST_BLOCKS:
                too_many[office.tenant.slug, str(query)] = (read, plan)
    assert not too_many, "\n".join(f"{key}: {read} blocks\n{plan}" for key, (read, plan) in too_many.items())
