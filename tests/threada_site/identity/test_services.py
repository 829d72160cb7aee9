"""Operations on tenants, principals, roles and credentials: changes, refusals and receipts."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group

from policies.models import Workflow
from telemetry.models import Receipt, SealQueueEntry
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant, make_token
from threada_site.database.unit_of_work import OutsideUnitOfWorkError, unit_of_work
from threada_site.identity.credentials import IssuedCredential, issue_credential, revoke_credential
from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import add_member, ensure_principal, remove_member
from threada_site.identity.roles import define_role
from threada_site.identity.selectors import permissions_of_principal
from threada_site.identity.tenants import create_tenant, founding_context
from threada_site.kernel import clock, errors, tokens
from threada_site.kernel.context import ALL_SCOPES, ActingContext, PrincipalKind, Scope
from threada_site.tenancy.models import Credential, Membership, Role, Tenant, User


def kinds(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        return list(Receipt.objects.order_by("id").values_list("kind", flat=True))


def last_body(tenant: Tenant) -> dict:
    with unit_of_work(tenant.id):
        return json.loads(bytes(Receipt.objects.latest("id").body))


@pytest.fixture
def system(tenant: Tenant) -> ActingContext:
    return acting_system(tenant)


@pytest.fixture
def bot(tenant: Tenant) -> User:
    return make_principal(tenant, "bot", kind="service", roles=["requester"])


@pytest.fixture
def alice(tenant: Tenant) -> User:
    return make_principal(tenant, "alice", roles=["requester"])


class TestCreateTenant:
    def test_new_tenant_has_the_default_roles_and_one_receipt(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            roles = {role.slug: role.group.name for role in Role.objects.select_related("group")}
            queued = SealQueueEntry.objects.count()
        assert roles == {slug: f"acme:{slug}" for slug in DEFAULT_ROLES}
        assert (kinds(tenant), queued) == (["tenant.created"], 1)

    @pytest.mark.parametrize("role", DEFAULT_ROLES)
    def test_each_default_role_grants_exactly_its_scopes(self, tenant: Tenant, role: str) -> None:
        person = make_principal(tenant, roles=[role])
        permissions = permissions_of_principal(person.id, tenant_id=tenant.id)
        assert permissions.scopes == DEFAULT_ROLES[role]
        assert permissions.roles == {role}

    def test_default_roles_are_the_documented_ones(self) -> None:
        assert DEFAULT_ROLES["tenant_admin"] == ALL_SCOPES
        assert DEFAULT_ROLES["client"] - DEFAULT_ROLES["requester"] == {Scope.ACTIONS_EXECUTE}
        assert DEFAULT_ROLES["operator"] - DEFAULT_ROLES["client"] == {
            Scope.TELEMETRY_READ,
            Scope.ACTIONS_FREEZE,
            Scope.DECISIONS_DECIDE,
        }

    def test_slug_is_unique(self, tenant: Tenant) -> None:
        with pytest.raises(errors.Conflict):
            make_tenant("acme")
        assert Tenant.objects.count() == 1
        assert Group.objects.count() == len(DEFAULT_ROLES)

    @pytest.mark.parametrize("slug", ["", "Acme", "-acme", "a" * 64, "a:b", "acme\n", "ä"])
    def test_malformed_slug_is_refused(self, db: None, slug: str) -> None:
        with pytest.raises(errors.InvalidRequest):
            make_tenant(slug)
        assert Tenant.objects.count() == 0

    def test_only_the_operator_creates_tenants(self, tenant: Tenant) -> None:
        admin = acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))
        with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
            create_tenant("globex", ctx=admin)

    def test_tenant_is_not_created_outside_a_unit_of_work(self, db: None) -> None:
        with pytest.raises(OutsideUnitOfWorkError):
            create_tenant("acme", ctx=founding_context("acme"))


class TestPrincipals:
    def test_principal_is_created_once_with_one_receipt(self, tenant: Tenant, system: ActingContext) -> None:
        with unit_of_work(tenant.id):
            first = ensure_principal("bot", kind=PrincipalKind.SERVICE, ctx=system)
            second = ensure_principal("bot", kind=PrincipalKind.SERVICE, ctx=system)
        assert first == second
        assert kinds(tenant) == ["tenant.created", "principal.created"]
        assert last_body(tenant)["inputs"] == {"kind": "service", "principal": first.public_id}
        assert not first.has_usable_password()

    def test_principal_of_another_kind_is_a_conflict(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        with unit_of_work(tenant.id), pytest.raises(errors.Conflict):
            ensure_principal("bot", kind=PrincipalKind.HUMAN, ctx=system)

    def test_principal_may_belong_to_several_tenants(self, tenant: Tenant, other_tenant: Tenant, alice: User) -> None:
        make_principal(other_tenant, "alice", roles=["viewer"])
        assert permissions_of_principal(alice.id, tenant_id=tenant.id).roles == {"requester"}
        assert permissions_of_principal(alice.id, tenant_id=other_tenant.id).roles == {"viewer"}

    def test_leaving_removes_roles_and_credentials_of_this_tenant_only(
        self, tenant: Tenant, other_tenant: Tenant, system: ActingContext, alice: User
    ) -> None:
        make_principal(other_tenant, "alice", roles=["viewer"])
        make_token(tenant, alice)
        make_token(other_tenant, alice)
        with unit_of_work(tenant.id):
            remove_member(alice, ctx=system)
            assert not Membership.objects.filter(user=alice).exists()
            (credential,) = Credential.objects.filter(user=alice)
        assert credential.revoked_at is not None
        assert last_body(tenant)["outcome"] == {"revoked": [credential.public_id]}
        assert permissions_of_principal(alice.id, tenant_id=tenant.id).roles == frozenset()
        with unit_of_work(other_tenant.id):
            assert Credential.objects.get(user=alice).revoked_at is None
        assert permissions_of_principal(alice.id, tenant_id=other_tenant.id).roles == {"viewer"}

    def test_password_is_for_humans_and_not_weak(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        person = make_principal(tenant, "alice")
        with unit_of_work(tenant.id):
            set_password(person, PASSWORD, ctx=system)
            with pytest.raises(errors.InvalidRequest):
                set_password(person, "short", ctx=system)
            with pytest.raises(errors.InvalidRequest):
                set_password(bot, PASSWORD, ctx=system)
        assert User.objects.get(id=person.id).check_password(PASSWORD)
        assert kinds(tenant)[-1] == "principal.password_set"
        assert PASSWORD not in json.dumps(last_body(tenant))

    def test_user_without_a_tenant_gets_no_password(
        self, tenant: Tenant, other_tenant: Tenant, system: ActingContext
    ) -> None:
        person = make_principal(tenant, "alice")
        make_principal(other_tenant, "alice")
        with unit_of_work(tenant.id):
            set_password(person, PASSWORD, ctx=system)
            remove_member(person, ctx=system)
        assert User.objects.get(id=person.id).check_password(PASSWORD)
        with unit_of_work(other_tenant.id):
            remove_member(person, ctx=acting_system(other_tenant))
        assert not User.objects.get(id=person.id).has_usable_password()


class TestRoles:
    def test_granting_twice_leaves_one_receipt(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        with unit_of_work(tenant.id):
            grant_role(bot, "viewer", ctx=system)
            grant_role(bot, "viewer", ctx=system)
        assert kinds(tenant).count("role.granted") == 2
        assert last_body(tenant)["inputs"] == {"principal": bot.public_id, "role": "viewer"}

    def test_unknown_role_is_refused_with_the_known_ones(
        self, tenant: Tenant, system: ActingContext, bot: User
    ) -> None:
        with unit_of_work(tenant.id), pytest.raises(errors.InvalidRequest, match="approver, auditor"):
            grant_role(bot, "emperor", ctx=system)

    def test_only_members_get_roles(self, tenant: Tenant, other_tenant: Tenant, bot: User) -> None:
        with unit_of_work(other_tenant.id), pytest.raises(errors.InvalidRequest, match="does not belong"):
            grant_role(bot, "viewer", ctx=acting_system(other_tenant))

    def test_role_is_withdrawn(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        with unit_of_work(tenant.id):
            withdraw_role(bot, "requester", ctx=system)
            withdraw_role(bot, "requester", ctx=system)
        assert permissions_of_principal(bot.id, tenant_id=tenant.id).scopes == frozenset()
        assert kinds(tenant).count("role.withdrawn") == 1

    def test_redefining_a_custom_role_removes_scopes(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        with unit_of_work(tenant.id):
            define_role("finance", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=system)
            grant_role(bot, "finance", ctx=system)
            withdraw_role(bot, "requester", ctx=system)
            define_role("finance", frozenset({Scope.WORKITEMS_READ}), ctx=system)
        assert permissions_of_principal(bot.id, tenant_id=tenant.id).scopes == {Scope.WORKITEMS_READ}
        assert last_body(tenant)["inputs"] == {"role": "finance", "scopes": ["workitems:read"]}

    def test_roles_with_one_name_are_separate_in_each_tenant(self, tenant: Tenant, other_tenant: Tenant) -> None:
        for place, scope in ((tenant, Scope.TELEMETRY_READ), (other_tenant, Scope.WORKITEMS_READ)):
            with unit_of_work(place.id):
                define_role("finance", frozenset({scope}), ctx=acting_system(place))
        person = make_principal(tenant, "alice", roles=["finance"])
        assert permissions_of_principal(person.id, tenant_id=tenant.id).scopes == {Scope.TELEMETRY_READ}
        assert permissions_of_principal(person.id, tenant_id=other_tenant.id).scopes == frozenset()


class TestIssueCredential:
    def issue(self, principal: User, *scopes: str, ctx: ActingContext, **more: object) -> IssuedCredential:
        with unit_of_work(ctx.tenant_id):
            return issue_credential(principal=principal, scopes=scopes, ctx=ctx, **more)

    def test_only_the_digest_of_a_token_is_stored(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        issued = self.issue(bot, "workitems:read", ctx=system, label="ci", expires_in=timedelta(days=30))
        with unit_of_work(tenant.id):
            row = Credential.objects.get()
        assert tokens.is_well_formed(issued.token)
        assert bytes(row.token_sha256) == tokens.digest(issued.token)
        assert (row.label, row.scopes, row.hint) == ("ci", ["workitems:read"], issued.token[:10])
        assert timedelta(days=29, hours=23) < row.expires_at - clock.now() < timedelta(days=30)
        assert issued.token not in json.dumps(last_body(tenant))
        assert last_body(tenant)["inputs"] == {
            "credential": row.public_id,
            "principal": bot.public_id,
            "scopes": ["workitems:read"],
            "expires_at": clock.rfc3339(row.expires_at),
        }

    def test_scope_beyond_the_roles_is_refused_by_name(self, tenant: Tenant, system: ActingContext, bot: User) -> None:
        before = kinds(tenant)
        with pytest.raises(errors.ScopeNotGrantable, match="telemetry:read, workflow:manage") as refusal:
            self.issue(bot, "workitems:read", "workflow:manage", "telemetry:read", ctx=system)
        assert [entry.detail for entry in refusal.value.errors] == [
            "telemetry:read is not held",
            "workflow:manage is not held",
        ]
        with unit_of_work(tenant.id):
            assert Credential.objects.count() == 0
        assert kinds(tenant) == before

    def test_workflow_manage_includes_the_narrower_scopes(self, tenant: Tenant, system: ActingContext) -> None:
        with unit_of_work(tenant.id):
            define_role("manager", frozenset({Scope.WORKFLOW_MANAGE}), ctx=system)
        manager = make_principal(tenant, "mia", roles=["manager"])
        assert self.issue(manager, "policies:publish", "decisions:decide", ctx=system).token
        with pytest.raises(errors.ScopeNotGrantable):
            self.issue(manager, "actions:freeze", ctx=system)

    @pytest.mark.parametrize("scopes", [[], ["workitems:reed"], ["workitems:read", ""]])
    def test_unknown_or_missing_scopes_are_refused(self, system: ActingContext, bot: User, scopes: list[str]) -> None:
        with pytest.raises(errors.InvalidRequest):
            self.issue(bot, *scopes, ctx=system)

    @pytest.mark.parametrize("life", [timedelta(0), timedelta(seconds=-1), timedelta(days=3661)])
    def test_lifetime_out_of_range_is_refused(self, system: ActingContext, bot: User, life: timedelta) -> None:
        with pytest.raises(errors.InvalidRequest):
            self.issue(bot, "workitems:read", ctx=system, expires_in=life)

    def test_credential_is_only_for_active_members(self, tenant: Tenant, other_tenant: Tenant, bot: User) -> None:
        with pytest.raises(errors.InvalidRequest):
            self.issue(bot, "workitems:read", ctx=acting_system(other_tenant))
        bot.is_active = False
        bot.save(update_fields=["is_active"])
        with pytest.raises(errors.InvalidRequest):
            self.issue(bot, "workitems:read", ctx=acting_system(tenant))

    def test_services_and_agents_get_credentials_from_stewards_only(self, tenant: Tenant, bot: User) -> None:
        steward = acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))
        issued = self.issue(bot, "workitems:read", ctx=steward).credential
        assert issued.issued_by == steward.principal_id
        narrowed = acting(tenant, bot, scopes=["workitems:read"])
        agent = acting(tenant, make_principal(tenant, "ai", kind="agent", roles=["tenant_admin"]))
        for ctx in (narrowed, agent):
            with pytest.raises(errors.PermissionDenied):
                self.issue(bot, "workitems:read", ctx=ctx)


class TestEndOfCredentials:
    @pytest.fixture
    def credential(self, tenant: Tenant, bot: User) -> Credential:
        make_token(tenant, bot, ["workitems:read"], expires_in=timedelta(days=30))
        with unit_of_work(tenant.id):
            return Credential.objects.get()

    def test_revoking_twice_leaves_one_receipt(
        self, tenant: Tenant, system: ActingContext, credential: Credential
    ) -> None:
        with unit_of_work(tenant.id):
            revoke_credential(credential, ctx=system)
            first = Credential.objects.get().revoked_at
            revoke_credential(credential, ctx=system)
            assert Credential.objects.get().revoked_at == first
        assert kinds(tenant).count("credential.revoked") == 1

    def test_credential_of_another_tenant_is_not_found(self, other_tenant: Tenant, credential: Credential) -> None:
        with unit_of_work(other_tenant.id), pytest.raises(errors.NotFound):
            revoke_credential(credential, ctx=acting_system(other_tenant))


@pytest.mark.parametrize("role", [role for role in DEFAULT_ROLES if role != "tenant_admin"])
def test_changing_members_requires_every_scope(tenant: Tenant, bot: User, role: str) -> None:
    ctx = acting(tenant, make_principal(tenant, "alice", roles=[role]))
    before = kinds(tenant)
    operations = (
        lambda: ensure_principal("eve", kind=PrincipalKind.HUMAN, ctx=ctx),
        lambda: add_member(bot, ctx=ctx),
        lambda: remove_member(bot, ctx=ctx),
        lambda: set_password(bot, PASSWORD, ctx=ctx),
        lambda: grant_role(bot, "tenant_admin", ctx=ctx),
        lambda: withdraw_role(bot, "requester", ctx=ctx),
        lambda: define_role("mine", ALL_SCOPES, ctx=ctx),
    )
    with unit_of_work(tenant.id):
        for operation in operations:
            with pytest.raises(errors.PermissionDenied):
                operation()
    assert kinds(tenant) == before
    assert not User.objects.filter(username="eve").exists()


class TestScopesOnSingleObjects:
    def test_scope_is_granted_on_one_workflow(
        self, tenant: Tenant, other_tenant: Tenant, system: ActingContext, bot: User
    ) -> None:
        with unit_of_work(tenant.id):
            workflow = Workflow.objects.create(tenant_id=tenant.id, slug="payments")
            grant_scope_on(bot, Scope.DECISIONS_DECIDE, workflow, ctx=system)
            grant_scope_on(bot, Scope.DECISIONS_DECIDE, workflow, ctx=system)
        assert permissions_of_principal(bot.id, tenant_id=tenant.id).grants.workflows == {
            workflow.id: {Scope.DECISIONS_DECIDE}
        }
        assert not permissions_of_principal(bot.id, tenant_id=other_tenant.id).grants
        assert kinds(tenant).count("scope.granted") == 1
        assert last_body(tenant)["inputs"]["on"] == {"kind": "workflow", "id": "payments"}

    def test_scope_that_does_not_apply_to_a_workflow_is_refused(
        self, tenant: Tenant, system: ActingContext, bot: User
    ) -> None:
        with unit_of_work(tenant.id):
            workflow = Workflow.objects.create(tenant_id=tenant.id, slug="payments")
            with pytest.raises(errors.InvalidRequest):
                grant_scope_on(bot, Scope.TELEMETRY_READ, workflow, ctx=system)

    def test_scope_on_a_workflow_of_another_tenant_is_refused(
        self, tenant: Tenant, other_tenant: Tenant, bot: User
    ) -> None:
        with unit_of_work(other_tenant.id):
            workflow = Workflow.objects.create(tenant_id=other_tenant.id, slug="payments")
        with unit_of_work(tenant.id), pytest.raises(errors.NotFound):
            grant_scope_on(bot, Scope.DECISIONS_DECIDE, workflow, ctx=acting_system(tenant))

    def test_leaving_removes_object_scopes_of_this_tenant_only(
        self, tenant: Tenant, other_tenant: Tenant, system: ActingContext, alice: User
    ) -> None:
        make_principal(other_tenant, "alice")
        workflows = {}
        for place in (tenant, other_tenant):
            with unit_of_work(place.id):
                workflows[place] = Workflow.objects.create(tenant_id=place.id, slug="payments")
                grant_scope_on(alice, Scope.DECISIONS_DECIDE, workflows[place], ctx=acting_system(place))
        with unit_of_work(tenant.id):
            remove_member(alice, ctx=system)
            add_member(alice, ctx=system)
        assert not permissions_of_principal(alice.id, tenant_id=tenant.id).grants
        assert permissions_of_principal(alice.id, tenant_id=other_tenant.id).grants.workflows == {
            workflows[other_tenant].id: {Scope.DECISIONS_DECIDE}
        }
