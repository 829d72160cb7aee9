"""Checks of the instance: versions, database, clock, keys, isolation and backups."""

from __future__ import annotations

import platform
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection

from telemetry.log.key_file import KeyFileProblem
from telemetry.receipts.keyring import ONE_ACCOUNT
from telemetry.receipts.signing import receipt_keyring
from threada_site.api.monitoring.readiness import write_problem
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.operator_word import people_by_operator
from threada_site.identity.owners import ownerless_by_tenant
from threada_site.kernel.context import system_context
from threada_site.runtime.backup.age import backup_age_seconds
from threada_site.runtime.backup.checks import key_line
from threada_site.runtime.backup.database import SCRATCH
from threada_site.runtime.backup.scheduled import misdated
from threada_site.runtime.doctor.findings import Finding, failed, ok, warning
from threada_site.runtime.sealer.process import sealing_key_file
from threada_site.tenancy.instance_membership import SKEW_TOLERATED_S, clock_skew, compare_facts, difference
from threada_site.tenancy.instance_models import LastBackup
from threada_site.tenancy.isolation_checks import start_problems
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.schema.version import missing_migrations, newer_schema_problem, schema_problem
from workitems.configuration.probable_mistakes import warnings_in_force

_LEAST_PYTHON: Final = (3, 12)
_LEAST_POSTGRESQL: Final = 15
_OLD_S: Final = 2 * 86_400
_MOST_MISTAKES: Final = 10


def versions() -> Iterator[Finding]:
    """Check the versions of Python, PostgreSQL and the schema."""
    own = f"Threada {settings.THREADA_VERSION}, Python {platform.python_version()}"
    if sys.version_info < _LEAST_PYTHON:
        yield failed("versions", own, f"Use Python {'.'.join(map(str, _LEAST_PYTHON))} or newer.")
    connection.ensure_connection()
    server = connection.pg_version // 10_000  # type: ignore[attr-defined]
    if server < _LEAST_POSTGRESQL:
        yield failed("versions", f"PostgreSQL {server}", f"Use PostgreSQL {_LEAST_POSTGRESQL} or newer.")
    problem = newer_schema_problem() or schema_problem()
    if problem:
        said, _, fix = problem.partition(". ")
        yield failed("versions", said, fix)
    elif missing := missing_migrations():
        yield failed("versions", f"{len(missing)} migrations are missing", "Run manage.py upgrade.")
    else:
        yield ok("versions", f"{own}, PostgreSQL {server}; the schema fits")


def database() -> Iterator[Finding]:
    """Check that the database answers, can write, and isolates tenants."""
    problem = write_problem()
    if problem:
        said, _, fix = problem.rstrip(".").rpartition(". ")
        yield failed("database", said, f"{fix}.")
        return
    problems = start_problems()
    if problems:
        yield failed("database", "; ".join(problems), "manage.py check_tenancy; docs/operations/database.md.")
        return
    yield ok("database", "it answers and writes, and tenants are isolated")


def leftovers() -> Iterator[Finding]:
    """Look for databases that a killed restore or verification has left behind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname ~ %s AND NOT EXISTS "
            "(SELECT FROM pg_stat_activity WHERE datid = pg_database.oid) ORDER BY datname",
            [SCRATCH],
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        yield warning(
            "leftovers",
            f"the database {name} contains a backup; the restore or verification that made it was killed",
            f"If none runs now, as a superuser: DROP DATABASE {name}.",
        )
    if not names:
        yield ok("leftovers", "no database of a killed restore")


def clock() -> Iterator[Finding]:
    """Compare the clock with the database server's."""
    ahead = clock_skew()
    said = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the database server's"
    if abs(ahead) > SKEW_TOLERATED_S:
        yield failed("clock", said, "Synchronise both machines (chrony or systemd-timesyncd).")
    else:
        yield ok("clock", "equal to the database server's" if not ahead else said)


def keys() -> Iterator[Finding]:
    """Compare keys and settings with those of the instance, and read the sealing key."""
    differing, _ = compare_facts(with_settings=True)
    for name in differing:
        said, _, fix = difference(name).partition(". ")
        yield failed("keys", said, fix)
    file = sealing_key_file()
    try:
        if file.exists():
            file.keys()
    except (KeyFileProblem, OSError) as error:
        yield failed("keys", str(error), "Restore the sealing key from a backup; the sealer signs nothing without it.")
    if not differing:
        yield ok("keys", "keys and settings are those of the instance")


def documents() -> Iterator[Finding]:
    """Look for probable mistakes of the workflows in force, in each tenant."""
    found = []
    for tenant in Tenant.objects.filter(is_active=True).order_by("slug"):
        with unit_of_work(tenant.id):
            ctx = system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=uuid.uuid4().hex)
            found += [f"{tenant.slug}: {said}" for said in warnings_in_force(ctx)]
    for said in found[:_MOST_MISTAKES]:
        yield warning("documents", said, "Correct the workflow; manage.py apply --plan names all mistakes.")
    if len(found) > _MOST_MISTAKES:
        yield warning("documents", f"{len(found) - _MOST_MISTAKES} more", "manage.py apply --plan names all mistakes.")
    if not found:
        yield ok("documents", "no probable mistakes in the workflows in force")


def owners() -> Iterator[Finding]:
    """Name agents and services without a known owner, in each tenant."""
    found = ownerless_by_tenant()
    for slug, names in found.items():
        yield warning(
            "owners",
            f"{slug}: nobody is known to control {', '.join(names)}; they ask, read and execute, and change nothing",
            f"manage.py set_owner PERSON --all-of-tenant {slug}, or --of NAME --tenant {slug}.",
        )
    if not found:
        yield ok("owners", "every agent and service has a known owner")


def people() -> Iterator[Finding]:
    """Name people who are people by the operator's word, in each tenant."""
    for tenant in Tenant.objects.filter(is_active=True).order_by("slug"):
        with unit_of_work(tenant.id):
            found = people_by_operator(tenant.id)
        if found:
            named = ", ".join(f"{name} ({', '.join(made)})" for name, made in found.items())
            by_word = "people by the operator's word, whose account, password or token a command made"
            yield ok("people", f"{tenant.slug}: {by_word}: {named}")


def receipts() -> Iterator[Finding]:
    """Check that receipts can be signed, and that signatures tell the processes apart."""
    keyring = receipt_keyring()
    problems = [problem for role in keyring.roles() if (problem := keyring.problem(role))]
    for problem in problems:
        yield failed("receipts", problem, "docs/operations/keys.md: keys of receipts.")
    if not problems and keyring.is_of_one_account():
        yield warning(
            "receipts",
            ONE_ACCOUNT,
            "Run up as root, or the processes under accounts of their own: docs/operations/keys.md.",
        )
    elif not problems:
        yield ok("receipts", "each process signs its receipts with a key of its own")


def backup() -> Iterator[Finding]:
    """Check the age of the newest backup, and the names of scheduled ones."""
    folder: Path | None = settings.THREADA_BACKUP_DIR
    if folder is not None and folder.exists():
        yield from _misdated(folder)
    age = backup_age_seconds()
    if age is None or not LastBackup.objects.exists():
        yield warning("backup", "none was ever made", "manage.py backup FILE, and docs/operations/backup.md.")
    elif age > _OLD_S:
        yield warning("backup", f"the newest is {age / 86_400:.1f} days old", "Look at the scheduled backups.")
    else:
        yield ok("backup", f"the newest is {age / 3600:.1f} hours old")
    if line := key_line():
        yield ok("backup", f"option of restore, to keep beside the recovery key: {line}")


def _misdated(folder: Path) -> Iterator[Finding]:
    try:
        names = misdated(folder)
    except OSError as error:
        yield warning("backup", f"{folder}: {error.strerror}", "Run doctor as the user who makes the backups.")
        return
    for name in names:
        yield warning(
            "backup",
            f"{folder / name} is dated in the future or at an impossible time, so it is neither counted nor removed",
            "Compare the clock, then rename or remove the file.",
        )
