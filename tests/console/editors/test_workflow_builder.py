"""A workflow is built and changed in a form, without a document."""

from __future__ import annotations

import re
from typing import Any

from policies.configuration.texts import workflow_text
from policies.models import Workflow
from tests.console.sign_in import Console, confirm
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work

NEW = "/console/policies/workflow/build/"
WORKFLOW = "/console/policies/workflow/payment_run/"
CHANGE = f"{WORKFLOW}rebuild/"


def rows(*given: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"rows-TOTAL_FORMS": len(given), "rows-INITIAL_FORMS": 0}
    for number, row in enumerate(given):
        sent |= {f"rows-{number}-{name}": value for name, value in {"type": "text", **row}.items()}
    return sent


def spec_of(demo: Demo, slug: str) -> dict[str, Any]:
    with unit_of_work(demo.tenant.id):
        version = Workflow.objects.select_related("current_version").get(slug=slug).current_version
        assert version is not None
        return dict(version.spec)


def test_an_invented_number_of_rows_is_limited(demo: Demo, console: Console) -> None:
    for count in ("9" * 5000, "-1", "x", ""):
        page = console("admin").post(NEW, {"rows-TOTAL_FORMS": count, "rows-INITIAL_FORMS": "0", "more": ""})
        assert page.status_code == 200


def test_a_workflow_is_built(demo: Demo, console: Console) -> None:
    browser = console("admin")
    assert browser.get(NEW).status_code == 200
    sent = {
        "slug": "vendor_review",
        "name": "Vendor review",
        "title": "Review ${item.payload.vendor}",
        "actions": "",
        **rows(
            {"key": "vendor", "label": "Vendor", "is_required": "on", "ORDER": 2},
            {"key": "risk", "label": "Risk", "type": "choice", "choices": "low, high", "ORDER": 1},
            {"key": "budget", "type": "money", "currency": "EUR", "ORDER": 3},
            {},
        ),
    }
    assert not browser.post(NEW, {**sent, "slug": "", "show": ""}).context["preview"]
    shown = browser.post(NEW, {**sent, "show": ""})
    assert "kind: Workflow" in shown.content.decode()
    done = browser.post(NEW, sent)
    assert done.status_code == 302, done.content.decode()
    schema = spec_of(demo, "vendor_review")["payload_schema"]
    again = browser.get("/console/policies/workflow/vendor_review/rebuild/").context["rows"]
    assert [row.initial["key"] for row in again.initial_forms] == ["risk", "vendor", "budget"]
    assert schema["required"] == ["vendor"]
    assert schema["properties"]["budget"]["x-threada"] == {"format": "money", "currency": "EUR"}
    assert browser.post(NEW, sent).status_code == 422


def test_a_field_without_a_name_gets_one_or_is_refused(demo: Demo, console: Console) -> None:
    browser = console("admin")
    sent = {"slug": "named", "name": "Named", "actions": ""}
    unnamed = rows({"label": "Invoice number", "ORDER": 1}, {"label": "Straße", "ORDER": 2}, {})
    for nameless in (
        {"label": "号码"},
        {"is_required": "on"},
        {"type": "money", "currency": "EUR"},
        {"choices": "a, b"},
    ):
        refused = browser.post(NEW, {**sent, **rows({"key": "vendor"}, nameless)})
        assert "Enter a name, or delete this field." in refused.content.decode()
    assert browser.post(NEW, {**sent, **unnamed}).status_code == 302
    assert spec_of(demo, "named")["payload_schema"]["properties"].keys() == {"invoice_number", "strasse"}
    change = "/console/policies/workflow/named/rebuild/"
    emptied = {**shown_values(browser.get(change)), "rows-0-key": "", "rows-0-was": "invoice_number"}
    assert "Enter a name, or delete this field." in browser.post(change, emptied).content.decode()
    assert "invoice_number" in spec_of(demo, "named")["payload_schema"]["properties"]


def shown_values(page: Any) -> dict[str, Any]:
    """Return what a browser would send of an unchanged form."""
    form = page.context["form"]
    sent = {name: form.initial.get(name) or "" for name in form.fields}
    given = [{**row.initial, "ORDER": place} for place, row in enumerate(page.context["rows"].initial_forms)]
    for row in given:
        row["is_required"] = "on" if row["is_required"] else ""
    return {**sent, **rows(*given)}


def test_a_change_keeps_what_the_form_cannot_express(demo: Demo, console: Console) -> None:
    browser = console("admin")
    before = spec_of(demo, "payment_run")
    with unit_of_work(demo.tenant.id):
        text = workflow_text(Workflow.objects.select_related("current_version").get(slug="payment_run"))
    commented = "# Agreed with finance.\n" + text.replace("vendor:", "# Who gets it.\n      vendor:", 1)
    assert confirm(browser, f"{WORKFLOW}new-version/", {"document": commented}).status_code == 302
    sent = shown_values(browser.get(CHANGE))
    sent["name"] = "Payments"
    assert confirm(browser, CHANGE, sent).status_code == 302
    assert spec_of(demo, "payment_run") == before
    sent |= {"summary": "amount_minor, vendor", "related_by": "invoice", "title": "Pay ${item.payload.vendor}"}
    assert "There is no field nobody." in confirm(browser, CHANGE, {**sent, "summary": "nobody"}).content.decode()
    assert confirm(browser, CHANGE, sent).status_code == 302
    after = spec_of(demo, "payment_run")
    assert (after["summary"], after["related_by"]) == (["/amount_minor", "/vendor"], ["/invoice"])
    assert after["payload_schema"] == before["payload_schema"]
    assert after["request"] == before["request"]
    page = browser.get(WORKFLOW).content.decode()
    assert ">Payments<" in page
    with unit_of_work(demo.tenant.id):
        kept = workflow_text(Workflow.objects.select_related("current_version").get(slug="payment_run"))
    changed = set(kept.splitlines()) ^ set(commented.splitlines())
    assert not {
        line for line in changed if not line.strip().startswith(("name:", "title:", "summary:", "related_by:", "-"))
    }


def test_the_preview_is_the_form_of_the_portal(demo: Demo, console: Console) -> None:
    browser = console("admin")
    built = browser.get(CHANGE).content.decode()
    asked = fields_in(browser.get("/console/request/payment_run/").content.decode())
    assert asked
    assert fields_in(built) == asked


def test_a_request_is_declared_by_choosing_an_action(demo: Demo, console: Console) -> None:
    browser = console("admin")
    form = browser.get(NEW).context["form"]
    choices = [value for value, _label in form.fields["request"].choices if value]
    assert choices
    action, integration = choices[0].split()
    sent = {
        "slug": "asked",
        "name": "Asked",
        "request": choices[0],
        "input": "note: ${item.payload.note}",
        **rows({"key": "note", "is_required": "on"}),
    }
    for wrong, said in (
        ({"input": "[1]"}, "Write names and values"),
        ({"request": ""}, "Choose the action"),
        ({"request": "x y"}, "valid choice"),
    ):
        assert said in browser.post(NEW, {**sent, **wrong}).content.decode()
    assert browser.post(NEW, sent).status_code == 302
    spec = spec_of(demo, "asked")
    assert spec["request"] == {"action": action, "integration": integration, "input": {"note": "${item.payload.note}"}}
    assert spec["actions"] == [action]
    optional = browser.post(NEW, {**sent, "slug": "optional", **rows({"key": "note", "is_required": ""})})
    assert "item.payload.note may be missing" in optional.content.decode()
    shown = browser.get("/console/policies/workflow/asked/rebuild/")
    assert confirm(browser, "/console/policies/workflow/asked/rebuild/", shown_values(shown)).status_code == 302
    assert spec_of(demo, "asked") == spec


def fields_in(page: str) -> list[tuple[str, str]]:
    """Return name and type or tag of the fields of a payload, in their order."""
    fields = re.findall(r"<(input|select|textarea)([^>]*id=\"p_[^>]*)>", page)
    return [(tag, re.sub(r"\s+", " ", attributes)) for tag, attributes in fields]


def test_wrong_rows_are_named_and_nothing_is_saved(demo: Demo, console: Console) -> None:
    browser = console("admin")
    base = {"slug": "x", "name": "<script>alert(1)</script>"}
    for wrong, said in (
        ({"key": "a b"}, "Use letters, digits and _"),
        ({"key": "a", "type": "choice"}, "List the choices."),
        ({"key": "a", "type": "money"}, "Enter a currency"),
    ):
        page = browser.post(NEW, {**base, **rows(wrong)})
        assert (page.status_code, said in page.content.decode()) == (422, True)
        assert "<script>alert" not in page.content.decode()
    assert "occurs twice" in browser.post(NEW, {**base, **rows({"key": "a"}, {"key": "a"})}).content.decode()
    assert browser.post(NEW, {**base, "rows-TOTAL_FORMS": "100000", "rows-INITIAL_FORMS": "0"}).status_code == 422
    assert demo.api("admin").get("/workflows/x").status_code == 404
    assert console("finance-1").get(NEW).status_code == 403
