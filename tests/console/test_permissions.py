"""Roles and scopes in the console: what one steward can do alone, and what needs a second one."""

from __future__ import annotations

import re
from typing import Any

from django.urls import reverse

from telemetry.models import Receipt
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import object_named, object_scopes
from threada_site.identity.selectors import roles_of_member
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.models import User


def roles(demo: Demo, name: str) -> list[str]:
    with unit_of_work(demo.tenant.id):
        return roles_of_member(User.objects.get(username=name), tenant_id=demo.tenant.id)


def change_roles(console: Any, demo: Demo, name: str, *wanted: str) -> Any:
    person = User.objects.get(username=name)
    address = reverse("admin:tenancy_membership_change_roles", args=[person.public_id])
    return console("admin").post(address, {"roles": wanted})


def test_an_admin_grants_itself_no_role_without_a_second_steward(demo: Demo, console: Any) -> None:
    make_principal(demo.tenant, "second", roles=["tenant_admin"])
    change_roles(console, demo, "admin", "tenant_admin", "finance", "approver")
    assert roles(demo, "admin") == ["tenant_admin"]
    with unit_of_work(demo.tenant.id):
        (change_set,) = ChangeSet.objects.all()
    assert change_set.operation == "identity.set_roles"
    assert set(change_set.after["admin"]) == {"approver", "finance", "tenant_admin"}


def test_a_single_admin_is_told_what_that_means(demo: Demo, console: Any) -> None:
    page = console("admin").get(reverse("admin:tenancy_foureyesrule_changelist")).content.decode()
    assert "This tenant has one steward" in page
    change_roles(console, demo, "admin", "tenant_admin", "approver")
    assert roles(demo, "admin") == ["approver", "tenant_admin"]
    make_principal(demo.tenant, "second", roles=["tenant_admin"])
    page = console("admin").get(reverse("admin:tenancy_foureyesrule_changelist")).content.decode()
    assert "need a second, independent steward" in page


def test_scopes_on_one_workflow_are_set_on_the_page_of_a_member(demo: Demo, console: Any) -> None:
    bot = make_principal(demo.tenant, "bot", "agent", [])
    address = reverse("admin:tenancy_membership_change_object_scopes", args=[bot.public_id])
    sent = {"on": "workflow:payment_run", "scopes": ["workitems:read"]}
    assert console("admin").post(address, sent).status_code == 302
    with unit_of_work(demo.tenant.id):
        held = object_scopes(bot, object_named("workflow", "payment_run", ctx=acting_system(demo.tenant)))
    assert {scope.value for scope in held} == {"workitems:read"}
    page = console("admin").get(reverse("admin:tenancy_membership_change", args=[bot.public_id])).content.decode()
    assert "Scopes on workflow payment_run" in page


def test_a_sent_form_shows_nothing_without_its_scope(demo: Demo, console: Any) -> None:
    make_principal(demo.tenant, "ron", roles=["requester"])
    page = reverse("admin:tenancy_membership_change_roles", args=[User.objects.get(username="admin").public_id])
    group = reverse("admin:tenancy_peoplegroup_new")
    for address in (page, reverse("admin:tenancy_membership_new"), group, reverse("admin:integrations_freeze_new")):
        answer = console("ron").post(address, {"roles": "nothing"})
        text = answer.content.decode()
        assert answer.status_code == 422
        assert "(scope_missing)" in text
        assert not {"tenant_admin", "policy_publisher", "payment_run"} & set(re.findall(r"\w+", text)), address
    with unit_of_work(demo.tenant.id):
        assert Receipt.objects.filter(kind="request.refused", reason_codes=["scope_missing"]).count() == 4


def test_a_requester_is_told_that_lists_show_own_work_items(demo: Demo, console: Any) -> None:
    make_principal(demo.tenant, "clerk", roles=["requester"])
    lists = ("workitems/workitem/", "workitems/decisionstep/", "integrations/execution/")
    for name, is_told in (("clerk", True), ("finance-1", False)):
        client = console(name)
        for page in lists:
            shown = client.get(f"/console/{page}").content.decode()
            assert ("Your roles show your own work items" in shown) is is_told, (name, page)
