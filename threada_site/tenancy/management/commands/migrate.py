from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection

from threada_site.database.partitioning import has_months, make_months
from threada_site.database.roles import OWNER, may_take, owner_role
from threada_site.database.table_grants import grant_tables


class Command(migrate.Command):
    """Django's `migrate`, run as the schema's owner; also updates table grants and creates missing partitions."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not may_take(OWNER):
            raise CommandError(
                f"The login may not take the role {OWNER} and cannot change the schema. Set "
                "THREADA_PLATFORM_DATABASE_URL to the login that manage.py database_logins creates."
            )
        with owner_role():
            super().handle(*args, **options)
            grant_tables(connection)
            if not options.get("plan") and not options.get("check_unapplied") and has_months():
                make_months()
