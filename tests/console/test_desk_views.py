"""Saved views of the desk: save, open, delete; visible to their owner only."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import IntegrityError, transaction
from django.test import Client

from tests.console.sign_in import Console
from tests.console.test_desk import DESK, ask, named, shown
from tests.factories import make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Membership, Tenant
from workitems.desk.saved_views import MOST_VIEWS
from workitems.models import SavedView

VIEWS = "/console/workitems/workitem/views/desk/"
SAVE, DELETE = f"{VIEWS}save/", f"{VIEWS}delete/"


def post(browser: Client, address: str, **sent: str) -> tuple[str, list[str]]:
    """Press a button. Return the redirect and the messages."""
    answer = browser.post(address, sent)
    assert answer.status_code == 302
    return answer["Location"], [str(message) for message in get_messages(answer.wsgi_request)]


def views_of(browser: Client, query: str = "") -> list[tuple[str, str, bool]]:
    return [(view.name, view.query, view.is_shown) for view in saved(browser, query)]


def saved(browser: Client, query: str = "") -> list[Any]:
    return list(browser.get(DESK + query).context["views"]["saved"])


def kept(tenant: Tenant) -> list[tuple[str, str, dict[str, Any]]]:
    with unit_of_work(tenant.id):
        rows = SavedView.objects.order_by("membership__user__username", "name")
        return list(rows.values_list("membership__user__username", "name", "filters"))


def test_a_view_is_saved_opened_and_deleted(demo: Demo, console: Console) -> None:
    plain, flagged = ask(demo), ask(demo, risk_flags=["new_vendor"])
    browser = console("finance-1")
    assert "Name of the view" not in browser.get(DESK).content.decode()
    filtered = browser.get(f"{DESK}?risk=flagged&due=week").content.decode()
    assert '<input type="hidden" name="risk" value="flagged">' in filtered
    where, said = post(browser, SAVE, view_name="  Risky,  this week ", risk="flagged", due="week", kind="", older="x")
    assert (where, said) == (f"{DESK}?due=week&risk=flagged", ["View saved as “Risky, this week”."])
    assert kept(demo.tenant) == [("finance-1", "Risky, this week", {"due": "week", "risk": "flagged"})]
    ((name, query, is_shown),) = views_of(browser)
    assert (name, query, is_shown) == ("Risky, this week", "?due=week&risk=flagged", False)
    assert shown(browser, query) == [named(flagged)]
    assert shown(browser) == [named(plain, flagged)]
    assert views_of(browser, query) == [(name, query, True)]
    assert post(browser, DELETE, view=saved(browser)[0].key) == (DESK, ["The view is deleted."])
    assert (kept(demo.tenant), views_of(browser)) == ([], [])


def test_name_refers_to_the_view_saved_last(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    post(browser, SAVE, view_name="Mine", claimed="me")
    post(browser, SAVE, view_name="Mine", claimed="free")
    assert kept(demo.tenant) == [("finance-1", "Mine", {"claimed": "free"})]


def test_views_of_other_people_are_neither_seen_nor_deleted(demo: Demo, console: Console, other_tenant: Tenant) -> None:
    owner = console("finance-1")
    post(owner, SAVE, view_name="Mine", claimed="me")
    (view,) = saved(owner)
    colleague = console("finance-2")
    assert views_of(colleague) == []
    assert colleague.post(DELETE, {"view": view.key}).status_code == 404
    post(colleague, SAVE, view_name="Mine", claimed="free")
    assert kept(demo.tenant) == [
        ("finance-1", "Mine", {"claimed": "me"}), ("finance-2", "Mine", {"claimed": "free"})
    ]  # fmt: skip
    make_principal(other_tenant, "stranger", roles=["tenant_admin"])
    stranger = console("stranger")
    assert views_of(stranger) == []
    assert stranger.post(DELETE, {"view": view.key}).status_code == 404
    with unit_of_work(other_tenant.id):
        assert SavedView.objects.count() == 0
    assert len(kept(demo.tenant)) == 2


@pytest.mark.parametrize(
    "sent",
    [
        {"view_name": "", "risk": "flagged"}, {"view_name": "x" * 61, "risk": "flagged"}, {"view_name": "a\u202eb", "risk": "flagged"},
        {"view_name": "a\x00b", "risk": "flagged"}, {"view_name": "Everything"}, {"view_name": "Everything", "nonsense": "1"},
    ],
)  # fmt: skip
def test_invalid_views_are_refused(sent: dict[str, str], demo: Demo, console: Console) -> None:
    _, said = post(console("finance-1"), SAVE, **sent)
    assert said[0].endswith("(invalid_request)")
    assert kept(demo.tenant) == []


def test_number_of_views_is_limited(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    for place in range(MOST_VIEWS):
        post(browser, SAVE, view_name=f"View {place:02}", risk="plain")
    assert "(invalid_request)" in post(browser, SAVE, view_name="One more", risk="plain")[1][-1]
    assert post(browser, SAVE, view_name="View 00", risk="flagged")[1][-1] == "View saved as “View 00”."
    assert len(kept(demo.tenant)) == MOST_VIEWS


def test_a_view_with_old_filters_still_opens(demo: Demo, console: Console) -> None:
    step = ask(demo)
    browser = console("finance-1")
    post(browser, SAVE, view_name="Old", workflow_id="payment_run")
    with unit_of_work(demo.tenant.id):
        SavedView.objects.update(filters={"workflow_id": "payment_run", "colour": "red"})
    ((_, query, _),) = views_of(browser)
    assert shown(browser, query) == [named(step)]


def test_the_buttons_are_post_alone_and_the_name_is_unique(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert [browser.get(address).status_code for address in (SAVE, DELETE)] == [405, 405]
    post(browser, SAVE, view_name="Mine", claimed="me")
    with unit_of_work(demo.tenant.id):
        member = Membership.objects.get(user__username="finance-1")
        with pytest.raises(IntegrityError, match="savedview_name_once"), transaction.atomic():
            SavedView.objects.create(tenant_id=demo.tenant.id, membership=member, name="Mine")
        member.delete()  # views are deleted with the membership
        assert SavedView.objects.count() == 0


def test_a_shared_view_shows_each_reader_the_own_desk(demo: Demo, console: Console) -> None:
    step = ask(demo)
    query = {
        "view_name": "Payments",
        "workflow_id": "payment_run",
        "sort": "-opened",
        "columns": "id",
        "is_shared": "true",
    }
    assert post(console("finance-1"), SAVE, **query)[1][0].endswith("(permission_denied)")
    post(console("admin"), SAVE, **query)
    (view,) = saved(console("finance-1"))
    assert (view.is_shared, view.may_delete) == (True, False)
    assert view.query == "?sort=-opened&columns=title%2Cid&workflow_id=payment_run"
    assert shown(console("finance-1"), view.query) == [named(step)]
    assert shown(console("security-1"), view.query) == []
