"""Permits in the console: proposed on the page of a decision, approved there, narrowed and revoked on their own page."""

from __future__ import annotations

from django.urls import reverse

from tests.console.sign_in import sign_in
from tests.workitems.office import Office
from tests.workitems.permits.test_permits import OFFERS, ask, finance, rules
from threada_site.database.unit_of_work import unit_of_work
from workitems.executions.operator_actions import cancel_execution
from workitems.models import Permit

__all__ = ["finance"]


def test_a_series_is_approved_used_narrowed_and_revoked_in_the_console(finance: Office) -> None:
    finance.put_rules(*rules({**OFFERS, "authentication": "session"}))
    item, step, _ = finance.awaiting()
    fay, finn = sign_in(finance.people["fay"]), sign_in(finance.people["finn"])
    page = reverse("admin:workitems_decisionstep_change", args=[step.public_id])
    approve = reverse("admin:workitems_decisionstep_approve", args=[step.public_id])
    assert "Approve a series" in fay.get(page).content.decode()
    sent = {"envelope_sha256": step.envelope_sha256, "permit": "new", "permit_days": "2", "permit_count": "3"}
    for wrong in (
        {"permit_days": "999999999"},
        {"permit_count": "9" * 5000},
        *({"permit_sum": text} for text in ("nan", "inf", "-1", "0", "")),
    ):
        assert fay.post(approve, {**sent, "permit_sum": "2000", **wrong}).status_code == 302
        assert finance.count(Permit) == 0, wrong
    fay.post(approve, {**sent, "permit_sum": "2000", "permit_bounds": "item.payload.amount <= 900\n"})
    with unit_of_work(finance.tenant.id):
        [permit] = Permit.objects.all()
    shown = finn.get(page).content.decode()
    assert permit.public_id in shown
    assert "Requested by: rita" in shown
    assert "item.payload.amount &lt;= 900" in shown
    finn.post(approve, {"envelope_sha256": step.envelope_sha256, "permit": permit.public_id})
    item, execution, covered = ask(finance)
    assert covered
    own = reverse("admin:workitems_permit_change", args=[permit.public_id])
    shown = finn.get(own).content.decode()
    assert "1 of 3, 500 of 2000" in shown
    assert "1 of 3" in finn.get(reverse("admin:workitems_permit_changelist")).content.decode()
    desk = finn.get(reverse("admin:workitems_decisionstep_desk"))
    assert [(one.public_id, used) for one, used in desk.context["permits"]] == [
        (permit.public_id, "1 of 3, 500 of 2000")
    ]
    assert "Permits in use" in desk.content.decode()
    assert "Permits in use" not in sign_in(finance.people["rita"]).get(desk.request["PATH_INFO"]).content.decode()
    case = reverse("admin:workitems_workitem_change", args=[item.public_id])
    assert f"approved by the permit {permit.public_id}" in finn.get(case).content.decode()
    narrow = reverse("admin:workitems_permit_narrow", args=[permit.public_id])
    assert "Nothing was entered" in finn.post(narrow, {}).content.decode()
    finn.post(narrow, {"max_count": "2"})
    assert "1 of 2" in finn.get(own).content.decode()
    finn.post(reverse("admin:workitems_permit_revoke", args=[permit.public_id]), {})
    with unit_of_work(finance.tenant.id):
        assert Permit.objects.get().status == "revoked"
    finance.on_execution(execution, cancel_execution)
    assert f"was cancelled. It was approved by the permit {permit.public_id}" in finn.get(case).content.decode()


def test_a_rule_without_permits_offers_none(office: Office) -> None:
    _, step, _ = office.awaiting()
    fay = sign_in(office.people["fay"])
    page = reverse("admin:workitems_decisionstep_change", args=[step.public_id])
    assert "Approve a series" not in fay.get(page).content.decode()
