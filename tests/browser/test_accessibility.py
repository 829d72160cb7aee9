"""Accessibility: axe-core finds no serious problems on the pages of decisions, in both themes and sizes.

With `THREADA_PICTURES=<folder>` each page is also written there as a PNG.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from pytest_django import Settings

from integrations.freezes.scope import FreezeScope
from telemetry.models import Checkpoint, Delivery, Receipt
from tests.browser.scene import Scene, morning
from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from tests.telemetry.sealed import sign_in_place
from tests.telemetry.summary.test_summarize import counted
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.configure import upsert_provider
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import clock
from threada_site.tenancy.models import IdentityLink, IdentityProvider, User
from workitems.executions.freezes import set_freeze
from workitems.retention.legal_holds import LegalHoldRequest, set_legal_hold
from workitems.retention.rules import parse_retention
from workitems.retention.run import plan_retention
from workitems.retention.upsert_rule import upsert_retention_rule

pytestmark = pytest.mark.browser

ACTIVE_IS_VISIBLE = """() => {
  const list = document.getElementById("nav-sidebar-apps"), active = list.querySelector("a.active");
  const frame = list.getBoundingClientRect(), entry = active.getBoundingClientRect();
  return entry.top >= frame.top && entry.bottom <= frame.bottom;
}"""
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
PROVIDER: dict[str, Any] = {
    "protocol": "oidc",
    "name": "Corp",
    "issuer": "https://id.example.com",
    "client_id": "threada",
    "roles": {"finance-team": ["approver", "finance"], "platform-engineering-oncall": ["operator"]},
    "domains": ["example.com", "corp.example.org"],
    "create_accounts": True,
    "max_age": 3600,
}
ISSUER: dict[str, Any] = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "https://threada.example/demo",
    "mappings": [
        {
            "when": 'claims.repository == "acme/payments" && claims.ref == "refs/heads/main"',
            "principal": "deployer",
            "scopes": ["workitems:read", "workitems:write"],
            "lifetime_minutes": 10,
        },
        {
            "when": 'claims.repository == "acme/reports"',
            "principal": "reporter",
            "scopes": ["workitems:write"],
            "roles": ["requester"],
            "create": {"kind": "agent", "owner": "finance-1"},
        },
        {"when": 'claims.repository == "acme/infra"', "principal_from": "claims.actor", "scopes": []},
    ],
}
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 360, "height": 740}}


@pytest.fixture(params=[(theme, size) for theme in ("light", "dark") for size in SIZES], ids="-".join)
def themed(request: pytest.FixtureRequest, chromium: Browser, server: str) -> Iterator[tuple[Watched, str]]:
    """Yield a page in one theme and size, and the name of the combination."""
    theme, size = request.param
    context = chromium.new_context(
        viewport=SIZES[size], base_url=server, color_scheme=theme, timezone_id="Europe/Berlin"
    )
    watched = Watched(context.new_page())
    yield watched, f"{theme}-{size}"
    context.close()
    assert watched.complaints == []


def pages(scene: Scene) -> dict[str, str]:
    step = "/console/workitems/decisionstep/"
    chosen = "&".join(f"step={step_id}:{'0' * 64}" for step_id in scene.plain[:3])
    return {
        "dashboard": "/console/",
        "desk": f"{step}desk/",
        "view": f"{step}desk/?due=week&risk=flagged",
        "decision": f"{step}{scene.changed}/",
        "hidden": f"{step}{scene.hidden}/",
        "batch": f"{step}batch/?{chosen}",
        "changing": f"{step}{scene.changed}/change-input/",
        "reassign": f"{step}{scene.plain[0]}/reassign/",
        "escalate": f"{step}{scene.plain[0]}/escalate/",
        "item": f"/console/workitems/workitem/{scene.item}/",
        "queue": "/console/workitems/workitem/",
        "out_of_office": "/console/workitems/delegation/",
        "out_of_office_form": "/console/workitems/delegation/new/",
        "zone": "/console/time-zone/",
        "security_history": "/console/security-history/",
        "sessions": "/console/sessions/",
        "mail_address": "/console/mail-address/",
        "leave": "/console/leave/",
    }


def serious(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{entry['id']} ({entry['impact']}): {entry['help']}: {[node['html'][:200] for node in entry['nodes'][:3]]}"
        for entry in violations
        if entry["impact"] in ("serious", "critical")
    ]


def test_nothing_serious_is_wrong(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, look = themed
    scene = morning(demo)
    watched.sign_in("finance-1", PASSWORD)
    assert look_over(watched, pages(scene), look) == {}


def test_nothing_serious_is_wrong_with_figures_of_people(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, look = themed
    scene = morning(demo)
    for step in scene.plain:
        demo.vote("finance-1", demo.step_of_id(step))
    client, scout = (User.objects.get(username=name) for name in ("demo-client", "scout"))
    with unit_of_work(demo.tenant.id):
        set_freeze(FreezeScope(principal="scout"), reason="It votes on its own.", ctx=acting_system(demo.tenant))
    watched.sign_in("admin", PASSWORD)
    shown = {
        "decision_statistics": "/console/workitems/decisionstep/attention/",
        "agents": "/console/agents/",
        "agent": f"/console/agents/{client.public_id}/",
        "frozen_agent": f"/console/agents/{scout.public_id}/",
    }
    assert look_over(watched, shown, look) == {}


def test_nothing_serious_is_wrong_with_what_is_kept_and_proven(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, look = themed
    morning(demo)
    ctx = acting_system(demo.tenant)
    with unit_of_work(demo.tenant.id):
        upsert_retention_rule("all", parse_retention({"keep_payload": "P90D", "then": "archive"}), ctx=ctx)
        run = plan_retention(now=clock.now(), ctx=ctx)
        set_legal_hold(LegalHoldRequest(reason="The auditor asked for it.", workflow="vendor_security_review"), ctx=ctx)
        receipt = Receipt.objects.latest("id")
        Delivery.objects.create(
            tenant_id=demo.tenant.id,
            slug="siem",
            target="otlp",
            url="https://collector.observability.example.org/otlp/v1/logs",
            secret={"stored": "collector"},
            headers={"X-Scope-OrgID": "acme", "Authorization": "Basic ${secret}"},
            failure="records_rejected",
            detail="entries older than seven days are not taken",
            rejected=12,
        )
    counted(demo.tenant, batch=500)
    sign_in_place(demo.tenant)
    with unit_of_work(demo.tenant.id):
        checkpoint = Checkpoint.objects.latest("id")
    watched.sign_in("admin", PASSWORD)
    kept = {
        "summary": "/console/summary/",
        "usage": "/console/usage/",
        "retention": "/console/workitems/retentionrun/",
        "run": f"/console/workitems/retentionrun/{run.public_id}/",
        "holds": "/console/workitems/legalhold/",
        "receipts": "/console/telemetry/receipt/",
        "receipt": f"/console/telemetry/receipt/{receipt.public_id}/",
        "checkpoints": "/console/telemetry/checkpoint/",
        "checkpoint": f"/console/telemetry/checkpoint/{checkpoint.public_id}/",
        "instance-log": "/console/telemetry/checkpoint/instance/",
        "exports": "/console/telemetry/telemetryexport/",
        "deliveries": "/console/telemetry/delivery/",
        "delivery": "/console/telemetry/delivery/siem/",
    }
    assert look_over(watched, kept, look) == {}


def test_nothing_serious_is_wrong_with_who_signs_in(
    demo: Demo, themed: tuple[Watched, str], settings: Settings
) -> None:
    watched, look = themed
    settings.THREADA_WORKLOAD_AUDIENCES = ["demo=https://threada.example/demo"]
    ctx = acting_system(demo.tenant)
    demo.join("deployer", kind="service", roles=("requester",))
    with unit_of_work(demo.tenant.id):
        upsert_provider("corp", PROVIDER, ctx=ctx)
        upsert_provider("corp", {**PROVIDER, "issuer": "https://id.corp.example.com/tenants/8f3a"}, ctx=ctx)
        upsert_trusted_issuer("github", parse_trusted_issuer(ISSUER), ctx=ctx)
        for place, (name, subject) in enumerate({"finance-1": "0a1b7c", "finance-2": "44f0e2"}.items()):
            IdentityLink.objects.create(
                tenant_id=demo.tenant.id,
                provider=IdentityProvider.objects.get(),
                user=User.objects.get(username=name),
                issuer="https://id.example.com",
                subject=subject,
                suspended_at=clock.now() if place else None,
            )
    watched.sign_in("admin", PASSWORD)
    shown = {
        "providers": "/console/tenancy/identityprovider/",
        "provider": "/console/tenancy/identityprovider/corp/",
        "provider_form": "/console/tenancy/identityprovider/corp/new-version/",
        "provider_document": "/console/tenancy/identityprovider/corp/edit-document/",
        "provider_links": "/console/tenancy/identityprovider/corp/confirm-links/",
        "provider_withdrawal": "/console/tenancy/identityprovider/corp/withdraw/",
        "issuers": "/console/tenancy/trustedissuer/",
        "issuer": "/console/tenancy/trustedissuer/github/",
        "issuer_form": "/console/tenancy/trustedissuer/new/",
    }
    assert look_over(watched, shown, look) == {}
    assert watched.page.evaluate(ACTIVE_IS_VISIBLE)


def look_over(watched: Watched, addresses: dict[str, str], look: str) -> dict[str, list[str]]:
    """Return the serious problems of each page."""
    pictures = os.environ.get("THREADA_PICTURES")
    found: dict[str, list[str]] = {}
    for name, address in addresses.items():
        watched.page.goto(address)
        is_dark = watched.page.evaluate("document.documentElement.classList.contains('dark')")
        assert is_dark == look.startswith("dark"), name
        assert not watched.overflows(), name
        if pictures:
            watched.page.screenshot(path=Path(pictures) / f"{name}-{look}.png", full_page=True)
        problems = serious(Axe().run(watched.page, options=RULES).response["violations"])
        if problems:
            found[name] = problems
    return found


def test_what_is_wrong_would_be_found(demo: Demo, chromium: Browser, server: str) -> None:
    """Check that the search above finds problems at all."""
    page = chromium.new_context(base_url=server).new_page()
    page.goto("/console/login/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<input type=text><img src=data:,>')")
    found = {problem.split(" ")[0] for problem in serious(Axe().run(page, options=RULES).response["violations"])}
    assert {"label", "image-alt"} <= found
    page.context.close()
