"""The unit of work: refused nesting, and restoring of the tenant and role."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection, transaction

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import (
    NestedTenantError,
    OutsideUnitOfWorkError,
    current_tenant_id,
    entered_unit_of_work,
    mark_entered,
    require_unit_of_work,
    unit_of_work,
)
from threada_site.tenancy.models import Role, Tenant

DEFAULT_ROLES = 10


def setting() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.tenant', true)")
        return cursor.fetchone()[0]


def role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


def rename_and_fail(tenant: Tenant) -> None:
    Tenant.objects.filter(id=tenant.id).update(name="changed")
    raise ZeroDivisionError


class TestUnitOfWork:
    def test_unit_of_work_starts_and_ends_without_tenant(self, tenant: Tenant) -> None:
        assert (current_tenant_id(), Role.objects.count()) == (None, 0)
        with unit_of_work(tenant.id):
            assert (current_tenant_id(), setting(), Role.objects.count()) == (tenant.id, str(tenant.id), DEFAULT_ROLES)
        assert (current_tenant_id(), setting(), Role.objects.count()) == (None, "", 0)

    def test_unit_of_work_nests_under_the_same_tenant(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            with unit_of_work(tenant.id):
                assert Role.objects.count() == DEFAULT_ROLES
            assert (current_tenant_id(), Role.objects.count()) == (tenant.id, DEFAULT_ROLES)
        assert Role.objects.count() == 0

    def test_nesting_under_another_tenant_is_refused(self, tenant: Tenant, other_tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            with pytest.raises(NestedTenantError), unit_of_work(other_tenant.id):
                pytest.fail("entered")
            assert set(Role.objects.values_list("tenant_id", flat=True)) == {tenant.id}

    def test_error_rolls_back_and_leaves_no_tenant(self, tenant: Tenant) -> None:
        with pytest.raises(ZeroDivisionError), unit_of_work(tenant.id):
            rename_and_fail(tenant)
        assert (current_tenant_id(), setting() or "", Role.objects.count()) == (None, "", 0)
        assert Tenant.objects.get(id=tenant.id).name == "acme"

    def test_error_in_the_inner_unit_keeps_the_outer_one(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            with pytest.raises(ZeroDivisionError), unit_of_work(tenant.id):
                raise ZeroDivisionError
            assert (current_tenant_id(), Role.objects.count()) == (tenant.id, DEFAULT_ROLES)

    def test_rolled_back_unit_leaves_no_tenant(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            transaction.set_rollback(True)
        assert (current_tenant_id(), setting() or "", Role.objects.count()) == (None, "", 0)

    def test_released_savepoint_does_not_leak_into_the_outer_transaction(self, tenant: Tenant) -> None:
        with transaction.atomic():
            with unit_of_work(tenant.id):
                pass
            assert (setting(), Role.objects.count()) == ("", 0)

    @pytest.mark.django_db(transaction=True)
    def test_next_transaction_of_the_connection_starts_without_tenant(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            pass
        assert setting() == ""
        with transaction.atomic():
            assert Role.objects.count() == 0


class TestEnteredUnitOfWork:
    def test_tenant_set_by_sql_ends_with_the_unit(self, tenant: Tenant) -> None:
        with entered_unit_of_work():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant.id)])
            mark_entered(tenant.id)
            require_unit_of_work(tenant.id)
            assert Role.objects.count() == DEFAULT_ROLES
        assert (current_tenant_id(), setting(), Role.objects.count()) == (None, "", 0)


class TestRequireUnitOfWork:
    def test_require_fails_outside_a_unit_of_work(self, tenant: Tenant) -> None:
        with pytest.raises(OutsideUnitOfWorkError):
            require_unit_of_work(tenant.id)

    def test_require_fails_in_a_unit_of_work_of_another_tenant(self, tenant: Tenant) -> None:
        with unit_of_work(tenant.id), pytest.raises(OutsideUnitOfWorkError):
            require_unit_of_work(uuid.uuid4())

    @pytest.mark.django_db(transaction=True)
    def test_require_fails_outside_a_transaction(self, tenant: Tenant) -> None:
        connection.threada_tenant = tenant.id
        with pytest.raises(OutsideUnitOfWorkError):
            require_unit_of_work(tenant.id)
        with transaction.atomic():
            require_unit_of_work(tenant.id)
        connection.threada_tenant = None


class TestPlatformRole:
    def test_platform_role_is_reset(self, tenant: Tenant) -> None:
        with platform_role():
            assert (role(), Role.objects.count()) == ("threada_platform", DEFAULT_ROLES)
        assert (role(), Role.objects.count()) == ("threada_platform_login", 0)

    def test_platform_role_is_reset_after_an_error(self, tenant: Tenant) -> None:
        with pytest.raises(ZeroDivisionError), platform_role():
            raise ZeroDivisionError
        assert (role(), Role.objects.count()) == ("threada_platform_login", 0)
