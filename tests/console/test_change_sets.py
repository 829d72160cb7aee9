"""Console pages of change sets, and buttons and forms that propose instead of changing."""

from __future__ import annotations

import re

import pytest

from tests.console.sign_in import Console, confirm
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admin import shown_change
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES

LIST = "/console/tenancy/changeset/"


@pytest.fixture
def console(stepped_up: Console) -> Console:
    """Return a factory of signed-in clients: nobody publishes a change set without a step-up."""
    return stepped_up


def require_four_eyes(demo: Demo) -> None:
    make_principal(demo.tenant, "second-admin", roles=["tenant_admin"])
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(demo.tenant))


def test_a_button_proposes_and_another_person_publishes(demo: Demo, console: Console) -> None:
    require_four_eyes(demo)
    admin, second = console("admin"), console("second-admin")
    overlays = admin.get("/console/policies/overlay/").content.decode()
    (page, *_) = re.findall(r'href="(/console/policies/overlay/ov_\w+)/"', overlays)
    answer = confirm(admin, f"{page}/remove/", follow=True).content.decode()
    assert "A second person must publish this change: " in answer
    assert admin.get(f"{page}/").status_code == 200
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    own = admin.get(f"{address}/").content.decode()
    assert "You have a part in this change" in own
    assert "Withdraw change set" in own
    assert "change set waits" not in admin.get("/console/").content.decode()
    assert "1 change set waits for a second person." in second.get("/console/").content.decode()
    assert "Remove the overlay of" in second.get(LIST).content.decode()
    shown = second.get(f"{address}/").content.decode()
    (digest,) = re.findall(r'name="digest" value="(\w{64})"', shown)
    refused = confirm(admin, f"{address}/publish/", {"digest": digest}, follow=True).content.decode()
    assert "second_person_required" in refused
    assert "change_set_stale" in confirm(second, f"{address}/publish/", {"digest": ""}, follow=True).content.decode()
    published = confirm(second, f"{address}/publish/", {"digest": digest}, follow=True).content.decode()
    assert "Published: Remove the overlay of" in published
    assert admin.get(f"{page}/").status_code == 404


def test_a_form_proposes_and_another_person_rejects(demo: Demo, console: Console) -> None:
    require_four_eyes(demo)
    admin, second = console("admin"), console("second-admin")
    sent = {
        "policy": "policy_review_rules",
        "scope": "channel/agent_desk",
        "starts_at": "",
        "ends_at": "2030-01-01T00:00:00Z",
    }
    answer = admin.post("/console/policies/overlay/new/", sent, follow=True).content.decode()
    assert "A second person must publish this change: " in answer
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    rejected = confirm(second, f"{address}/reject/", {"given_reason": "Too wide."}, follow=True).content.decode()
    assert "Rejected: Bind policy_review_rules to channel agent_desk." in rejected
    assert "Too wide." in rejected


def test_a_viewer_sees_no_change_sets_of_others(demo: Demo, console: Console) -> None:
    require_four_eyes(demo)
    make_principal(demo.tenant, "vera", roles=["viewer"])
    admin = console("admin")
    overlays = admin.get("/console/policies/overlay/").content.decode()
    (page, *_) = re.findall(r'href="(/console/policies/overlay/ov_\w+)/"', overlays)
    answer = confirm(admin, f"{page}/remove/", follow=True).content.decode()
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    assert console("vera").get(f"{address}/").status_code == 404


def test_a_change_set_shows_names_and_links_instead_of_raw_json(demo: Demo, console: Console) -> None:
    require_four_eyes(demo)
    admin, second = console("admin"), console("second-admin")
    sent = {"slug": "treasury", "name": "Treasury", "members": "finance-1"}
    answer = admin.post("/console/tenancy/peoplegroup/new/", sent, follow=True).content.decode()
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    shown = second.get(f"{address}/").content.decode()
    difference = shown[shown.index("<h2>Difference") : shown.index("<h2>Input")]
    assert "finance-1" in difference
    assert "pr_" not in difference
    assert "Open the group" not in shown, "it does not exist yet"
    assert "admin" in re.findall(r'data-title="Proposed by"><div>([^<]*)', second.get(LIST).content.decode())
    published = confirm(second, f"{address}/publish/", {"digest": _digest(shown)}, follow=True).content.decode()
    assert "Open the group" in published
    items = {"items": "Initech\nHydra"}
    answer = confirm(
        admin, "/console/policies/list/sanctioned_vendors/change-items/", items, follow=True
    ).content.decode()
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    shown = second.get(f"{address}/").content.decode()
    assert "replay" not in shown[shown.index("<h2>Difference") : shown.index("<h2>Input")]


def test_a_change_that_the_page_cannot_show_whole_is_not_published_there(
    demo: Demo, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_four_eyes(demo)
    admin, second = console("admin"), console("second-admin")
    items = {"items": "\n".join(f"Vendor {number}" for number in range(12))}
    page = "/console/policies/list/sanctioned_vendors/change-items/"
    answer = confirm(admin, page, items, follow=True).content.decode()
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    digest = _digest(second.get(f"{address}/").content.decode())
    monkeypatch.setattr(shown_change, "LINES_SHOWN", 5)
    shown = second.get(f"{address}/").content.decode()
    assert re.search(r"leaves out \d+ lines", shown)
    assert "/change-sets/chg_" in shown
    assert 'name="digest"' not in shown
    refused = confirm(second, f"{address}/publish/", {"digest": digest}, follow=True).content.decode()
    assert "Published:" not in refused
    assert "leaves out" in refused
    assert "proposed" in second.get(f"{address}/").content.decode()


def test_the_publisher_of_an_invitation_finds_its_link(demo: Demo, console: Console) -> None:
    require_four_eyes(demo)
    admin, second = console("admin"), console("second-admin")
    sent = {"name": "hugo", "kind": "human", "roles": ["approver"]}
    answer = admin.post("/console/tenancy/membership/new/", sent, follow=True).content.decode()
    (address,) = set(re.findall(rf'href="({LIST}chg_\w+)/"', answer))
    shown = second.get(f"{address}/").content.decode()
    published = confirm(second, f"{address}/publish/", {"digest": _digest(shown)}, follow=True).content.decode()
    (member,) = re.findall(r't-primary" href="(/console/tenancy/membership/al_\w+/)"', published)
    assert "One-time link" not in admin.get(f"{address}/").content.decode()
    assert "show-invitation-link" not in admin.get(f"{member}").content.decode()
    assert admin.post(f"{member}show-invitation-link/").status_code == 404
    assert "show-invitation-link" in second.get(f"{member}").content.decode()
    assert "/console/invitations/" in second.post(f"{member}show-invitation-link/").content.decode()
    assert "One-time link" not in second.get(f"{address}/").content.decode()


def _digest(page: str) -> str:
    (digest,) = re.findall(r'name="digest" value="(\w{64})"', page)
    return digest
