"""Documents over HTTP as they were written."""

from __future__ import annotations

from tests.client import Api
from tests.journeys.demo import Demo
from tests.policies.over_http import refusal
from tests.workitems.configuration.test_sources import INTEGRATION, LIST, POLICY, WORKFLOW, apply


def test_documents_are_read_as_they_were_written(demo: Demo) -> None:
    changed = WORKFLOW.replace("[pay]", "[pay, close]")
    for text in (WORKFLOW, changed, LIST, INTEGRATION, POLICY):
        apply(demo.tenant, text)
    admin = demo.api("admin")

    def read(path: str) -> str:
        answer = admin.get(path)
        assert answer["Content-Type"] == "application/yaml; charset=utf-8", path
        return str(answer.content.decode())

    assert read("/workflows/pay/source") == changed
    assert read("/workflows/pay/source?version=1") == WORKFLOW
    assert read("/policies/rules/versions/1/source") == POLICY
    assert read("/lists/blocked/source?version=1") == LIST
    assert read("/integrations/desk/source") == INTEGRATION
    apply(demo.tenant, changed.replace("spec:\n", "spec:\n  name: Pay\n"))
    assert read("/workflows/pay/source?version=1") == WORKFLOW, "its label is not part of a version"
    made = {"workflow_id": "made", "spec": {"payload_schema": {"type": "object"}}}
    assert admin.post("/workflows", made).status_code == 201
    assert read("/workflows/made/source").startswith("kind: Workflow\nid: made\n")
    for path in ("/workflows/pay/source?version=9", "/lists/none/source", "/policies/rules/versions/9/source"):
        assert admin.get(path).status_code == 404, path


def test_who_does_not_see_a_document_does_not_see_its_text(demo: Demo) -> None:
    requester = demo.join("rita")
    assert refusal(requester.get("/integrations/int_bank/source"))[0] == 403
    assert (
        requester.get("/workflows/policy_review/source").status_code
        == requester.get("/workflows/policy_review").status_code
    )
    stranger = Api("thr_" + "x" * 40)
    assert stranger.get("/workflows/payment_run/source").status_code == 401
