"""One PostgreSQL: DATABASE_URL when it is set, the embedded server otherwise.

Processes that are not the web take the login of THREADA_PLATFORM_DATABASE_URL, where there is one.
"""

from __future__ import annotations

from typing import Any

from threada_site.settings.environment import DATA_DIR, database_url, is_web, number, text
from threada_site.tenancy.bootstrap import EMBEDDED_DATABASE, connection_parameters
from threada_site.tenancy.roles import APP

DATABASE_URL = database_url()
# The web's own login must not be able to become what the other one is for.
THREADA_HAS_PLATFORM_LOGIN = bool(text("THREADA_PLATFORM_DATABASE_URL"))
THREADA_WEB_DATABASE_URL = text("DATABASE_URL")
THREADA_IS_WEB = is_web()


def _connection() -> dict[str, Any]:
    if not DATABASE_URL:
        return {"NAME": EMBEDDED_DATABASE, "USER": APP, "EMBEDDED_ROOT": str(DATA_DIR), "OPTIONS": {}}
    parts = connection_parameters(DATABASE_URL, DATA_DIR)
    named = {
        "NAME": parts.pop("dbname", None) or EMBEDDED_DATABASE,
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
    }
    return {**named, "OPTIONS": parts}


_database = _connection()
_database["OPTIONS"] |= {
    "pool": {
        "min_size": 1,
        "max_size": number("THREADA_DATABASE_POOL", 16),
        "timeout": 10,
        "max_idle": 10,  # seconds; each connection at rest costs PostgreSQL some 5 MB
    },
    "prepare_threshold": 3,
}

DATABASES = {
    "default": {
        "ENGINE": "threada_site.tenancy.backend",
        "TEST": {"NAME": text("THREADA_TEST_DATABASE") or "test_threada"},
        **_database,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
