from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connection

from threada_site.tenancy.grants import grant_tables
from threada_site.tenancy.roles import owner_role


class Command(migrate.Command):
    """Django's `migrate`, as the schema's owner, followed by the grants of the login and the platform role."""

    def handle(self, *args: Any, **options: Any) -> None:
        with owner_role():
            super().handle(*args, **options)
            grant_tables(connection)
