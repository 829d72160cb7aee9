"""One byte changed in any part of the envelope of an approved action: nothing is sent, and the record says why.

Whoever changes it has the owner's rights: the triggers that keep such rows from changing are switched off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from integrations.configuration.parsed_documents import _read
from integrations.models import Envelope, Execution, IntegrationVersion
from policies.models import PolicyDecision
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from workitems.executions.run_execution import run_execution
from workitems.models import DecisionStep, Evidence, Vote, WorkItem

pytestmark = pytest.mark.django_db


@contextmanager
def as_owner(office: Office) -> Iterator[None]:
    """In the tenant, as the owner of the tables, without their triggers."""
    tables = [model._meta.db_table for model in (Envelope, IntegrationVersion, PolicyDecision, Evidence, Vote)]
    with unit_of_work(office.tenant.id), owner_role(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
        yield
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only")


@contextmanager
def undone() -> Iterator[None]:
    """Roll back everything inside the block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    _read.cache_clear()


@pytest.fixture
def approved(office: Office, bank: Receiver) -> Execution:
    """Create a payment that two people have approved and no worker has started."""
    _, step, execution = office.awaiting(evidence=["p. 4"])
    office.vote(step, "fay")
    office.vote(step, "finn")
    execution = office.execution(execution)
    assert (execution.status, bank.requests()) == ("started", [])
    return execution


def flipped(text: str) -> str:
    """`text` with its last character changed."""
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def flip_byte_of_body(execution: Execution) -> None:
    body = bytearray(execution.envelope.body)
    body[len(body) // 2] ^= 1
    Envelope.objects.filter(id=execution.envelope_id).update(body=bytes(body))


def flip_hash(execution: Execution) -> None:
    Envelope.objects.filter(id=execution.envelope_id).update(sha256=flipped(execution.envelope.sha256))


def rehashed(change: Callable[[dict[str, Any]], None]) -> Callable[[Execution], None]:
    """Return a mutation of the envelope's bytes that also updates its hash everywhere except in votes."""

    def mutate(execution: Execution) -> None:
        content = json.loads(bytes(execution.envelope.body))
        change(content)
        body = canonical_bytes(content)
        Envelope.objects.filter(id=execution.envelope_id).update(body=body, sha256=sha256_hex(body))

    return mutate


def rehashed_with_step(change: Callable[[dict[str, Any]], None]) -> Callable[[Execution], None]:
    """Return a mutation like `rehashed` that also changes the hash of the step."""

    def mutate(execution: Execution) -> None:
        rehashed(change)(execution)
        sha256 = Envelope.objects.get(id=execution.envelope_id).sha256
        DecisionStep.objects.filter(execution_id=execution.id).update(envelope_sha256=sha256)

    return mutate


def write_in_the_first_format(content: dict[str, Any]) -> None:
    content["format"] = "threada-envelope/1"
    del content["idempotency_key"], content["salt"]


def flip_action(execution: Execution) -> None:
    version = IntegrationVersion.objects.get(id=execution.integration_version_id)
    version.spec["actions"]["pay"]["path"] = "/payments1"
    IntegrationVersion.objects.filter(id=version.id).update(spec=version.spec)


def flip_action_and_digest(execution: Execution) -> None:
    """As a process would read it that has not read the version yet."""
    flip_action(execution)
    version = IntegrationVersion.objects.get(id=execution.integration_version_id)
    digest = sha256_hex(canonical_bytes(version.spec))
    IntegrationVersion.objects.filter(id=version.id).update(spec_sha256=digest)
    _read.cache_clear()


def break_action(execution: Execution) -> None:
    version = IntegrationVersion.objects.get(id=execution.integration_version_id)
    version.spec["actions"]["paz"] = version.spec["actions"].pop("pay")
    IntegrationVersion.objects.filter(id=version.id).update(spec=version.spec)
    _read.cache_clear()


def another_version(execution: Execution) -> None:
    version = execution.integration_version
    other = IntegrationVersion.objects.create(
        tenant_id=execution.tenant_id,
        integration_id=version.integration_id,
        number=version.number + 1,
        spec=version.spec,
        spec_sha256=version.spec_sha256,
    )
    Execution.objects.filter(id=execution.id).update(integration_version=other)


def flip_pinned_version(execution: Execution) -> None:
    decision = PolicyDecision.objects.get(id=execution.policy_decision_id)
    decision.matched[0]["version_id"] = ids.public_id(ids.POLICY_VERSION, ids.new_uuid())
    PolicyDecision.objects.filter(id=decision.id).update(matched=decision.matched)


def flip_pinned_version_of_step(execution: Execution) -> None:
    DecisionStep.objects.filter(execution_id=execution.id).update(policy_version_ids=[ids.new_uuid()])


def flip_evidence(execution: Execution) -> None:
    part = Evidence.objects.get(work_item_id=execution.work_item_id)
    Evidence.objects.filter(id=part.id).update(content="p. 5")


def update_item(**columns: Any) -> Callable[[Execution], None]:
    return lambda execution: WorkItem.objects.filter(id=execution.work_item_id).update(**columns) and None


def update_execution(**columns: Any) -> Callable[[Execution], None]:
    return lambda execution: Execution.objects.filter(id=execution.id).update(**columns) and None


def flip_votes(execution: Execution) -> None:
    Vote.objects.filter(step__execution_id=execution.id).update(envelope_sha256="0" * 64)


MUTATIONS: dict[str, tuple[Callable[[Execution], None], str]] = {
    "a byte of the bytes": (flip_byte_of_body, "The envelope's bytes are not those its hash names."),
    "the hash": (flip_hash, "The envelope's bytes are not those its hash names."),
    "request": (rehashed(lambda content: content["request"]["body"].update(amount=501)), "not what was approved."),
    "request, step too": (
        rehashed_with_step(lambda content: content["request"]["body"].update(amount=501)),
        "not what was approved.",
    ),
    "no request": (rehashed(lambda content: content.update(request=None)), "The envelope contains no request."),
    "action in the envelope": (rehashed(lambda content: content["action"].update(id="paz")), "contains: action."),
    "action version in the envelope": (
        rehashed(lambda content: content["action"].update(spec_sha256=flipped(content["action"]["spec_sha256"]))),
        "contains: action.",
    ),
    "repeatability in the envelope": (
        rehashed(lambda content: content["action"].update(idempotent=False)),
        "contains: action.",
    ),
    "integration in the envelope": (
        rehashed(lambda content: content.update(integration=None)),
        "contains: integration.",
    ),
    "integration version in the envelope": (
        rehashed(
            lambda content: content["integration"].update(version_id=flipped(content["integration"]["version_id"]))
        ),
        "contains: integration.",
    ),
    "payload hash in the envelope": (
        rehashed(lambda content: content["work_item"].update(payload_sha256="0" * 64)),
        "contains: work_item.",
    ),
    "item in the envelope": (rehashed(lambda content: content["work_item"].update(version=2)), "contains: work_item."),
    "input in the envelope": (
        rehashed(lambda content: content.update(input_sha256="0" * 64)),
        "contains: input_sha256.",
    ),
    "policy versions in the envelope": (
        rehashed(lambda content: content.update(policy_version_ids=[flipped(content["policy_version_ids"][0])])),
        "contains: policy_version_ids.",
    ),
    "evidence in the envelope": (
        rehashed(lambda content: content["evidence"][0].update(content="p. 5")),
        "contains: evidence.",
    ),
    "idempotency key in the envelope": (
        rehashed(lambda content: content.update(idempotency_key=flipped(content["idempotency_key"]))),
        "contains: idempotency_key.",
    ),
    "written in the first format": (rehashed(write_in_the_first_format), "not what was approved."),
    "question in the envelope": (rehashed(lambda content: content.update(question="Go?")), "contains: question."),
    "a part more": (rehashed(lambda content: content.update(more=1)), "contains: more."),
    "a part less": (rehashed(lambda content: content.pop("evidence") and None), "contains: evidence."),
    "stored action": (flip_action, "contains: the integration version changed."),
    "stored action and its digest": (flip_action_and_digest, "contains: action."),
    "stored action gone": (break_action, "contains: the integration version changed."),
    "another integration version": (another_version, "contains: integration."),
    "stored payload": (update_item(payload={"amount": 501}), "contains: the payload was changed."),
    "stored payload hash": (update_item(payload_sha256="0" * 64), "contains: the payload was changed."),
    "item version": (update_item(version=2), "contains: work_item."),
    "policy version of the decision": (flip_pinned_version, "contains: policy_version_ids."),
    "policy version of the step": (flip_pinned_version_of_step, "not what was approved."),
    "stored evidence": (flip_evidence, "contains: evidence."),
    "stored input": (update_execution(input={"amount": 501}), "contains: input_sha256."),
    "stored action name": (update_execution(action="paz"), "contains: the integration version lacks the action."),
    "votes for another hash": (flip_votes, "not what was approved."),
}


def test_one_changed_part_stops_the_call(
    office: Office, bank: Receiver, approved: Execution, subtests: pytest.Subtests
) -> None:
    assert len(MUTATIONS) == 33
    for part, (mutate, says) in MUTATIONS.items():
        with subtests.test(part), undone():
            with as_owner(office):
                mutate(approved)
            run_jobs()
            run_execution(office.tenant, approved.id)
            assert bank.requests() == []
            shown = office.execution(approved)
            assert (shown.status, shown.failure, shown.attempts_made) == ("failed", "envelope_mismatch", 1)
            assert shown.failure_detail.endswith(says), shown.failure_detail
            (body,) = office.bodies("execution.failed")
            assert body["outcome"]["reason_codes"] == ["envelope_mismatch"]
            assert body["outcome"]["work_item_status"] == "failed"
            assert office.bodies("execution.executed") == []
    run_jobs()
    (call,) = bank.requests()
    assert (call["body"], call["headers"]["idempotency-key"]) == ('{"amount":500}', approved.public_id)


def test_what_was_not_approved_is_not_sent(office: Office, bank: Receiver) -> None:
    """Somebody with the database in hand starts an execution that waits for its approval."""
    _, _, execution = office.awaiting()
    office.set_execution(execution, status="started")
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).failure == "envelope_mismatch"
    assert bank.requests() == []
