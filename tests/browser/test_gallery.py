"""A steward installs a pack, sends its sample request, two people approve it, and everybody sees that it is simulated."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system, make_principal
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password

pytestmark = pytest.mark.browser


def test_pack_from_the_gallery_to_the_simulated_effect(demo: Demo, page: Watched) -> None:
    page.sign_in("admin", PASSWORD)
    page.page.goto("/console/policies/pack/")
    page.page.get_by_role("link", name="Open the gallery").click()
    assert not page.overflows()
    page.page.get_by_role("link", name="Production deployment").click()
    assert not page.overflows()
    page.page.get_by_role("button", name="Install pack").click()
    expect(page.page.get_by_text("The pack Production deployment is installed.")).to_be_visible()
    assert not page.overflows()
    people = [make_principal(demo.tenant, f"release-{n}", roles=["approver", "release_manager"]) for n in (1, 2)]
    with unit_of_work(demo.tenant.id):
        for person in people:
            set_password(person, PASSWORD, ctx=acting_system(demo.tenant))
    page.page.get_by_role("button", name="Try it: A database migration").click()
    expect(page.page.get_by_text("The sample request was sent.")).to_be_visible()
    expect(page.page.get_by_text("simulated: nothing is sent").first).to_be_visible()
    item = page.page.url
    page.sign_out()
    for person in people:
        page.sign_in(person.username, PASSWORD)
        page.page.goto(item)
        page.page.get_by_role("link", name="Open decision").click()
        expect(page.page.get_by_text("Simulated: nothing is sent if you approve.")).to_be_visible()
        page.page.get_by_role("button", name="Approve").click()
        expect(page.page.get_by_text(re.compile("Your approval is recorded|The approval is approved"))).to_be_visible()
        page.sign_out()
    run_jobs()
    page.sign_in("admin", PASSWORD)
    page.page.goto(item)
    expect(page.page.get_by_text("deploy on int_deployer was simulated: nothing was sent.")).to_be_visible()
    page.page.get_by_role("link", name="deploy on int_deployer").click()
    expect(page.page.get_by_text("Simulated: nothing was sent. The answer comes from")).to_be_visible()
    assert not page.overflows()
