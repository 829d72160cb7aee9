"""Start-up checks of every process: database isolation, replicas, engine settings, keys and clock."""

from __future__ import annotations

import structlog
from django.conf import settings

from integrations.secrets.access import plain_origins
from integrations.secrets.origins import UnusableOrigin
from integrations.secrets.references import entry_problems
from telemetry.receipts.signing import receipt_keyring
from threada_site.database.logins import roles_in_reach
from threada_site.database.replicas import replica_problems
from threada_site.jobs.engines.choice import engine_problem
from threada_site.kernel.cel import assert_hardened
from threada_site.kernel.extras import missing_extra
from threada_site.tenancy.instance_membership import SKEW_TOLERATED_S, clock_skew, difference, differing_facts
from threada_site.tenancy.isolation_checks import start_problems
from threada_site.tenancy.schema.version import missing_migrations, newer_schema_problem

log = structlog.get_logger("threada.startup")


class NotSafeToRunError(RuntimeError):
    """The instance must not run in this state; the message says why."""


def refuse_unless_safe(*, works: bool = True) -> None:
    """Raise `NotSafeToRunError` if the process must not run.

    That is the case if the engine's settings are invalid, the schema is not that of this code, the login could see rows
    of other tenants, a replica is not one, or the rule engine is not hardened. `works`: True if the process runs jobs.
    """
    problem = engine_problem(works=works)
    if problem:
        raise NotSafeToRunError(f"Threada refuses to run: {problem}.")
    refuse_unless_schema_fits()
    for problem in entry_problems(settings.THREADA_SECRET_REFS):
        log.warning("secret_reference_unusable", detail=f"THREADA_SECRET_REFS: {problem}")
    problems = [*_missing_packages(), *_plain_origin_problems(), *start_problems(), *replica_problems()]
    if problems:
        raise NotSafeToRunError("Threada refuses to run: " + "; ".join(problems) + ".")
    assert_hardened()


def refuse_unless_schema_fits() -> None:
    """Raise `NotSafeToRunError` if the schema is newer than this code and not compatible with it, or not complete."""
    newer = newer_schema_problem()
    if newer:
        raise NotSafeToRunError(newer)
    missing = missing_migrations()
    if missing:
        raise NotSafeToRunError(
            f"The schema is older than this code, or a migration was interrupted: {len(missing)} migrations are "
            f"missing, the first is {missing[0]}. Run manage.py upgrade; it continues where it was interrupted."
        )


def _plain_origin_problems() -> list[str]:
    try:
        plain_origins()
    except UnusableOrigin as error:
        return [f"an entry of THREADA_PLAIN_SECRET_ORIGINS {error}"]
    return []


def _missing_packages() -> list[str]:
    """Return a problem for each setting whose optional package is not installed."""
    needed = {"otlp": "THREADA_OTLP_ENDPOINT", "archives": "THREADA_ARCHIVE_URL"}
    return [
        f"{setting} is set, and {missing}"
        for extra, setting in needed.items()
        if getattr(settings, setting) and (missing := missing_extra(extra))
    ]


def refuse_unless_signing(*roles: str) -> None:
    """Raise `NotSafeToRunError` if receipts of these roles cannot be signed so that they verify."""
    problems = [problem for role in roles if (problem := receipt_keyring().problem(role))]
    if problems:
        raise NotSafeToRunError("\n".join(["Receipts cannot be signed:", *problems]))


def refuse_unless_of_this_instance() -> None:
    """Raise `NotSafeToRunError` if a key or setting differs from the other machines'. Log a warning if the clock
    differs."""
    differing = differing_facts(with_settings=True)
    if differing:
        raise NotSafeToRunError("\n".join(["This machine does not join:", *map(difference, differing)]))
    ahead = clock_skew()
    if abs(ahead) > SKEW_TOLERATED_S:
        log.warning("clock_differs", seconds_ahead_of_database=round(ahead, 1))


def refuse_unless_web_is_apart(web_url: str) -> None:
    """Raise `NotSafeToRunError` if the web's login could take a role that is reserved for the platform login."""
    if not settings.THREADA_HAS_PLATFORM_LOGIN:
        return
    if not web_url:
        raise NotSafeToRunError(
            "THREADA_PLATFORM_DATABASE_URL is set and DATABASE_URL is not: the web needs a login on the same server. "
            "manage.py database_logins makes both."
        )
    roles = roles_in_reach(web_url)
    if roles:
        raise NotSafeToRunError(
            f"The web's login (DATABASE_URL) may become {' and '.join(roles)}, although THREADA_PLATFORM_DATABASE_URL "
            "has a login for that. manage.py database_logins says how to take it away."
        )
