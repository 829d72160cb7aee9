from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connection

from threada_site.tenancy.grants import append_only_tables
from threada_site.tenancy.roles import owner_role


class Command(flush.Command):
    """Django's `flush`, as the schema's owner; append-only tables let go for the length of it."""

    def handle(self, **options: Any) -> None:
        with owner_role():
            with connection.cursor() as cursor:
                for table in append_only_tables():
                    cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
            super().handle(**options)
            with connection.cursor() as cursor:
                for table in append_only_tables():
                    cursor.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')
