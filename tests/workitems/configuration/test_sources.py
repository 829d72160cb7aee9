"""Texts of documents: comments and the order of keys survive; digests and rules do not depend on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrations.configuration.configure import upsert_integration
from policies.configuration.lists import upsert_list
from policies.configuration.texts import document_text, list_text, workflow_text
from policies.configuration.workflows import upsert_workflow
from policies.documents.list import parse_list
from policies.documents.workflow import parse_workflow
from policies.models import List, Policy, Workflow
from policies.selectors import workflow_document
from tests.factories import acting_system, make_tenant
from tests.threada_site.identity.change_sets.offices import make_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish
from threada_site.kernel.context import EntryPoint
from threada_site.kernel.documents.key_order import in_order_of
from threada_site.kernel.documents.patch import patched
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import ConfirmationRequired
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.versioned_documents import DocumentSource
from workitems.configuration.apply import Outcome, apply_documents
from workitems.configuration.export import configuration_files
from workitems.display.fields import fields

WORKFLOW = """\
# What we pay and to whom.
kind: Workflow
id: pay
spec:
  title: "Pay ${item.payload.vendor}"   # short
  payload_schema:
    type: object
    properties:
      vendor: {type: string, title: Vendor}   # who gets it
      amount_minor: {type: integer}
      a: {type: string}
  actions: [pay]
"""
POLICY = """\
# Agreed with finance in March.
kind: Policy
id: rules
spec:
  rules:
    # Everything goes.
    - {reason: FINE, effect: allow, when: "true", id: fine}
"""
CHANNEL = "kind: Channel   # of the portal\nid: web\nspec: {}\n"


def apply(tenant: Tenant, text: str) -> Outcome:
    with unit_of_work(tenant.id):
        return apply_documents(load_documents(text, source="x.yaml"), ctx=acting_system(tenant, EntryPoint.COMMAND))


def files(tenant: Tenant) -> dict[Path, str]:
    with unit_of_work(tenant.id):
        return configuration_files(acting_system(tenant))


def current(tenant: Tenant) -> Any:
    with unit_of_work(tenant.id):
        return Workflow.objects.select_related("current_version").get(tenant=tenant, slug="pay")


def test_an_export_returns_the_text_that_was_applied(tenant: Tenant) -> None:
    apply(tenant, f"{CHANNEL}---\n{WORKFLOW}---\n{POLICY}")
    exported = files(tenant)
    assert exported[Path("workflows/pay.yaml")] == WORKFLOW
    assert exported[Path("policies/rules.yaml")] == POLICY
    assert exported[Path("channels/web.yaml")] == CHANNEL
    with unit_of_work(tenant.id):
        assert workflow_text(current(tenant)) == WORKFLOW
        policy = Policy.objects.select_related("in_force__policy").get(tenant=tenant, slug="rules")
        assert document_text(policy.in_force) == POLICY


def test_a_comment_changes_the_text_and_no_version(tenant: Tenant) -> None:
    apply(tenant, WORKFLOW)
    before = current(tenant).current_version
    changed = WORKFLOW.replace("# short", "# shorter")
    apply(tenant, changed)
    assert files(tenant)[Path("workflows/pay.yaml")] == changed
    assert current(tenant).current_version.id == before.id
    apply(tenant, changed.replace("[pay]", "[pay, close]"))
    assert current(tenant).current_version.number == 2


def test_the_order_of_fields_is_that_of_the_text(tenant: Tenant) -> None:
    """`jsonb` orders keys by length: `a` would come first."""
    apply(tenant, WORKFLOW)
    with unit_of_work(tenant.id):
        document = workflow_document(current(tenant).current_version_id, ctx=acting_system(tenant))
    rows = fields(document.payload_schema, {"a": "x", "amount_minor": 1, "vendor": "Hooli"})
    assert [row.name for row in rows] == ["vendor", "amount_minor", "a"]


@pytest.mark.parametrize("text", ["", "kind: Workflow\nid: pay\nspec: {actions: [steal]}\n", "[", "a: 1\n---\nb: 2\n"])
def test_a_text_that_says_something_else_is_not_used(tenant: Tenant, text: str) -> None:
    apply(tenant, WORKFLOW)
    with unit_of_work(tenant.id):
        DocumentSource.objects.filter(kind="Workflow").update(text=text)
        shown = workflow_text(current(tenant))
    assert "#" not in shown
    assert "Pay ${item.payload.vendor}" in shown
    assert "steal" not in files(tenant)[Path("workflows/pay.yaml")]


def test_documents_of_one_stream_have_texts_of_their_own() -> None:
    text = f"{CHANNEL}---\n{WORKFLOW}--- # rules\n{POLICY}...\n# the end\n"
    written = [document.written for document in load_documents(text, source="x")]
    assert written == [CHANNEL, WORKFLOW, f"--- # rules\n{POLICY}"]
    assert [load_documents(one, source="x")[0].written for one in written] == written
    assert load_documents('{"a": 1}', source="x")[0].written == '{"a": 1}\n'
    assert load_documents("a: 1\r\n# b\r\n", source="x")[0].written == "a: 1\n# b\n"


def test_keys_take_the_order_of_another_value() -> None:
    ordered = in_order_of({"a": 1, "b": {"x": 1, "y": 2}, "c": [{"p": 1, "q": 2}]}, {"c": [{"q": 0}], "b": {"y": 0}})
    assert list(ordered) == ["c", "b", "a"]
    assert list(ordered["b"]) == ["y", "x"]
    assert list(ordered["c"][0]) == ["q", "p"]
    assert in_order_of({"a": 1}, None) == {"a": 1}


LIST = "# Agreed with legal.\nkind: List\nid: blocked\nspec:\n  items: [Hydra]   # since May\n"
INTEGRATION = (
    "kind: Integration   # of the desk\nid: desk\nspec:\n  actions: {close: {}}   # one\n  connector: workflow\n"
)


@pytest.mark.parametrize(
    "text", [WORKFLOW.replace("[pay]", "[close]"), LIST, INTEGRATION], ids=["workflow", "list", "integration"]
)
def test_a_text_survives_the_second_person(db: None, text: str) -> None:
    office = make_office(make_tenant("texts"))
    office.require()
    ada, ben = office.context("ada"), office.context("ben")
    document = load_documents(text, source="x")[0]
    put = {
        "Workflow": lambda value, ctx: upsert_workflow("pay", parse_workflow(value), ctx=ctx),
        "List": lambda value, ctx: upsert_list("blocked", parse_list(value), ctx=ctx),
        "Integration": lambda value, ctx: upsert_integration("desk", value["spec"], ctx=ctx),
    }[document.value["kind"]]
    with pytest.raises(ConfirmationRequired) as refused, unit_of_work(ada.tenant_id):
        put(document.value, replace(ada, source=document.written))
    with unit_of_work(ada.tenant_id):
        change_set = propose(refused.value.change, ctx=ada)
        assert not DocumentSource.objects.filter(text=text).exists()
    with unit_of_work(ben.tenant_id):
        publish(change_set, change_set.digest, ctx=ben)
        assert DocumentSource.objects.filter(kind=document.value["kind"], text=text).exists()


def test_items_that_are_entered_in_a_form_keep_the_comments(tenant: Tenant) -> None:
    apply(tenant, LIST)
    with unit_of_work(tenant.id):
        row = List.objects.select_related("current_version").get(tenant=tenant, slug="blocked")
        changed = {"kind": "List", "id": "blocked", "spec": {"items": ["Hydra", "Initech"]}}
        assert patched(list_text(row), changed) == LIST.replace("[Hydra]", "[Hydra, Initech]")
