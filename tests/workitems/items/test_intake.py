from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.configuration.texts import workflow_text
from policies.models import Workflow, WorkflowVersion
from telemetry.models import Receipt, SealQueueEntry
from tests.jobs import queued_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import OutsideUnitOfWorkError, unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.models import Membership
from threada_site.tenancy.versioned_documents import put_version
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.models import Evidence, WorkItem


def test_item_evidence_receipt_queue_row_and_job_appear_together(office: Office) -> None:
    before = office.count(Receipt)
    item = office.create(7, evidence=["handbook 4.2", {"source": "contract"}], risk_flags=("new_vendor",))
    assert (item.status, item.version, item.workflow, item.channel) == ("new", 1, "payments", "web")
    assert item.payload_sha256 == hashlib.sha256(b'{"amount":7}').hexdigest()
    with unit_of_work(office.tenant.id):
        parts = list(Evidence.objects.filter(work_item=item).order_by("position"))
        receipt = Receipt.objects.get(work_item_id=item.id)
        assert SealQueueEntry.objects.filter(id=receipt.id).exists()
    assert [(part.kind, part.content) for part in parts] == [
        ("citation", "handbook 4.2"),
        ("citation", {"source": "contract"}),
    ]
    assert office.count(Receipt) == before + 1
    assert queued_jobs()[-1] == (
        "workitems.decide_intake",
        {
            "tenant_id": str(office.tenant.id),
            "work_item_id": str(item.id),
            "correlation_id": item.correlation_id,
        },
    )


def test_the_receipt_holds_commitments_and_no_values(office: Office) -> None:
    item = office.create(payload={"amount": 7, "vendor": "Hooli"}, evidence={"citations": ["page of Hooli"]})
    (body,) = office.bodies("work_item.created")
    assert body["inputs"]["payload_commitment"] == commitment(bytes(item.payload_salt), item.payload)
    assert len(bytes(item.payload_salt)) == 16
    assert body["evidence"] == {
        "kinds": ["citation"],
        "commitment": commitment(bytes(item.payload_salt), [{"kind": "citation", "content": "page of Hooli"}]),
    }
    assert "Hooli" not in str(body)


@pytest.mark.parametrize(
    ("sent", "parts"),
    [
        (None, [("fallback", {"reason": "no_evidence_supplied"})]),
        ([], [("fallback", {"reason": "no_evidence_supplied"})]),
        ({"citations": [], "fallback_reason": "asked by phone"}, [("fallback", {"reason": "asked by phone"})]),
        ({"citations": ["a"], "retrieval_trace": [1]}, [("citation", "a"), ("retrieval_trace", [1])]),
    ],
)
def test_no_item_is_without_evidence(office: Office, sent: Any, parts: list[Any]) -> None:
    item = office.create(evidence=sent)
    with unit_of_work(office.tenant.id):
        rows = Evidence.objects.filter(work_item=item).order_by("position")
        assert [(row.kind, row.content) for row in rows] == parts


def test_it_takes_few_statements(office: Office) -> None:
    office.create()
    ctx = office.ctx("rita")
    request = IntakeRequest(workflow="payments", channel="web", payload={"amount": 1})
    with unit_of_work(office.tenant.id), CaptureQueriesContext(connection) as statements:
        create_work_item(request, ctx=ctx)
    assert len(statements) == 2, [entry["sql"][:80] for entry in statements]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"workflow": "unheard_of"}, errors.UnknownWorkflow),
        ({"channel": "fax"}, errors.UnknownChannel),
        ({"payload": {"amount": "7"}}, errors.PayloadSchemaViolation),
        ({"payload": {"amount": 7, "vendor": "x" * 262_144}}, errors.PayloadTooLarge),
        ({"requester": "fay"}, errors.PermissionDenied),
        ({"by": "wim"}, errors.PermissionDenied),
        ({"by": "fay"}, errors.PermissionDenied),
        ({"by": "ada", "requester": "nobody"}, errors.UnknownRequester),
        ({"by": "ada", "requester": "pr_00000000000000000000000000"}, errors.UnknownRequester),
    ],
)
def test_what_is_refused_leaves_nothing(office: Office, changes: dict[str, Any], refusal: type[ThreadaError]) -> None:
    before = office.count(WorkItem), office.count(Receipt), len(queued_jobs())
    with pytest.raises(refusal):
        office.create(**changes)
    assert (office.count(WorkItem), office.count(Receipt), len(queued_jobs())) == before


def test_a_channel_may_be_required(office: Office) -> None:
    office.upsert_workflow(channel_required=True)
    with pytest.raises(errors.ChannelRequired):
        office.create(channel=None)
    office.upsert_workflow(channel_required=False)
    assert office.create(channel=None).channel == ""


def test_a_workflow_may_set_less(office: Office) -> None:
    office.upsert_workflow(max_payload_bytes=20)
    office.create(payload={"amount": 123456789})
    with pytest.raises(errors.PayloadTooLarge, match="21 bytes"):
        office.create(payload={"amount": 1234567890})


def test_an_object_has_as_many_members_as_the_workflow_says(office: Office) -> None:
    payload = {"amount": 1, "names": {str(number): number for number in range(2_001)}}
    with pytest.raises(errors.PayloadSchemaViolation) as refused:
        office.create(payload=payload)
    assert [(entry.pointer, entry.code) for entry in refused.value.errors] == [("/payload/names", "too_large")]
    office.upsert_workflow(max_members=2_001)
    assert office.create(payload=payload).payload == payload


def test_a_version_from_before_the_bound_accepts_what_it_accepted(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        workflow = Workflow.objects.get(slug="payments")
        version = workflow.current_version
        assert version is not None
        earlier = {name: value for name, value in version.spec.items() if name != "max_members"}
        put_version(workflow, earlier, ctx=office.system, name=workflow.name)
    payload = {"amount": 1, "names": {str(number): number for number in range(2_001)}}
    assert office.create(payload=payload).payload == payload
    before = office.count(WorkflowVersion)
    office.upsert_workflow()  # the same document, read with the default
    assert office.count(WorkflowVersion) == before
    with unit_of_work(office.tenant.id):
        assert "max_members" not in workflow_text(Workflow.objects.get(slug="payments"))
    assert office.create(payload=payload).payload == payload


def test_one_may_hand_in_for_another(office: Office) -> None:
    item = office.create(by="ada", requester="rita")
    assert item.requester_id == office.people["rita"].id
    assert item.submitted_by_id == office.people["ada"].id
    by_id = office.create(by="ada", requester=office.people["rita"].public_id)
    assert by_id.requester_id == office.people["rita"].id
    own = office.create(requester="rita")
    assert own.requester_id == own.submitted_by_id


def test_somebody_who_is_only_invited_is_no_requester(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        Membership.objects.filter(user=office.people["rita"]).update(accepted_at=None)
    before = office.count(WorkItem), office.count(Receipt)
    for named in ("rita", office.people["rita"].public_id):
        with pytest.raises(errors.UnknownRequester, match="only invited"):
            office.create(by="ada", requester=named)
    assert (office.count(WorkItem), office.count(Receipt)) == before


def test_services_want_a_unit_of_work(office: Office) -> None:
    with pytest.raises(OutsideUnitOfWorkError):
        create_work_item(IntakeRequest(workflow="payments", channel="web", payload={}), ctx=office.ctx("rita"))
