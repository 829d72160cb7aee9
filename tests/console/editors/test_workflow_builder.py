"""A workflow is built and changed in a form, without a document."""

from __future__ import annotations

from typing import Any

from policies.models import Workflow
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work

NEW = "/console/policies/workflow/build/"
CHANGE = "/console/policies/workflow/payment_run/rebuild/"


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


def test_a_change_keeps_what_the_form_cannot_express(demo: Demo, console: Console) -> None:
    browser = console("admin")
    page = browser.get(CHANGE)
    form = page.context["form"]
    sent = {name: form.initial[name] for name in ("name", "title", "actions")}
    formset = page.context["rows"]
    given = [{**row.initial, "ORDER": place} for place, row in enumerate(formset.initial_forms)]
    for row in given:
        row["is_required"] = "on" if row["is_required"] else ""
    before = spec_of(demo, "payment_run")
    sent |= rows(*given)
    sent["name"] = "Payments"
    assert browser.post(CHANGE, sent).status_code == 302
    assert spec_of(demo, "payment_run") == before
    assert ">Payments<" in browser.get("/console/policies/workflow/payment_run/").content.decode()


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
