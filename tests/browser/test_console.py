"""A person signs in, opens the queue, decides, and sees the result."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.watched import Watched
from tests.console.busy import busy_tenant
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser

PAGES = [
    "/console/workitems/workitem/", "/console/workitems/decisionstep/", "/console/integrations/execution/",
    "/console/policies/policy/", "/console/policies/overlay/", "/console/policies/overlay/effective/", "/console/policies/pack/", "/console/policies/policyreplay/", "/console/policies/policyshadow/", "/console/policies/workflow/",
    "/console/policies/channel/", "/console/policies/list/", "/console/integrations/integration/",
    "/console/telemetry/receipt/", "/console/telemetry/checkpoint/", "/console/telemetry/checkpoint/instance/", "/console/telemetry/telemetryexport/", "/console/telemetry/delivery/", "/console/workitems/noticemessage/",
    "/console/workitems/decisionstep/attention/",
    "/console/tenancy/membership/",
    "/console/tenancy/role/", "/console/tenancy/credential/", "/console/tenancy/personaltoken/", "/console/tenancy/accountlink/",
]  # fmt: skip


def test_two_people_approve_a_payment(demo: Demo, page: Watched) -> None:
    busy = busy_tenant(demo)
    page.sign_in("finance-1", PASSWORD)
    waiting = page.page.get_by_role("link", name=demo.item(busy.item)["title"]).first
    expect(waiting).to_be_visible()
    page.page.goto("/console/workitems/workitem/")
    page.page.get_by_role("link", name=busy.item).click()
    expect(page.page.get_by_text("0 of 2 votes given.")).to_be_visible()
    page.page.get_by_role("link", name="Open decision").click()
    expect(page.page.get_by_text(busy.envelope_sha256).first).to_be_visible()
    page.page.get_by_text("exact bytes").click()
    expect(page.page.locator("pre.t-bytes")).to_contain_text('"format":"threada-envelope/3"')
    page.page.get_by_label("Comment (optional)").first.fill("Matches the contract.")
    page.page.get_by_role("button", name="Approve").click()
    expect(page.page.get_by_text("Your approval is recorded. Other votes are still needed.")).to_be_visible()
    expect(page.page.get_by_role("button", name="Approve")).to_have_count(0)
    page.sign_out()

    page.sign_in("finance-2", PASSWORD)
    waiting.click()
    expect(page.page.get_by_text("Matches the contract.")).to_be_visible()
    page.page.get_by_role("button", name="Approve").click()
    expect(page.page.get_by_text("The approval is approved; the work item is executing.")).to_be_visible()
    assert demo.item(busy.item)["status"] == "executing"
    assert [vote["voter_kind"] for vote in demo.client.get(f"/decision-steps/{busy.step}").json()["votes"]] == [
        "human",
        "human",
    ]


def test_rejecting_asks_for_a_reason(demo: Demo, page: Watched) -> None:
    busy = busy_tenant(demo)
    page.sign_in("finance-1", PASSWORD)
    page.page.goto(f"/console/workitems/decisionstep/{busy.step}/")
    page.page.get_by_role("button", name="Reject").click()
    assert demo.item(busy.item)["status"] == "awaiting_approval"  # the browser requires the reason first
    page.page.get_by_label("Reason").select_option("WRONG_VENDOR")
    page.page.get_by_role("button", name="Reject").click()
    expect(page.page.get_by_text("the work item is rejected.")).to_be_visible()
    assert demo.item(busy.item)["status"] == "rejected"


def test_every_page_is_clean(demo: Demo, page: Watched) -> None:
    """Check every list and one row of each for errors, policy violations and overflow."""
    busy_tenant(demo)
    page.sign_in("admin", PASSWORD)
    for address in PAGES:
        page.page.goto(address)
        assert not page.overflows(), address
        row = page.page.locator("table.t-table tbody a").first
        if row.count():
            row.click()
            expect(page.page.locator(".t-crumbs")).to_be_visible()
            assert not page.overflows(), page.page.url
    page.page.goto("/console/policies/policy/new/")
    page.page.goto("/console/tenancy/credential/issue/")
