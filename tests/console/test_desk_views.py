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

SAVE, DELETE = f"{DESK}save-view/", f"{DESK}delete-view/"


def post(browser: Client, address: str, **sent: str) -> tuple[str, list[str]]:
    """Press a button. Return the redirect and the messages."""
    answer = browser.post(address, sent)
    assert answer.status_code == 302
    return answer["Location"], [str(message) for message in get_messages(answer.wsgi_request)]


def views_of(browser: Client, query: str = "") -> list[tuple[str, str, bool]]:
    return [(view.name, view.query, view.is_shown) for view in browser.get(DESK + query).context["views"]]


def kept(tenant: Tenant) -> list[tuple[str, str, dict[str, Any]]]:
    with unit_of_work(tenant.id):
        rows = SavedView.objects.order_by("membership__user__username", "name")
        return list(rows.values_list("membership__user__username", "name", "filters"))


def test_a_view_is_saved_opened_and_deleted(demo: Demo, console: Console) -> None:
    plain, flagged = ask(demo), ask(demo, risk_flags=["new_vendor"])
    browser = console("finance-1")
    assert "Name of a view with these filters" not in browser.get(DESK).content.decode()
    filtered = browser.get(f"{DESK}?risk=flagged&due=week").content.decode()
    assert '<input type="hidden" name="risk" value="flagged">' in filtered
    where, said = post(browser, SAVE, name="  Risky,  this week ", risk="flagged", due="week", kind="", after="x")
    assert (where, said) == (f"{DESK}?due=week&risk=flagged", ["View saved as “Risky, this week”."])
    assert kept(demo.tenant) == [("finance-1", "Risky, this week", {"due": "week", "risk": "flagged"})]
    ((name, query, is_shown),) = views_of(browser)
    assert (name, query, is_shown) == ("Risky, this week", "?due=week&risk=flagged", False)
    assert shown(browser, query) == [named(flagged)]
    assert shown(browser) == [named(plain, flagged)]
    assert views_of(browser, query) == [(name, query, True)]
    assert post(browser, DELETE, name=name) == (DESK, ["The view is deleted."])
    assert (kept(demo.tenant), views_of(browser)) == ([], [])


def test_name_refers_to_the_view_saved_last(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    post(browser, SAVE, name="Mine", claimed="me")
    post(browser, SAVE, name="Mine", claimed="free")
    assert kept(demo.tenant) == [("finance-1", "Mine", {"claimed": "free"})]


def test_views_of_other_people_are_neither_seen_nor_deleted(demo: Demo, console: Console, other_tenant: Tenant) -> None:
    post(console("finance-1"), SAVE, name="Mine", claimed="me")
    colleague = console("finance-2")
    assert views_of(colleague) == []
    assert colleague.post(DELETE, {"name": "Mine"}).status_code == 404
    post(colleague, SAVE, name="Mine", claimed="free")
    assert kept(demo.tenant) == [
        ("finance-1", "Mine", {"claimed": "me"}), ("finance-2", "Mine", {"claimed": "free"})
    ]  # fmt: skip
    make_principal(other_tenant, "stranger", roles=["tenant_admin"])
    stranger = console("stranger")
    assert views_of(stranger) == []
    assert stranger.post(DELETE, {"name": "Mine"}).status_code == 404
    with unit_of_work(other_tenant.id):
        assert SavedView.objects.count() == 0
    assert len(kept(demo.tenant)) == 2


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "", "risk": "flagged"}, {"name": "x" * 61, "risk": "flagged"}, {"name": "a\u202eb", "risk": "flagged"},
        {"name": "a\x00b", "risk": "flagged"}, {"name": "Everything"}, {"name": "Everything", "nonsense": "1"},
    ],
)  # fmt: skip
def test_invalid_views_are_refused(sent: dict[str, str], demo: Demo, console: Console) -> None:
    _, said = post(console("finance-1"), SAVE, **sent)
    assert said[0].endswith("(invalid_request)")
    assert kept(demo.tenant) == []


def test_number_of_views_is_limited(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    for place in range(MOST_VIEWS):
        post(browser, SAVE, name=f"View {place:02}", risk="plain")
    assert "(invalid_request)" in post(browser, SAVE, name="One more", risk="plain")[1][-1]
    assert post(browser, SAVE, name="View 00", risk="flagged")[1][-1] == "View saved as “View 00”."
    assert len(kept(demo.tenant)) == MOST_VIEWS


def test_a_view_with_old_filters_still_opens(demo: Demo, console: Console) -> None:
    step = ask(demo)
    browser = console("finance-1")
    post(browser, SAVE, name="Old", workflow_id="payment_run")
    with unit_of_work(demo.tenant.id):
        SavedView.objects.update(filters={"workflow_id": "payment_run", "colour": "red"})
    ((_, query, _),) = views_of(browser)
    assert shown(browser, query) == [named(step)]


def test_the_buttons_are_post_alone_and_the_name_is_unique(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert [browser.get(address).status_code for address in (SAVE, DELETE)] == [405, 405]
    post(browser, SAVE, name="Mine", claimed="me")
    with unit_of_work(demo.tenant.id):
        member = Membership.objects.get(user__username="finance-1")
        with pytest.raises(IntegrityError, match="savedview_name_once"), transaction.atomic():
            SavedView.objects.create(tenant_id=demo.tenant.id, membership=member, name="Mine")
        member.delete()  # views are deleted with the membership
        assert SavedView.objects.count() == 0
