"""Check of a login: it must be subject to row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings

from threada_site.database.roles import OWNER, PLATFORM


def login_problems(connection: Any) -> Iterator[str]:
    """Yield what would let the login of this connection bypass row-level security."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolname = current_user,
                   pg_has_role(current_user, r.oid, 'USAGE')
              FROM pg_roles r
             WHERE pg_has_role(current_user, r.oid, 'MEMBER') AND r.rolname !~ '^pg_'
            """
        )
        rows = cursor.fetchall()
    for name, is_superuser, bypasses, is_login, is_inherited in rows:
        if is_superuser:
            yield f"the login {'is' if is_login else 'may become'} the superuser {name}"
        elif bypasses:
            yield f"the role {name} has BYPASSRLS"
        elif name in (OWNER, PLATFORM) and (is_login or is_inherited):
            yield f"the login inherits {name}; it must be NOINHERIT and SET ROLE explicitly"
        elif name in (OWNER, PLATFORM) and settings.THREADA_IS_WEB and settings.THREADA_HAS_PLATFORM_LOGIN:
            yield (
                f"the web's login may become {name}, although THREADA_PLATFORM_DATABASE_URL has a login for that; "
                "manage.py database_logins says how to take it away"
            )
