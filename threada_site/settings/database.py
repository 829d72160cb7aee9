"""One PostgreSQL: DATABASE_URL if it is set, otherwise the embedded server. And replicas for reading lists.

The web has a login that may take no role. All other processes have another one: on the embedded server, on a server
that `up` prepared, and if THREADA_PLATFORM_DATABASE_URL is set.
"""

from __future__ import annotations

import re
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from threada_site.database.bootstrap import EMBEDDED_DATABASE, connection_parameters, has_both_logins
from threada_site.database.role_names import APP, PLATFORM_LOGIN, WEB_STATEMENT_MS
from threada_site.database.stored_logins import EMBEDDED, stored_passwords
from threada_site.settings.environment import DATA_DIR, database_url, flag, is_web, number, text

DATABASE_URL = database_url()
# The web's login must not be able to take the roles of the platform login.
# `up` withholds the URL of that login from the web and sets THREADA_HAS_PLATFORM_LOGIN.
THREADA_HAS_PLATFORM_LOGIN = (
    flag("THREADA_HAS_PLATFORM_LOGIN")
    or bool(text("THREADA_PLATFORM_DATABASE_URL"))
    or not DATABASE_URL
    or has_both_logins(DATABASE_URL, DATA_DIR)
)
THREADA_WEB_DATABASE_URL = text("DATABASE_URL")
THREADA_IS_WEB = is_web()


def _connection() -> dict[str, Any]:
    if not DATABASE_URL:
        login = APP if THREADA_IS_WEB else PLATFORM_LOGIN
        return {
            "NAME": EMBEDDED_DATABASE,
            "USER": login,
            "PASSWORD": stored_passwords(DATA_DIR, EMBEDDED).get(login, ""),
            "EMBEDDED_ROOT": str(DATA_DIR),
            "OPTIONS": {},
        }
    named = _named(connection_parameters(DATABASE_URL, DATA_DIR))
    return {**named, "NAME": named["NAME"] or EMBEDDED_DATABASE}


def _replica(url: str) -> dict[str, Any]:
    """Return the settings of a replica. Database, user and password default to the primary's, because a replica has the
    same."""
    named = _named(dict(conninfo_to_dict(url)))
    for name in ("NAME", "USER", "PASSWORD") if not named["USER"] else ("NAME",):
        named[name] = named[name] or _database.get(name, "")
    # An unreachable host must not delay a request for the minutes of TCP's own timeout.
    patience = {"connect_timeout": 2, "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3}
    named["OPTIONS"] = {**patience, "tcp_user_timeout": 3000, **named["OPTIONS"], "prepare_threshold": 3}
    return {
        "ENGINE": "threada_site.database.backend",
        "TEST": {"MIRROR": "default"},
        "CONN_MAX_AGE": 60,  # kept by each thread, without a pool, so that a stopped server is noticed at once
        **named,
    }


def _named(parts: dict[str, Any]) -> dict[str, Any]:
    named = {
        "NAME": parts.pop("dbname", None) or "",
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
    }
    return {**named, "OPTIONS": parts}


# Milliseconds after which PostgreSQL ends a statement of a process. Commands, exports and the sealer have no limit.
_statement_ms = {"web": WEB_STATEMENT_MS, "worker": 1_800_000}.get(text("THREADA_PROCESS"), 0)

_database = _connection()
if _statement_ms:
    _limit = f"-c statement_timeout={_statement_ms}"
    _database["OPTIONS"]["options"] = f"{_database['OPTIONS'].get('options', '')} {_limit}".strip()
_database["OPTIONS"] |= {
    "application_name": "threada",  # the sealer notices processes of versions that did not name themselves
    "pool": {
        "min_size": 1,
        "max_size": number("THREADA_DATABASE_POOL", 16),
        "timeout": 10,
        # After that the next request connects itself; the pool's own pauses double while the server is away.
        "reconnect_timeout": 5,
        "max_idle": 10,  # seconds; each idle connection costs PostgreSQL about 5 MB
    },
    "prepare_threshold": 3,
}

DATABASES = {
    "default": {
        "ENGINE": "threada_site.database.backend",
        "TEST": {"NAME": text("THREADA_TEST_DATABASE") or "test_threada"},
        **_database,
    }
}
_replicas = {
    f"replica_{number}": _replica(url)
    for number, url in enumerate(
        filter(None, re.split(r"[\s,]+(?=postgres(?:ql)?://)", text("THREADA_REPLICA_DATABASE_URL"))), start=1
    )
}
DATABASES |= _replicas
DATABASE_ROUTERS = ["threada_site.database.router.ReadingRouter"]
THREADA_REPLICAS = list(_replicas)
# Milliseconds that a request waits for a replica to replay what was written before it.
THREADA_REPLICA_WAIT_MS = number("THREADA_REPLICA_WAIT_MS", 100)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
