"""Tenant with rows of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.test import override_settings

from tests.contract.world import propose_removal, proposed_permit
from tests.factories import acting, acting_system
from tests.journeys.demo import LARGE, Demo
from tests.telemetry.sealed import sign_in_place
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.access_reviews.reviews import start_review
from threada_site.identity.groups import define_group
from threada_site.identity.passwords import start_reset
from threada_site.identity.providers.configure import upsert_provider
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.deletions.models import TenantDeletion
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import FourEyesRule, IdentityLink, IdentityProvider, Tenant, User
from workitems.models import ProofRun
from workitems.retention.legal_holds import LegalHoldRequest, set_legal_hold
from workitems.retention.rules import parse_retention
from workitems.retention.run import plan_retention
from workitems.retention.upsert_rule import upsert_retention_rule

PROVIDER = {
    "protocol": "oidc",
    "name": "Corp",
    "issuer": "https://id.example.com",
    "client_id": "threada",
    "roles": {"finance-team": ["approver"]},
}
ISSUER = {
    "issuer": "https://token.actions.githubusercontent.com",
    "mappings": [{"when": "claims.repository == 'acme/payments'", "principal": "deployer", "scopes": []}],
}


@dataclass(frozen=True)
class Busy:
    """Ids of an item whose payment is pending for finance, its step and its execution."""

    item: str
    step: str
    execution: str
    envelope_sha256: str


def add_identity_documents(tenant: Tenant) -> None:
    """Add an identity provider with one person, and a trusted issuer."""
    ctx = acting_system(tenant)
    upsert_provider("corp", PROVIDER, ctx=ctx)
    IdentityLink.objects.create(
        tenant_id=tenant.id,
        provider=IdentityProvider.objects.get(tenant_id=tenant.id, slug="corp"),
        user=User.objects.get(username="finance-1"),
        issuer=PROVIDER["issuer"],
        subject="0a1b7c",
    )
    with override_settings(THREADA_PUBLIC_URL="https://threada.example"):
        upsert_trusted_issuer("github", parse_trusted_issuer(ISSUER), ctx=ctx)


def busy_tenant(demo: Demo) -> Busy:
    """Add a large payment that needs two people of finance, a group, an export and a replay to the demo tenant."""
    held = [{"kind": "Channel", "id": "packed"}]
    pack = {"kind": "Pack", "id": "desk", "spec": {"version": "1", "documents": held}}
    assert demo.client.post("/packs", {"document": pack}).status_code == 201
    item = demo.hand_in(LARGE)
    demo.wait()
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    demo.wait()
    with unit_of_work(demo.tenant.id):
        FourEyesRule.objects.get_or_create(tenant_id=demo.tenant.id, slug=POLICY_FOUR_EYES)
        upsert_retention_rule("all", parse_retention({"keep_payload": "P90D"}), ctx=acting_system(demo.tenant))
        plan_retention(now=clock.now(), ctx=acting_system(demo.tenant))
        set_legal_hold(
            LegalHoldRequest(reason="The auditor asked.", workflow="payment_run"), ctx=acting_system(demo.tenant)
        )
        add_identity_documents(demo.tenant)
        define_group("board", ["finance-1", "finance-2"], ctx=acting_system(demo.tenant))
        start_reset(User.objects.get(username="security-1"), ctx=acting_system(demo.tenant))
    proposed_permit(demo.tenant, step["decision_step_id"])
    ends_at = rfc3339(clock.now() + timedelta(days=1))
    demo.client.post("/telemetry/exports", {})
    demo.api("security-1").post("/delegations", {"delegate": "finance-2", "ends_at": ends_at, "reason": "Away"})
    demo.client.post("/telemetry/deliveries", {"delivery_id": "archive", "target": "file"})
    demo.api("admin").post("/policies/payments/versions/1/replay", {"against": "recorded"})
    demo.api("admin").post("/policies/payments/versions/1/shadow", {"ends_at": ends_at})
    secret = {"secret_id": "bank-token", "value": "s", "origins": ["https://127.0.0.1"]}
    assert demo.api("admin").post("/secrets", secret).status_code == 201
    stopped = demo.api("admin").post("/freezes", {"scope": {}, "reason": "A drill."}).json()["freeze_id"]
    assert demo.api("admin").post(f"/freezes/{stopped}/lift", {}).status_code == 200
    demo.wait()
    (overlay, *_) = demo.api("admin").get("/overlays").json()["data"]
    proposed = propose_removal(demo.tenant, overlay["overlay_id"])
    with unit_of_work(demo.tenant.id):
        admin = User.objects.get(username="admin")
        start_review(ctx=acting(demo.tenant, admin))
        TenantDeletion.objects.create(
            tenant_id=demo.tenant.id,
            change_set_id=ids.parse_public_id(ids.CHANGE_SET, proposed),
            requested_by=admin.id,
            confirmed_by=admin.id,
            due_at=clock.now(),
            withdrawn_at=clock.now(),
        )
        ProofRun.objects.create(tenant_id=demo.tenant.id, status="passed", document={"holds": True, "checks": []})
    sign_in_place(demo.tenant)
    return Busy(item, step["decision_step_id"], execution, step["envelope_sha256"])
