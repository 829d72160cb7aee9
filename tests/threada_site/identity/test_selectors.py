"""Lookup of members, and the context of the console."""

from __future__ import annotations

import uuid

import pytest

from tests.factories import make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity import selectors
from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.kernel import errors
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Credential, Tenant


class TestConsoleContext:
    def test_console_context_has_the_scopes_of_the_roles_in_the_tenant(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        alice = make_principal(tenant, "alice", roles=["approver", "viewer"])
        make_principal(other_tenant, "alice", roles=["tenant_admin"])
        ctx = selectors.console_context(alice, "acme", "correlation")
        assert (ctx.tenant_id, ctx.tenant_slug, ctx.principal_id) == (tenant.id, "acme", alice.id)
        assert ctx.roles == {"approver", "viewer"}
        assert ctx.scopes == DEFAULT_ROLES["approver"]
        assert (ctx.entry_point, ctx.credential_id, ctx.correlation_id) == (EntryPoint.CONSOLE, None, "correlation")
        assert [choice.slug for choice in selectors.tenants_of_person(alice)] == ["acme", "globex"]

    @pytest.mark.parametrize("slug", ["globex", "nowhere", ""])
    def test_no_context_for_a_tenant_of_others(self, tenant: Tenant, other_tenant: Tenant, slug: str) -> None:
        with pytest.raises(errors.TenantMismatch):
            selectors.console_context(make_principal(tenant), slug, "correlation")

    def test_no_context_for_an_inactive_tenant(self, tenant: Tenant) -> None:
        alice = make_principal(tenant)
        Tenant.objects.filter(id=tenant.id).update(is_active=False)
        with pytest.raises(errors.TenantMismatch):
            selectors.console_context(alice, "acme", "correlation")

    def test_no_context_for_an_inactive_user(self, tenant: Tenant) -> None:
        alice = make_principal(tenant)
        alice.is_active = False
        with pytest.raises(errors.PrincipalInactive):
            selectors.console_context(alice, "acme", "correlation")


class TestPeople:
    def test_principal_of_another_tenant_is_not_found_by_name(self, tenant: Tenant, other_tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        with unit_of_work(tenant.id):
            assert selectors.principal_of_tenant(tenant.id, "alice") == alice
        with unit_of_work(other_tenant.id):
            assert selectors.principal_of_tenant(other_tenant.id, "alice") is None


class TestCredentials:
    def test_credential_of_another_tenant_is_not_found(self, tenant: Tenant, other_tenant: Tenant) -> None:
        make_token(tenant, make_principal(tenant))
        with unit_of_work(tenant.id):
            credential = Credential.objects.get()
            assert selectors.credential_of_tenant(tenant.id, credential.id) == credential
        with unit_of_work(other_tenant.id), pytest.raises(errors.NotFound):
            selectors.credential_of_tenant(other_tenant.id, credential.id)
        with unit_of_work(tenant.id), pytest.raises(errors.NotFound):
            selectors.credential_of_tenant(tenant.id, uuid.uuid4())
