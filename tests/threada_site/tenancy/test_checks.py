"""Start-up checks find what would let a login see rows of other tenants. Each fault is made in the live schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from threada_site import postgres
from threada_site.database.definer_functions import DEFINER_FUNCTIONS
from threada_site.database.login_checks import login_problems
from threada_site.database.roles import owner_role
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_safe
from threada_site.tenancy.isolation_checks import isolation_problems, start_problems, tenant_models_carry_constraints

DEFINER: Final = "LANGUAGE sql SECURITY DEFINER AS"
REPLACED: Final = f"{DEFINER} 'SELECT true' SET search_path = public, pg_temp"
SOURCE: Final = "threada_site/tenancy/sql/functions.sql"


def alter(statement: str) -> None:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(statement)


pytestmark = pytest.mark.django_db


def test_migrated_database_has_no_problems() -> None:
    assert list(start_problems()) == []


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
    with pytest.raises(NotSafeToRunError) as refusal:
        refuse_unless_safe()
    assert str(refusal.value) == f"Threada refuses to run: {problem}."


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            f"CREATE FUNCTION all_items() RETURNS SETOF workitems_workitem {DEFINER} 'SELECT * FROM workitems_workitem'",
            "the SECURITY DEFINER function all_items() is not known and may show other tenants' rows; drop it",
        ),
        (
            f"CREATE FUNCTION threada_names(text) RETURNS bigint {DEFINER} 'SELECT count(*) FROM workitems_workitem'",
            "the SECURITY DEFINER function threada_names(text) is not known and may show other tenants' rows; drop it",
        ),
        (
            f"CREATE OR REPLACE FUNCTION threada_names(p_item uuid, p_principal uuid) RETURNS boolean {REPLACED}",
            f"the function threada_names(uuid,uuid) differs from {SOURCE}; run manage.py migrate, or restore it",
        ),
        (
            "ALTER FUNCTION threada_names(uuid, uuid) RESET search_path",
            "the function threada_names(uuid,uuid) has no fixed search_path",
        ),
        (
            "ALTER FUNCTION threada_names(uuid, uuid) SET search_path = pg_temp, public",
            "the function threada_names(uuid,uuid) has no fixed search_path",
        ),
        (
            "GRANT EXECUTE ON FUNCTION threada_drop_month(text, integer) TO PUBLIC",
            "the function threada_drop_month(text,integer) may be called by every login",
        ),
        (
            "ALTER FUNCTION threada_names(uuid, uuid) SECURITY INVOKER",
            "the SECURITY DEFINER function threada_names(uuid,uuid) does not exist; run manage.py migrate",
        ),
        (
            "CREATE VIEW everything AS SELECT * FROM workitems_workitem",
            "the view everything is not security_invoker and may show other tenants' rows",
        ),
        (
            "ALTER VIEW workitems_party SET (security_invoker = off)",
            "the view workitems_party is not security_invoker and may show other tenants' rows",
        ),
        (
            "CREATE MATERIALIZED VIEW everything AS SELECT * FROM workitems_workitem",
            "the materialized view everything stores rows without row-level security; drop it",
        ),
    ],
)
def test_function_or_view_that_bypasses_row_level_security_is_found(fault: str, problem: str) -> None:
    alter(fault)
    with pytest.raises(NotSafeToRunError) as refusal:
        refuse_unless_safe()
    assert str(refusal.value) == f"Threada refuses to run: {problem}."


def test_every_definer_function_of_the_source_is_known() -> None:
    """Every function of an `sql` folder is either known as SECURITY DEFINER or runs with the rights of its caller."""
    written = sum(
        len(re.findall(r"^[^-\n]*\bSECURITY DEFINER\b", path.read_text(), re.MULTILINE))
        for path in settings.THREADA_BASE_DIR.glob("*/**/sql/*.sql")
        if ".venv" not in path.parts
    )
    assert written == len(DEFINER_FUNCTIONS)


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        ("SUPERUSER", "the login is the superuser threada_probe"),
        ("BYPASSRLS", "the role threada_probe has BYPASSRLS"),
        (
            "IN ROLE threada_platform",
            "the login inherits threada_platform; it must be NOINHERIT and SET ROLE explicitly",
        ),
        ("IN ROLE threada_owner", "the login inherits threada_owner; it must be NOINHERIT and SET ROLE explicitly"),
    ],
)
def test_login_that_row_level_security_does_not_restrict_is_found(attribute: str, problem: str) -> None:
    root = connection.settings_dict.get("EMBEDDED_ROOT")
    if not root:
        pytest.skip("only the embedded server has a superuser for tests")
    cluster = postgres.ensure_running(Path(root))
    with psycopg.connect(**cluster.conninfo(user=cluster.superuser, dbname="postgres")) as superuser:
        superuser.execute(f"CREATE ROLE threada_probe INHERIT {attribute}")
        superuser.execute("SET LOCAL SESSION AUTHORIZATION threada_probe")
        assert problem in list(login_problems(superuser))
        superuser.rollback()


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
