"""Start-up checks find what would let a login see rows of other tenants. Each fault is made in the live schema."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from threada_site.database.roles import owner_role
from threada_site.tenancy.isolation_checks import isolation_problems, tenant_models_carry_constraints


def alter(statement: str) -> None:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(statement)


pytestmark = pytest.mark.django_db


def test_migrated_database_has_no_problems() -> None:
    assert list(isolation_problems()) == []


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            "ALTER TABLE tenancy_role NO FORCE ROW LEVEL SECURITY",
            "the table tenancy_role has no forced row-level security policy",
        ),
        (
            "ALTER TABLE tenancy_role DISABLE ROW LEVEL SECURITY",
            "the table tenancy_role has no forced row-level security policy",
        ),
        (
            "DROP POLICY tenant_rows ON tenancy_role",
            "the table tenancy_role has no forced row-level security policy",
        ),
        (
            "ALTER POLICY tenant_rows ON tenancy_role USING (true)",
            "the table tenancy_role has no forced row-level security policy",
        ),
        (
            "ALTER POLICY tenant_rows ON tenancy_role WITH CHECK (true)",
            "the table tenancy_role has no forced row-level security policy",
        ),
        (
            "CREATE POLICY everything ON tenancy_role USING (true)",
            "the table tenancy_role has the policy everything, which may show other tenants' rows",
        ),
        (
            "ALTER POLICY platform_rows ON tenancy_role TO public",
            "the table tenancy_role has the policy platform_rows, which may show other tenants' rows",
        ),
        (
            "CREATE TABLE public.notes (id int, tenant_id uuid)",
            "the table notes has no forced row-level security policy",
        ),
        (
            "ALTER TABLE telemetry_instanceentry DISABLE ROW LEVEL SECURITY",
            "the table telemetry_instanceentry of the instance is not closed to tenants",
        ),
        (
            "CREATE POLICY everything ON telemetry_instanceentry USING (true)",
            "the table telemetry_instanceentry of the instance is not closed to tenants",
        ),
    ],
)
def test_table_without_row_level_security_is_found(fault: str, problem: str) -> None:
    alter(fault)
    assert list(isolation_problems()) == [problem]


def test_missing_table_is_found() -> None:
    alter("ALTER TABLE workitems_vote RENAME TO workitems_ballot")
    assert "the table workitems_vote does not exist; run manage.py migrate" in isolation_problems()


def test_running_as_the_owner_is_found() -> None:
    with owner_role():
        problems = list(isolation_problems())
    assert "the login inherits threada_owner; it must be NOINHERIT and SET ROLE explicitly" in problems
    assert "the login owns the table tenancy_role" in problems


def test_command_reports_problems_on_stderr_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    alter("ALTER TABLE tenancy_role NO FORCE ROW LEVEL SECURITY")
    with pytest.raises(SystemExit) as exit_:
        call_command("check_tenancy")
    said = capsys.readouterr()
    assert (exit_.value.code, said.out) == (1, "")
    assert said.err == "the table tenancy_role has no forced row-level security policy\n"


def test_command_accepts_a_migrated_database(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_tenancy")
    assert "under forced row-level security" in capsys.readouterr().out


def test_tenant_model_without_constraints_fails_the_system_check(monkeypatch: pytest.MonkeyPatch) -> None:
    from workitems.models import Vote

    monkeypatch.setattr(Vote._meta, "constraints", [])
    assert {(problem.id, problem.obj) for problem in tenant_models_carry_constraints()} == {
        ("tenancy.E001", Vote),
        ("tenancy.E002", Vote),
    }


def test_all_models_pass_the_system_check() -> None:
    assert tenant_models_carry_constraints() == []
