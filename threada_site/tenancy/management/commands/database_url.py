from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from django.conf import settings
from django.core.management.base import CommandParser
from psycopg.conninfo import conninfo_to_dict

from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE, is_superuser, login_url
from threada_site.database.role_names import PLATFORM_LOGIN
from threada_site.database.stored_logins import EMBEDDED, stored_passwords
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Print the URL of the database, for psql and pg_dump. It may contain a password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--superuser",
            action="store_true",
            help="with a login that sees the rows of all tenants, which pg_dump needs",
        )

    def run_command(self, **options: Any) -> None:
        write = self._external if settings.DATABASE_URL else self._embedded
        self.stdout.write(write(as_superuser=options["superuser"]))

    def _embedded(self, *, as_superuser: bool) -> str:
        cluster = postgres.ensure_running(settings.THREADA_DATA_DIR)
        login = cluster.superuser if as_superuser else PLATFORM_LOGIN
        password = stored_passwords(settings.THREADA_DATA_DIR, EMBEDDED).get(login, "")
        return cluster.url(user=login, dbname=EMBEDDED_DATABASE, password=password)

    def _external(self, *, as_superuser: bool) -> str:
        if not as_superuser:
            return _as_url(login_url(settings.DATABASE_URL, settings.THREADA_DATA_DIR))
        try:
            if not is_superuser(settings.DATABASE_URL):
                self.refuse("DATABASE_URL does not contain a superuser. Ask the administrator of the server.")
        except psycopg.OperationalError as error:
            self.refuse(f"The database does not answer: {str(error).strip()}")
        return _as_url(settings.DATABASE_URL)


def _as_url(conninfo: str) -> str:
    """Return a libpq URL for a URL or for keywords and values."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    user, password = quote(parts.pop("user", ""), safe=""), parts.pop("password", "")
    database = quote(parts.pop("dbname", ""), safe="")
    login = f"{user}:{quote(password, safe='')}@" if password else f"{user}@" if user else ""
    return f"postgresql://{login}/{database}" + (f"?{urlencode(parts)}" if parts else "")
