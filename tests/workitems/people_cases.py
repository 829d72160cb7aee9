"""A case about a person, with a secret in every place that can hold one, and a look into every table."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connection

from integrations.models import Execution
from tests.jobs import TABLE
from tests.workitems.office import BANK, WORKFLOW, Office
from threada_site.api.models import IdempotencyRecord
from threada_site.api.stored_answers import opened_answer
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.tenancy.isolation_checks import tenant_models
from workitems.executions.close_item import cancel_work_item
from workitems.models import DecisionStep, WorkItem

ALICE = "alice@example.org"
SECRETS = ("Q-PAYLOAD", "Q-EVIDENCE", "Q-INPUT", "Q-COMMENT", "Q-REASON", ALICE)


def about_people(office: Office) -> None:
    """From now on payments are about whom `/person/mail` names, and carry what is sent along to the bank."""
    schema: dict[str, Any] = dict(WORKFLOW["payload_schema"])
    office.upsert_workflow(payload_schema=schema, subject="/person/mail")
    body = {"amount": "${item.payload.amount}", "note": "${item.payload.note}", "memo": "${input.memo}"}
    office.put_bank(actions={"pay": {**BANK["actions"]["pay"], "body": body}})


def payload(amount: int = 500, *, person: str = ALICE) -> dict[str, Any]:
    return {"amount": amount, "note": "Q-PAYLOAD", "person": {"mail": person}}


def waiting_case(office: Office, *, person: str = ALICE) -> tuple[WorkItem, DecisionStep, Execution]:
    """Create a payment that needs its second vote."""
    item = office.decided(
        payload=payload(person=person), evidence=[{"title": "Q-EVIDENCE"}], external_ref=f"ref of {person}"
    )
    started = office.execute(item, input={"memo": "Q-INPUT"})
    assert started.step is not None
    office.vote(started.step, "fay", comment="Q-COMMENT")
    return office.item(item), started.step, started.execution


def ended_case(office: Office, *, person: str = ALICE) -> tuple[WorkItem, DecisionStep, Execution]:
    """Create a case that is cancelled while it waits for its second vote."""
    item, step, execution = waiting_case(office, person=person)
    office.on_item(item, cancel_work_item, reason="Q-REASON")
    return office.item(item), step, execution


def found_in_tables(*words: str) -> set[tuple[str, str]]:
    """Return (table, word) for each of the words found in any row of any tenant, in text or in bytes."""
    found = set()
    tables = [model._meta.db_table for model in tenant_models()]
    tables += ["tenancy_user", "auditlog_logentry", TABLE]
    with platform_role(), connection.cursor() as cursor:
        for table in tables:
            for word in words:
                cursor.execute(
                    f'SELECT EXISTS (SELECT FROM "{table}" t WHERE strpos(t::text, %s) > 0 OR strpos(t::text, %s) > 0)',
                    [word, word.encode().hex()],
                )
                if cursor.fetchone() == (True,):
                    found.add((table, word))
    return found


def stored_rows(*tables: str) -> dict[str, list[str]]:
    """Return the rows of these tables as stored in the database."""
    with platform_role(), connection.cursor() as cursor:
        found = {}
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY t.id')
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def readable_answers(office: Office) -> list[bytes]:
    """Return the answers under idempotency keys of the tenant that are still known, decrypted."""
    found = []
    with unit_of_work(office.tenant.id):
        for record in IdempotencyRecord.objects.order_by("id"):
            with suppress(errors.IdempotencyAnswerGone):
                found.append(opened_answer(record))
    return found
