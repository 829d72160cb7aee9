"""The web's login may not change columns and tables that no web request changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.client import ClientHandler

from tests.factories import make_tenant
from threada_site.database.protected_columns import (
    KEPT_TABLES,
    OPERATOR_ROWS,
    OPERATOR_ROWS_POLICY,
    PLATFORM_TABLES,
    PROTECTED_COLUMNS,
    protected_columns,
)
from threada_site.database.role_names import APP, PLATFORM_LOGIN
from threada_site.database.roles import owner_role
from threada_site.database.table_grants import append_only_tables, grant_tables
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import PrincipalKind
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_safe
from threada_site.tenancy.isolation_checks import start_problems
from threada_site.tenancy.models import PeopleGroup, User

pytestmark = pytest.mark.django_db


@contextmanager
def web_login() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {APP}")
        try:
            yield
        finally:
            cursor.execute("RESET ROLE")


def is_refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as error:
        if "permission denied" not in str(error):
            raise
        return True
    return False


def columns_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def user() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def test_web_login_updates_no_protected_column_and_every_other_one() -> None:
    append_only = set(append_only_tables())
    tables = {table: names for table, names in protected_columns(connection).items() if table not in append_only}
    with web_login():
        refused = {
            table: {
                name for name in columns_of(table) if is_refused(f'UPDATE "{table}" SET "{name}" = DEFAULT WHERE false')
            }
            for table in tables
        }
    assert refused == tables
    assert sum(map(len, tables.values())) > 150


@pytest.mark.parametrize(
    "column",
    [
        "tenancy_user.is_superuser",
        "tenancy_user.kind",
        "tenancy_credential.issued_by",
        "tenancy_credential.scopes",
        "tenancy_credential.expires_at",
        "tenancy_membership.added_by",
        "tenancy_accountdependence.depends_on_id",
        "tenancy_changeset.proposed_by",
        "integrations_execution.requested_by",
        "workitems_workitem.requester_id",
    ],
)
def test_column_that_says_who_did_what_is_protected(column: str) -> None:
    table, _, name = column.partition(".")
    assert name in protected_columns(connection)[table]


@pytest.mark.parametrize("table", PLATFORM_TABLES)
def test_web_login_writes_no_table_of_the_platform(table: str) -> None:
    name = min(columns_of(table))
    with web_login():
        assert not is_refused(f'SELECT "{name}" FROM "{table}"')
        assert is_refused(f'UPDATE "{table}" SET "{name}" = DEFAULT')
        assert is_refused(f'DELETE FROM "{table}"')
        assert is_refused(f'INSERT INTO "{table}" DEFAULT VALUES')


@pytest.mark.parametrize("table", KEPT_TABLES)
def test_web_login_deletes_no_use_of_a_permit(table: str) -> None:
    with web_login():
        assert is_refused(f'DELETE FROM "{table}"')


def test_declared_columns_exist() -> None:
    assert {table: set(names) - columns_of(table) for table, names in PROTECTED_COLUMNS.items()} == {
        table: set() for table in PROTECTED_COLUMNS
    }


def test_other_login_updates_all_columns() -> None:
    assert not is_refused("UPDATE tenancy_user SET kind = kind, is_superuser = is_superuser WHERE false")
    assert is_refused("UPDATE telemetry_receipt SET body = body WHERE false")


def test_requests_of_tests_have_the_rights_of_the_web() -> None:
    seen: list[str] = []

    def application(_request: HttpRequest) -> HttpResponse:
        seen.append(user())
        return HttpResponse()

    assert user() == PLATFORM_LOGIN
    handler = ClientHandler()
    handler._middleware_chain = application
    handler(RequestFactory().get("/").environ)
    assert (seen, user()) == ([APP], PLATFORM_LOGIN)


@pytest.mark.parametrize(
    ("grant", "found"),
    [
        ("UPDATE (kind) ON tenancy_user", "tenancy_user.kind"),
        ("UPDATE (issued_by, label) ON tenancy_credential", "tenancy_credential.issued_by"),
        ("DELETE ON telemetry_checkpoint", "telemetry_checkpoint"),
        ("DELETE ON workitems_permituse", "workitems_permituse"),
    ],
)
def test_grant_that_opens_a_protected_column_stops_the_start_until_migrate(grant: str, found: str) -> None:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f"GRANT {grant} TO {APP}")
    with pytest.raises(NotSafeToRunError, match=f"the web's login may change {found}; run manage.py migrate"):
        refuse_unless_safe()
    with owner_role():
        grant_tables(connection)
    assert list(start_problems()) == []


@pytest.mark.parametrize(("table", "column"), OPERATOR_ROWS.items())
def test_web_login_inserts_no_row_that_counts_as_the_operators(table: str, column: str) -> None:
    """Such an integration version could send any variable of the server's environment to its own address."""
    tenant = make_tenant()
    somebody, nobody = f"'{uuid.uuid4()}'", "NULL"
    refused = f'row-level security policy "{OPERATOR_ROWS_POLICY}"'

    def insert(by: str) -> None:
        with unit_of_work(tenant.id), connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} (tenant_id, {column}) VALUES ('{tenant.id}', {by})")

    with web_login():
        with pytest.raises(ProgrammingError, match=refused):
            insert(nobody)
        with pytest.raises(IntegrityError, match="not-null"):
            insert(somebody)
    with pytest.raises(IntegrityError, match="not-null"):
        insert(nobody)


def test_login_that_could_insert_rows_of_the_operator_stops_the_start_until_migrate() -> None:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("DROP POLICY operator_rows ON tenancy_credential")
    with pytest.raises(NotSafeToRunError, match="insert rows of the operator into tenancy_credential; run"):
        refuse_unless_safe()
    with owner_role():
        grant_tables(connection)
    assert list(start_problems()) == []


def test_web_login_saves_a_whole_row() -> None:
    """An update without `update_fields` leaves out the tenant, which the web's login may not write."""
    tenant = make_tenant()
    with unit_of_work(tenant.id):
        group = PeopleGroup.objects.create(tenant_id=tenant.id, slug="treasury", name="Treasury")
        group.name = "Treasurers"
        with web_login():
            group.save()
            PeopleGroup.objects.only("name").get(id=group.id).save()
        assert PeopleGroup.objects.get(id=group.id).name == "Treasurers"


def test_nobody_is_a_superuser_of_django() -> None:
    """`has_perm` would allow such an account everything, in every tenant."""
    with web_login(), pytest.raises(IntegrityError, match="user_never_superuser"), transaction.atomic():
        User.objects.create(username="root", kind=PrincipalKind.HUMAN.value, is_superuser=True)
