"""The sidebar shows what a person uses daily; everything else is under More."""

from __future__ import annotations

import pytest

from tests.console.sign_in import sign_in
from tests.factories import make_principal
from tests.journeys.demo import Demo
from threada_site.identity.default_roles import DEFAULT_ROLES

OF_ROLE = {
    "approver": {"Dashboard", "Decision desk", "Queue", "Decisions", "Out of office", "More"},
    "auditor": {"Receipts", "Checkpoints", "Exports", "Reports", "Legal holds"},
    "policy_author": {"Policies", "Replays", "Shadows", "Overlays", "Workflows"},
    "operator": {"Executions", "Operations", "Integrations", "Freezes"},
    "tenant_admin": {"Members", "Roles", "Invitations", "Change sets"},
    "integration_manager": {"Integrations", "Secrets"},
}


@pytest.mark.parametrize("role", DEFAULT_ROLES)
def test_each_role_sees_what_it_uses(role: str, demo: Demo) -> None:
    browser = sign_in(make_principal(demo.tenant, f"one-{role.replace('_', '-')}", roles=[role]))
    page = browser.get("/console/", follow=True)
    shown = [str(item["title"]) for group in page.context["sidebar_navigation"] for item in group["items"]]
    assert OF_ROLE.get(role, set()) <= set(shown)
    if role in ("approver", "client", "requester", "viewer"):
        assert len(shown) <= 7
    everything = browser.get("/console/more/")
    assert everything.status_code == 200
    listed = {str(link["title"]) for _, links in everything.context["groups"] for link in links}
    assert {title for title in shown if title != "More"} <= listed
    for group in page.context["sidebar_navigation"]:
        for item in group["items"]:
            assert browser.get(str(item["link"])).status_code == 200, item
