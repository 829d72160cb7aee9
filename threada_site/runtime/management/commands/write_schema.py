from __future__ import annotations

import secrets
from typing import Any

from django.core.management import call_command
from django.db import connection

from threada_site.database.role_names import OWNER
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.schema.fingerprint import schema_lines
from threada_site.tenancy.schema.states import CURRENT


class Command(ProductCommand):
    help = "Write threada_site/tenancy/schema/current.txt: the schema that all migrations make in an empty database."

    def run_command(self, **_options: Any) -> None:
        own, name = connection.settings_dict["NAME"], f"threada_rehearsal_{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            self._connect_to(name)
            call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
            with connection.cursor() as cursor:
                lines = schema_lines(cursor)
        finally:
            self._connect_to(own)
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        CURRENT.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self.stdout.write(str(CURRENT))

    def _execute(self, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {OWNER}")
            cursor.execute(statement)
            cursor.execute("RESET ROLE")

    def _connect_to(self, name: str) -> None:
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        connection.settings_dict["NAME"] = name
