"""Two tenants with one object of every kind, and credentials with every kind of missing permission in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import override_settings

from policies.configuration.lists import upsert_list
from policies.documents.list import parse_list
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_tenant, make_token
from tests.jobs import run_jobs
from tests.step_up import people_stepped_up
from tests.threada_site.identity.trusted_issuers.issuer import offline_spec
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.access_reviews.reviews import start_review
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.credentials import revoke_credential
from threada_site.identity.grants.role_grants import withdraw_role
from threada_site.kernel import clock, ids, tokens
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ALL_SCOPES, Scope, with_implied
from threada_site.tenancy.change_sets import ProposedChange
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import Credential, Tenant
from workitems.models import DecisionStep, Permit
from workitems.permits.terms import Terms

MAY_GROW: Final = frozenset(
    {
        "telemetry_receipt",
        "telemetry_sealqueueentry",
        "api_idempotencyrecord",
        "tenancy_ratebucket",
        "tenancy_raterefusals",
        "telemetry_refusalcount",
    }
)
"""Tables that a refusal may write: its own receipt or count, its answer under an idempotency key, and rate limits."""
_DIGEST: Final = """(SELECT (count(*), sum(hashtext({row})::bigint))::text FROM "{table}" t)"""
_FUNCTION: Final = (
    "CREATE FUNCTION {name}() RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RETURN ARRAY[{digests}]; END $$"
)
_NAME: Final = "digests_of_all_tables"
_ROW: Final = {"tenancy_credential": "(to_jsonb(t) - 'last_used_at')::text"}
_RULES: Final = {
    "rules": [
        {
            "id": "ask",
            "when": "ctx.action == 'request_approval'",
            "effect": "require_approval",
            "reason": "ASK",
            "approvals": {"role": "approver"},
        },
        {"id": "rest", "when": "true", "effect": "allow", "reason": "REST"},
    ]
}
_WORKFLOW_ACTIONS: Final = {"request_approval": {"question": "Should it go ahead?"}, "close": {}}


@dataclass(frozen=True)
class Stock:
    """Tenant with an object for every path variable."""

    tenant: Tenant
    admin: Api
    ids: dict[str, str]


def stock(slug: str) -> Stock:
    """Create a tenant whose administrator creates one object of every kind by the API. Slugs have a prefix."""
    tenant = make_tenant(slug)
    steward = make_principal(tenant, f"{slug}-admin", roles=("tenant_admin",))
    admin = Api(make_token(tenant, steward))
    flow, channel, policy, system = (f"{slug}-{name}" for name in ("flow", "channel", "policy", "system"))
    made(admin.post("/channels", {"channel_id": channel}))
    with unit_of_work(tenant.id):
        upsert_list(f"{slug}-list", parse_list({"items": [slug]}), ctx=acting_system(tenant))
    made(
        admin.post(
            "/integrations", {"integration_id": system, "spec": {"connector": "workflow", "actions": _WORKFLOW_ACTIONS}}
        )
    )
    test = made(admin.post(f"/integrations/{system}/test", {}))
    made(admin.post("/workflows", {"workflow_id": flow, "spec": {"actions": ["request_approval", "close"]}}))
    version = made(admin.post("/policies", {"policy_id": policy, "document": _RULES}))["policy_version_id"]
    made(admin.post(f"/policies/{policy}/versions/{version}/publish", {}))
    replay = made(admin.post(f"/policies/{policy}/versions/{version}/replay", {}))["policy_replay_id"]
    tomorrow = {"ends_at": rfc3339(clock.now() + timedelta(days=1))}
    shadow = made(admin.post(f"/policies/{policy}/versions/{version}/shadow", tomorrow))["policy_shadow_id"]
    overlay = made(admin.post("/overlays", {"policy_id": policy, "scope": {"workflow": flow}}))["overlay_id"]
    item = made(admin.post("/work-items", {"workflow_id": flow, "channel_id": channel, "payload": {"of": slug}}))
    action = {"work_item_id": item["work_item_id"], "action_id": "request_approval", "integration_id": system}
    started = made(admin.post("/actions/execute", action))
    run_jobs()
    execution = made(admin.get(f"/executions/{started['execution_id']}"))
    (receipt, *_) = made(admin.get(f"/work-items/{item['work_item_id']}/timeline"))["data"]
    held = [{"kind": "Channel", "id": f"{slug}-packed"}]
    pack = {"kind": "Pack", "id": f"{slug}-pack", "spec": {"version": "1", "documents": held}}
    made(admin.post("/packs", {"document": pack}))
    frozen = {"scope": {"integration": system, "action": "close"}, "reason": "A test."}
    freeze = made(admin.post("/freezes", frozen))
    export = made(admin.post("/telemetry/exports", {}))
    delivery = made(admin.post("/telemetry/deliveries", {"delivery_id": f"{slug}-archive", "target": "file"}))
    secret = made(
        admin.post("/secrets", {"secret_id": f"{slug}-token", "value": "s", "origins": ["https://bank.example"]})
    )
    signs_in = {"protocol": "oidc", "name": slug, "issuer": "https://id.example", "client_id": "threada"}
    trusted = {**offline_spec(), "issuer": f"https://{slug}.example"}
    with override_settings(THREADA_PUBLIC_URL="https://threada.example"), people_stepped_up():
        made(admin.post("/identity-providers", {"identity_provider_id": f"{slug}-login", "spec": signs_in}))
        made(admin.post("/trusted-issuers", {"trusted_issuer_id": f"{slug}-ci", "spec": trusted}))
    made(admin.post("/roles", {"role_id": f"{slug}-role", "spec": {"scopes": ["workitems:read"]}}))
    made(admin.post("/groups", {"group_id": f"{slug}-group", "spec": {"members": [f"{slug}-admin"]}}))
    made(admin.post("/retention", {"retention_rule_id": f"{slug}-rule", "spec": {"keep_payload": "P90D"}}))
    run = made(admin.post("/retention-runs", {}))
    with unit_of_work(tenant.id):
        review = start_review(ctx=acting(tenant, steward))
    (reviewed,) = made(admin.get(f"/access-reviews/{review.public_id}/entries"))["data"]
    proof = made(admin.post("/proofs", {}))
    hold = made(admin.post("/legal-holds", {"reason": "A test.", "workflow_id": flow}))
    made(admin.post("/principals", {"principal": f"{slug}-service", "kind": "service", "roles": ["viewer"]}))
    asked = {"principal": f"{slug}-service", "scopes": ["workitems:read"], "expires_in_days": 1}
    credential = made(admin.post("/credentials", asked))
    (integration_version,) = made(admin.get(f"/integrations/{system}/versions"))["data"]
    deputy = Api(make_token(tenant, make_principal(tenant, f"{slug}-deputy", roles=("approver",))))
    attachment = upload(admin)
    comment = made(admin.post(f"/work-items/{item['work_item_id']}/comments", {"text": "Fine."}))
    question = made(deputy.post(f"/work-items/{item['work_item_id']}/questions", {"text": "Why?"}))
    away = {"delegate": f"{slug}-deputy", "ends_at": rfc3339(clock.now() + timedelta(days=1))}
    delegation = made(admin.post("/delegations", away))
    return Stock(
        tenant,
        admin,
        {
            "change_set_id": propose_removal(tenant, overlay),
            "work_item_id": item["work_item_id"],
            "attachment_id": attachment["attachment_id"],
            "comment_id": comment["comment_id"],
            "question_id": question["question_id"],
            "decision_step_id": started["decision_steps"][0]["decision_step_id"],
            "execution_id": execution["execution_id"],
            "permit_id": proposed_permit(tenant, started["decision_steps"][0]["decision_step_id"]),
            "policy_decision_id": execution["policy_decision_id"],
            "policy_replay_id": replay,
            "policy_shadow_id": shadow,
            "overlay_id": overlay,
            "receipt_id": receipt["receipt_id"],
            "freeze_id": freeze["freeze_id"],
            "export_id": export["export_id"],
            "delivery_id": delivery["delivery_id"],
            "secret_id": secret["secret_id"],
            "identity_provider_id": f"{slug}-login",
            "trusted_issuer_id": f"{slug}-ci",
            "delegation_id": delegation["delegation_id"],
            "principal": f"{slug}-deputy",
            "role_id": f"{slug}-role",
            "group_id": f"{slug}-group",
            "retention_rule_id": f"{slug}-rule",
            "retention_run_id": run["retention_run_id"],
            "access_review_id": review.public_id,
            "access_review_entry_id": reviewed["access_review_entry_id"],
            "proof_id": proof["proof_id"],
            "legal_hold_id": hold["legal_hold_id"],
            "credential_id": credential["credential_id"],
            "workflow_version": item["workflow_version_id"],
            "integration_version": integration_version["integration_version_id"],
            "workflow_id": flow,
            "channel_id": channel,
            "list_id": f"{slug}-list",
            "pack_id": f"{slug}-pack",
            "policy_id": policy,
            "version": version,
            "integration_id": system,
            "integration_test_id": test["integration_test_id"],
        },
    )


def propose_removal(tenant: Tenant, overlay_id: str) -> str:
    """Propose the removal of an overlay as the operator. Return the public id of the change set."""
    change = ProposedChange(
        rule=POLICY_FOUR_EYES,
        operation="overlay.remove",
        title="Remove an overlay",
        arguments={"overlay_id": str(ids.parse_public_id(ids.OVERLAY, overlay_id))},
    )
    with unit_of_work(tenant.id):
        return propose(change, ctx=acting_system(tenant)).public_id


def proposed_permit(tenant: Tenant, decision_step_id: str) -> str:
    """Store a proposed permit of a step. Return its public id."""
    with unit_of_work(tenant.id):
        step = DecisionStep.objects.select_related("execution", "work_item__workflow_version").get(
            id=ids.parse_public_id(ids.DECISION_STEP, decision_step_id)
        )
        assert step.execution is not None
        terms = Terms(
            workflow=step.workflow,
            integration=step.execution.integration,
            integration_version=ids.public_id(ids.INTEGRATION_VERSION, step.execution.integration_version_id),
            action=step.execution.action,
            step=step.public_id,
            rules=(("policy", "ask"),),
            ends_at=step.opened_at.replace(microsecond=0) + timedelta(days=1),
            max_count=3,
            principals=(ids.public_id(ids.PRINCIPAL, step.execution.requested_by),),
        )
        return Permit.objects.create(
            tenant=tenant,
            workflow=terms.workflow,
            workflow_id=step.work_item.workflow_version.workflow_id,
            integration=terms.integration,
            action=terms.action,
            step_id=step.id,
            work_item_id=step.work_item_id,
            body=terms.canonical(),
            sha256=terms.sha256,
            limits=terms.as_json(),
            ends_at=terms.ends_at,
            rule=step.rule,
            grants_as_of=step.grants_as_of,
            proposed_by_id=step.execution.requested_by,
        ).public_id


def upload(admin: Api) -> dict[str, Any]:
    """Upload a file. Return what is known of it."""
    file = SimpleUploadedFile("invoice.pdf", b"%PDF-1.7", content_type="application/pdf")
    answer = admin.client.post("/attachments", {"file": file}, format="multipart", headers=admin.headers)
    found: dict[str, Any] = made(answer)
    return found


def made(answer: Any) -> Any:
    """Return the body of a successful answer."""
    assert 200 <= answer.status_code < 300, answer.content
    return answer.json()


@dataclass(frozen=True)
class World:
    """`home` with its credentials, and the other tenant `abroad`."""

    home: Stock
    abroad: Stock
    revoked: str
    expired: str
    stripped: str
    narrowed: str
    _without: dict[Scope, str]
    _rows: dict[str, str]

    def without(self, scope: Scope) -> Api:
        """Return a client of an administrator whose credential has all scopes that do not include this one."""
        return Api(self._without[scope])

    def rows_made(self, *, but: frozenset[str] = MAY_GROW) -> dict[str, str]:
        """Return the digests of all tables with which every test begins, without the tables in `but`."""
        return {table: digest for table, digest in self._rows.items() if table not in but}

    def rows_now(self, *, but: frozenset[str] = MAY_GROW) -> dict[str, str]:
        """Return what `rows_of_everything` returns, by a function whose plan the session keeps.

        Planning it takes longer than running it.
        """
        with platform_role(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {_NAME}()")
            (digests,) = cursor.fetchone()
        rows = dict(zip(sorted(_tables()), digests, strict=True))
        return {table: digest for table, digest in rows.items() if table not in but}


def make_world() -> World:
    """Create both tenants and the credentials."""
    home, abroad = stock("home"), stock("abroad")
    tenant = home.tenant
    admin = make_principal(tenant, "home-admin", roles=("tenant_admin",))
    revoked, expired = make_token(tenant, admin), make_token(tenant, admin, expires_in=timedelta(hours=1))
    was_admin = make_principal(tenant, "was-admin", roles=("tenant_admin", "viewer"))
    stripped = make_token(tenant, was_admin)
    narrowed = make_token(tenant, make_principal(tenant, "also-viewer", roles=("tenant_admin", "viewer")))
    without = {
        scope: make_token(
            tenant, admin, [other.value for other in ALL_SCOPES if scope not in with_implied(frozenset({other}))]
        )
        for scope in ALL_SCOPES
    }
    with unit_of_work(tenant.id):
        ctx = acting_system(tenant)
        revoke_credential(Credential.objects.get(token_sha256=tokens.digest(revoked)), ctx=ctx)
        withdraw_role(was_admin, "tenant_admin", ctx=ctx)
        Credential.objects.filter(token_sha256=tokens.digest(expired)).update(
            expires_at=clock.now() - timedelta(days=1)
        )
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(_FUNCTION.format(name=_NAME, digests=_digests(sorted(_tables()))))
    return World(home, abroad, revoked, expired, stripped, narrowed, without, rows_of_everything(but=frozenset()))


def rows_of_everything(*, but: frozenset[str] = MAY_GROW) -> dict[str, str]:
    """Return a digest of all rows of each table, of all tenants, without the tables in `but`.

    The time at which a credential was last used is left out.
    """
    tables = sorted(_tables() - but)
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {_digests(tables)}")
        return dict(zip(tables, cursor.fetchone(), strict=True))


def _digests(tables: list[str]) -> str:
    return ", ".join(_DIGEST.format(table=table, row=_ROW.get(table, "t::text")) for table in tables)


def receipts_after(count: int) -> list[tuple[str, str, list[str]]]:
    """Return tenant, kind and reason codes of all receipts after the first `count`."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.slug, r.kind, r.reason_codes FROM telemetry_receipt r "
            "JOIN tenancy_tenant t ON t.id = r.tenant_id ORDER BY r.id OFFSET %s",
            [count],
        )
        return cursor.fetchall()


def receipts_count() -> int:
    """Return the number of receipts of all tenants."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM telemetry_receipt")
        (count,) = cursor.fetchone()
    return count


@cache
def _tables() -> frozenset[str]:
    """Return all tables, including those of jobs. Partitions are read by their parents."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = 'public'::regnamespace AND relname <> 'django_migrations'"
        )
        return frozenset(name for (name,) in cursor.fetchall())
