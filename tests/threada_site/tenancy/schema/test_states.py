"""The schema: what the migrations make, what is compared with it, and which databases are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from pytest_django.plugin import DjangoDbBlocker

from tests.databases.template import empty_database
from threada_site.database.roles import owner_role
from threada_site.database.table_grants import grant_tables
from threada_site.runtime.backup.create import create_backup
from threada_site.runtime.doctor.findings import State
from threada_site.runtime.doctor.instance import versions
from threada_site.runtime.prepare import prepare
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_schema_fits
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.schema.fingerprint import differences, normalized, schema_lines
from threada_site.tenancy.schema.states import current_lines, first_lines, first_migrations
from threada_site.tenancy.schema.version import schema_problem

FROZEN = (
    "The migrations of the first state make another schema than they did. Their effect never changes: undo the change of "
    "the code that they use, or copy what they need beside them (migrations/_v1), and put the change into a new migration."
)
EXPORTS = "run manage.py export_config DIR --tenant SLUG"


def lines_here() -> list[str]:
    with connection.cursor() as cursor:
        return schema_lines(cursor)


def change(*statements: str) -> None:
    with owner_role(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def database_of_the_first_state() -> Iterator[None]:
    """Connect to a new database that the migrations of the first state made."""
    with empty_database(f"threada_first_{os.getpid()}"):
        with owner_role():
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
            of_first = [(each, back) for each, back in plan if (each.app_label, each.name) in first_migrations()]
            assert len(of_first) == len(first_migrations())
            executor.migrate([], plan=of_first)
            grant_tables(connection)
        yield


def test_migrations_of_the_first_state_make_the_schema_recorded_from_it(
    django_db_blocker: DjangoDbBlocker, capsys: pytest.CaptureFixture[str]
) -> None:
    with django_db_blocker.unblock(), database_of_the_first_state():
        assert sorted(set(lines_here()) ^ set(first_lines())) == [], FROZEN
        change("ALTER TABLE tenancy_tenant DROP COLUMN require_mfa")
        assert_is_refused(capsys)


CHANGES: dict[str, tuple[str, str]] = {
    "column": ("ALTER TABLE workitems_workitem DROP COLUMN updated_at CASCADE", "column workitems_workitem.updated_at is missing"),
    "type": ("ALTER TABLE tenancy_tenant ALTER name TYPE text", "column tenancy_tenant.name differs"),
    "default": ("ALTER TABLE tenancy_tenant ALTER name SET DEFAULT 'x'", "column tenancy_tenant.name differs"),
    "null": ("ALTER TABLE tenancy_tenant ALTER name DROP NOT NULL", "column tenancy_tenant.name differs"),
    "constraint": ("ALTER TABLE tenancy_tenant DROP CONSTRAINT tenancy_tenant_slug_key", "constraint tenancy_tenant.tenancy_tenant_slug_key is missing"),
    "function": ("ALTER FUNCTION threada_names(uuid, uuid) COST 7", "function threada_names(p_item uuid, p_principal uuid) differs"),
    "policy": ("ALTER POLICY tenant_rows ON workitems_workitem USING (true)", "policy workitems_workitem.tenant_rows differs"),
    "trigger": ("ALTER TABLE telemetry_receipt DISABLE TRIGGER append_only", "trigger telemetry_receipt.append_only differs"),
    "row security": ("ALTER TABLE workitems_workitem NO FORCE ROW LEVEL SECURITY", "table workitems_workitem differs"),
    "added column": ("ALTER TABLE tenancy_tenant ADD note text", "column tenancy_tenant.note does not belong there"),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_schema_is_named_and_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    statement, said = CHANGES[name]
    assert schema_problem() is None
    change(statement)
    assert said in differences(lines_here(), current_lines())
    with pytest.raises(SystemExit) as refused:
        call_command("upgrade")
    assert refused.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "The schema is not that of this version, although all its migrations are applied" in printed.err
    [finding] = versions()
    assert finding.state is State.FAILED
    assert finding.said.startswith("The schema is not that of this version")


@pytest.mark.django_db
def test_objects_that_an_operator_added_are_allowed() -> None:
    change(
        "CREATE INDEX of_the_operator ON tenancy_tenant (name)",
        "CREATE TABLE of_the_operator_too (note text PRIMARY KEY)",
        "CREATE FUNCTION of_the_operator() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    assert len(lines_here()) > len(current_lines())
    assert schema_problem() is None


@pytest.mark.django_db
def test_up_and_backup_compare_the_schema(tmp_path: Path) -> None:
    change("ALTER FUNCTION threada_belongs(text, text, uuid) COST 7")  # locks no table
    problem = schema_problem()
    created = create_backup(tmp_path / "made", recovery_key="", watch=lambda _name, _size: None)
    assert problem in created.left_out
    with pytest.raises(NotSafeToRunError, match=r"function threada_belongs\(.*\) differs"):
        prepare(host="127.0.0.1", port=0, with_demo=False, progress=lambda _text: None)


def applied_are(*migrations: tuple[str, str]) -> None:
    change("DELETE FROM django_migrations")
    with owner_role(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", migrations)


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["migrations of 0.1", "fewer migrations"])
def test_a_database_of_an_earlier_state_is_refused_in_one_sentence(
    state: str, capsys: pytest.CaptureFixture[str], tenant: Any
) -> None:
    of_state = {
        "migrations of 0.1": first_migrations() | {("policies", "0003_calendar"), ("tenancy", "0013_partitions_once_more")},
        "fewer migrations": first_migrations() - {("tenancy", "0002_functions")},
    }[state]  # fmt: skip
    applied_are(*of_state)
    change("ALTER TABLE tenancy_tenant DROP COLUMN require_mfa")
    assert_is_refused(capsys)


def assert_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that every door names the missing column, with what to do, and changes nothing."""
    before = lines_here()
    problems = []
    for command in ("upgrade", "migrate"):
        with pytest.raises((SystemExit, CommandError)) as refused:
            call_command(command, verbosity=0)
        printed = capsys.readouterr()
        assert printed.out == ""
        problems.append(printed.err or str(refused.value))
    for problem in problems:
        assert "of a state before the first one of Threada 0.2.0 that can be upgraded" in problem
        assert "column tenancy_tenant.require_mfa is missing" in problem
        assert EXPORTS in problem
        assert "newer" not in problem
    assert lines_here() == before
    with pytest.raises(NotSafeToRunError):
        refuse_unless_schema_fits()
    [finding] = versions()
    assert finding.state is State.FAILED
    assert EXPORTS in finding.fix


@pytest.mark.django_db
def test_an_interrupted_first_installation_continues() -> None:
    assert not Tenant.objects.exists()
    applied_are(*first_migrations() - {("workitems", "0001_initial")})
    change("DROP TABLE workitems_savedview CASCADE")
    assert schema_problem() is None


def test_a_restored_dump_writes_casts_differently_and_has_the_same_lines() -> None:
    made = "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b''c'::character varying])::text[])))"
    restored = "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b''c'::character varying)::text])))"
    other = restored.replace("'a'", "'x'")
    assert normalized(made) == normalized(restored) == normalized(normalized(made))
    assert normalized(other) != normalized(restored)
