"""Complete jobs of people, with their numbers of clicks. Typing is not a click, a choice in a list is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.watched import Visitor, opened, signed_in
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import LARGE, Demo
from tests.telemetry.exports.test_evidence import verified
from tests.telemetry.sealed import SealingSetup, newest
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.kernel import clock
from threada_site.tenancy.models import User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

TITLE = "Pay Hooli EUR 20,000.00"
COMMAND = """curl https://rooms.example.com/bookings -H 'Authorization: Bearer of-the-rooms' \\
  -d '{"room": "Blue", "day": "2026-12-01", "notify": true}'"""


def test_a_new_colleague_asks_and_rejects(demo: Demo, chromium: Browser, server: str) -> None:
    demo.join("rita", roles=("client",))
    with unit_of_work(demo.tenant.id):
        set_password(User.objects.get(username="rita"), PASSWORD, ctx=acting_system(demo.tenant))

    steward = signed_in("admin", chromium, server)
    nora = invited(steward, opened(chromium, server, size="narrow", theme="dark"))
    # only grants from before a step is opened let somebody decide it
    item = demo.hand_in(LARGE, by=demo.api("rita"))
    assert demo.execute(item, by=demo.api("rita")).status_code == 202
    demo.wait()
    assert (steward.clicks, nora.clicks) == (5, 3)
    steward.leave()

    nora.clicks = 0
    nora.page.reload()
    nora.click(f"main a:has-text('{TITLE}')")
    nora.click("summary:has-text('Ask the requester')")
    nora.page.get_by_label("Question").fill("Which order is this for?")
    nora.click("button:has-text('Ask question')")
    nora.look("asked", "The deadlines are paused.")

    rita = signed_in("rita", chromium, server, size="narrow", theme="dark")
    rita.look("home", "Waiting for your answer")
    rita.click(f"main a:has-text('{TITLE}')")
    rita.page.get_by_label("Your answer").fill("For order 4711.")
    rita.click("button:has-text('Send answer')")
    rita.look("answered", "For order 4711.")
    assert rita.clicks == 2

    nora.page.reload()
    expect(nora.page.locator("#conversation")).to_contain_text("For order 4711.")
    nora.choose("main [name=reason_code]", "DUPLICATE")
    nora.page.locator("form[action$='/reject/'] [name=comment]").fill("Order 4711 is paid already.")
    nora.click("button:has-text('Reject')")
    nora.look("rejected", "The approval is rejected; the work item is rejected.", with_axe=False)
    assert nora.clicks <= 5

    rita.page.goto("/console/")
    rita.click(f"main a:has-text('{TITLE}')")
    rita.look("end", "It was rejected by nora: DUPLICATE.", with_axe=False)
    rita.leave()
    nora.leave()
    assert [kind for kind in demo.kinds(item) if kind.startswith("question.")] == [
        "question.asked",
        "question.answered",
    ]


def invited(steward: Visitor, guest: Visitor) -> Visitor:
    """Invite nora as an approver of finance. Return her on her dashboard."""
    steward.menu("Members")
    steward.click("main a:has-text('Add a member')")
    steward.fill(name="nora")
    for role in ("approver", "finance"):
        steward.click(f"main [name=roles][value={role}]")
    steward.look("add-member", "Add a member")
    steward.click("button:has-text('Add member')")
    steward.look("invitation-link", "The link is ready")
    link = re.search(r"http\S+/invitations/\S+", steward.page.inner_text("main"))
    assert link
    guest.page.goto(link[0])
    guest.look("invitation", "Invitation to Demo")
    for name in ("new_password", "again"):
        guest.page.fill(f"[name={name}]", PASSWORD)
    guest.click("button:has-text('Accept invitation')")
    guest.look("accepted", "You are now a member of Demo.")
    guest.click("a:has-text('Continue to sign-in')")
    guest.page.fill("[name=username]", "nora")
    guest.page.fill("[name=password]", PASSWORD)
    guest.click("button[type=submit]")
    guest.look("dashboard", "Your pending decisions", with_axe=False)
    return guest


def test_a_process_is_built_without_yaml_and_its_month_is_audited(
    demo: Demo, chromium: Browser, server: str, tmp_path: Path
) -> None:
    admin = signed_in("admin", chromium, server)
    add_integration(admin)
    build_workflow(admin)
    publish_policy(admin)
    admin.menu("Make a request")
    admin.click("a.t-entry:has-text('Room booking')")
    admin.page.fill("[name='p/room']", "Blue")
    admin.page.fill("[name='p/day']", "2026-12-01")
    admin.choose("[name='p/size']", "large")
    admin.look("request-form", "Room booking")
    admin.click("button.t-primary:has-text('Send request')")
    admin.look("request-sent", "Waiting for approval")
    assert admin.clicks <= 25
    expect(admin.page.get_by_role("heading", name="Book Blue")).to_be_visible()

    admin.clicks = 0
    audit_month(admin, demo, SealingSetup(tmp_path / "sealing"), tmp_path)
    assert admin.clicks <= 9
    admin.leave()


def add_integration(admin: Visitor) -> None:
    admin.menu("Integrations")
    admin.click("main a:has-text('From a curl command')")
    admin.fill(command=COMMAND, slug="int_rooms", name="Rooms", action="book", fields_taken="room, day")
    admin.look("from-curl", "Values from the request")
    admin.click("button:has-text('Create integration')")
    admin.look("integration", "The integration int_rooms was created.")
    expect(admin.page.locator("main")).to_contain_text("${item.payload.room}")


def build_workflow(admin: Visitor) -> None:
    admin.menu("Workflows")
    admin.click("main a:has-text('Build a workflow')")
    admin.fill(slug="room_booking", name="Room booking", title="Book ${item.payload.room}")
    admin.choose("[name=request]", "book: Rooms")
    for number, name in enumerate(("room", "day", "size")):
        admin.fill(**{f"rows-{number}-label": name.capitalize(), f"rows-{number}-key": name})
    for number in (0, 1):
        admin.click(f"[name=rows-{number}-is_required]")
    admin.choose("[name=rows-1-type]", "date")
    admin.choose("[name=rows-2-type]", "choice")
    admin.fill(**{"rows-2-choices": "small, large"})
    admin.click("button:has-text('Show form and document')")
    admin.look("workflow-builder", "Form that people fill in")
    admin.click("button:has-text('Create workflow')")
    admin.look("workflow", "None, so everything is denied.")


def publish_policy(admin: Visitor) -> None:
    """Write a policy with the rule template, publish it and bind it to the workflow."""
    admin.click("main a:has-text('New policy')")
    rule = {"fact": "item.payload.size", "value": "large", "reason": "LARGE_ROOM", "id": "large-room"}
    admin.fill(slug="room_rules", **{f"rule-{name}": text for name, text in rule.items()})
    admin.choose("[name=rule-role]", "approver")
    admin.click("button:has-text('Insert rule')")
    admin.look("policy", "Rule large-room was inserted before the first rule.")
    admin.click("button:has-text('Save as draft')")
    admin.click("button:has-text('Publish version 1')")
    admin.page.get_by_label("Reason").fill("Large rooms are rare.")
    admin.look("publish", "No overlay binds the policy")
    admin.click("main button[type=submit]")
    admin.look("published", "Version 1 is in force.")
    admin.click("main a:has-text('New overlay')")
    assert admin.page.input_value("[name=policy]") == "room_rules"
    admin.choose("[name=scope]", "the workflow room_booking")
    admin.look("overlay", "Applies to")
    admin.click("button:has-text('Create overlay')")
    expect(admin.page.get_by_text("The overlay was created.")).to_be_visible()


def audit_month(auditor: Visitor, demo: Demo, sealing: SealingSetup, folder: Path) -> None:
    """Find the receipts of the workflow in this month, export them, and verify the export and one receipt."""
    sealing.seal()
    first = clock.now().date().replace(day=1)
    auditor.menu("Receipts")
    auditor.fill(workflow_id="room_booking", created_after=str(first), created_before=str(clock.now().date()))
    auditor.click("main button:has-text('Apply')")
    auditor.look("receipts", "work_item.created", with_axe=False)
    auditor.click("main a:has-text('Export for verification')")
    auditor.look("new-export", "New export")
    auditor.click("button:has-text('Create export')")
    demo.wait()
    auditor.page.reload()
    sealing.seal()
    auditor.look("export", "threada_verify.py, one file, verifies it offline", with_axe=False)
    with auditor.page.expect_download() as waiting:
        auditor.click("main a:has-text('Download evidence')")
    archive = folder / "evidence.zip"
    waiting.value.save_as(archive)
    status, report = verified(archive, newest(demo.tenant).verifier_keys[0])
    assert (status, report["findings"]) == (0, []), report
    assert report["receipts"] >= 5
    auditor.menu("Receipts")
    auditor.click("main td a >> nth=0")
    auditor.click("button:has-text('Verify hash')")
    auditor.look("receipt", "as recorded", with_axe=False)
