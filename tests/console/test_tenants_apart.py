"""Isolation in the console: rows of other tenants, and for requesters cases of others, do not exist."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

from integrations.models import Execution
from policies.models import PolicyDecision, PolicyReplay, PolicyShadow
from tests.console.busy import Busy
from tests.console.sign_in import Console, sign_in, step_up
from tests.contract.test_access import absent
from tests.factories import make_principal, make_tenant
from tests.journeys.demo import SMALL, Demo
from threada_site.admin.model_admin import TenantAdmin
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant
from workitems.models import DecisionStep, WorkItem

OF_CASES: list[Any] = [WorkItem, DecisionStep, Execution, PolicyDecision, PolicyReplay, PolicyShadow]
CORRELATION = {"Threada-Correlation-Id": "the-same-for-all-requests"}
MODELS = sorted(site._registry, key=lambda model: model._meta.label_lower)


@pytest.fixture
def stranger(other_tenant: Tenant) -> Client:
    """Return a client of a person with every scope in another tenant, who has proved who they are."""
    return step_up(sign_in(make_principal(other_tenant, "gloria", roles=["tenant_admin"])))


def pages_of(model: Any, demo: Demo) -> list[str]:
    """Return the URLs below one row of the demo tenant: its page, buttons and forms."""
    from tests.factories import acting
    from threada_site.tenancy.models import User

    admin: TenantAdmin = site._registry[model]
    with unit_of_work(demo.tenant.id):
        row = admin.rows(acting(demo.tenant, User.objects.get(username="admin"))).order_by("-id").first()
        assert row is not None, model
        key = admin.key_of(row)
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    patterns = [
        pattern for pattern in admin.urls if pattern.name and str(pattern.pattern).startswith(("<str:key>", "^"))
    ]
    names = list(dict.fromkeys(str(pattern.name) for pattern in patterns))
    assert f"{name}_change" in names
    return [reverse(f"admin:{pattern}", args=[key]) for pattern in names]


def test_only_pages_that_know_tenants_are_registered() -> None:
    assert MODELS
    assert [model for model in MODELS if not isinstance(site._registry[model], TenantAdmin)] == []


def test_strangers_find_nothing(demo: Demo, busy_demo: Busy, stranger: Client, console: Console) -> None:
    admin = console("admin")
    for model in MODELS:
        for address in pages_of(model, demo):
            if address.count("/") == len(["console", "app", "model", "key", ""]):
                assert admin.get(address).status_code == 200, address
                assert stranger.get(address).status_code == 404, address
            elif stranger.get(address).status_code == 405:
                assert stranger.post(address).status_code == 404, address
            else:
                assert stranger.get(address).status_code == 404, address
    for model in MODELS:
        listed = stranger.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        assert listed.status_code == 200
        for _, cells in listed.context["rows"]:
            assert "demo" not in str([value for _, value in cells])


def test_slugs_that_both_have_are_ones_own(demo: Demo, stranger: Client) -> None:
    """Check that a role slug of both tenants shows the own row."""
    page = stranger.get(reverse("admin:tenancy_role_change", args=["tenant_admin"]))
    assert page.status_code == 200
    assert [person.username for person in page.context["holders"]] == ["gloria"]


def test_members_of_several_choose_and_change(demo: Demo) -> None:
    elsewhere = make_tenant("globex", "Globex")
    person = make_principal(elsewhere, "finance-1", roles=["viewer"])
    browser = sign_in(person)
    asked = browser.get("/console/workitems/workitem/")
    assert (asked.status_code, asked["Location"]) == (302, "/console/tenant/?next=%2Fconsole%2Fworkitems%2Fworkitem%2F")
    chosen = browser.post("/console/tenant/", {"tenant": "globex", "next": "/console/workitems/workitem/"})
    assert chosen["Location"] == "/console/workitems/workitem/"
    assert browser.get("/console/workitems/workitem/").context["rows"] == []
    assert browser.get("/console/tenant/").status_code == 200
    browser.post("/console/tenant/", {"tenant": "demo"})
    assert len(browser.get("/console/workitems/workitem/").context["rows"]) == 1
    refused = browser.post("/console/tenant/", {"tenant": "initech"})
    assert refused.status_code == 200
    assert "You are not a member of this tenant" in refused.content.decode()
    foreign_address = browser.post("/console/tenant/", {"tenant": "demo", "next": "https://evil.example/"})
    assert foreign_address["Location"] == "/console/"


def test_a_membership_that_ends_ends_the_session_in_the_tenant(demo: Demo, console: Console) -> None:
    from tests.factories import acting_system
    from threada_site.identity.principals import remove_member
    from threada_site.tenancy.models import User

    browser = console("finance-1")
    assert browser.get("/console/").status_code == 200
    with unit_of_work(demo.tenant.id):
        remove_member(User.objects.get(username="finance-1"), ctx=acting_system(demo.tenant))
    assert browser.get("/console/")["Location"].startswith("/console/login/")


def named(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


@pytest.mark.parametrize("model", OF_CASES, ids=named)
def test_a_case_of_another_answers_like_a_random_id(model: Any, demo: Demo, busy_demo: Busy, console: Console) -> None:
    demo.join("rob")
    browser = console("rob")
    for address in pages_of(model, demo):
        key = address.removeprefix(reverse(f"admin:{named(model)}_changelist")).split("/")[0]
        answers = []
        for at in (address, address.replace(key, absent(key))):
            answer = browser.get(at, headers=CORRELATION)
            answers.append(browser.post(at, headers=CORRELATION) if answer.status_code == 405 else answer)
        # 403: the requester lacks the scope of the page or button, whatever the id
        assert [answer.status_code for answer in answers] in ([404, 404], [403, 403], [302, 302]), address
        if answers[0].status_code == 302:  # a button that needs a scope tells so on the page of the row
            assert browser.get(answers[0]["Location"]).status_code == 404
        assert answers[0].content.replace(key.encode(), b"") == answers[1].content.replace(absent(key).encode(), b"")


@pytest.mark.parametrize("model", OF_CASES, ids=named)
def test_lists_leave_out_cases_of_others(model: Any, demo: Demo, busy_demo: Busy, console: Console) -> None:
    demo.join("rob")
    assert console("admin").get(reverse(f"admin:{named(model)}_changelist")).context["rows"]
    assert console("rob").get(reverse(f"admin:{named(model)}_changelist")).context["rows"] == []


def test_a_requester_finds_and_counts_its_own_items(demo: Demo, busy_demo: Busy, console: Console) -> None:
    own = demo.hand_in(SMALL, by=demo.join("rob"))
    browser = console("rob")
    assert browser.get(f"/console/workitems/workitem/{own}/").status_code == 200
    listed = browser.get("/console/workitems/workitem/")
    assert [address.split("/")[-2] for address, _ in listed.context["rows"]] == [own]
    found = browser.get("/console/workitems/workitem/", {"q": busy_demo.item})
    assert found.context["rows"] == []
    assert [row.id for row in browser.get("/console/").context["latest"]] == [own]
    assert [row.id for row in browser.get("/console/requests/").context["requests"]] == [own]
