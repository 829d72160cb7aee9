from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.bootstrap import EMBEDDED_DATABASE
from threada_site.database.logins import login_at, logins_script, new_passwords, scram_verifier
from threada_site.database.role_names import APP, PLATFORM_LOGIN
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = (
        "Print an SQL script that creates a login for the web, which may take no role, and a login for all else. "
        "Pipe it into psql as a superuser. The settings of each machine are printed to standard error. "
        "The command opens no connection."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="localhost", help="host of the server (localhost)")
        parser.add_argument("--port", type=int, default=5432, help="port of the server (5432)")
        parser.add_argument("--database", default=EMBEDDED_DATABASE, help=f"database ({EMBEDDED_DATABASE})")
        parser.add_argument("--keep-passwords", action="store_true", help="do not change passwords")
        parser.add_argument(
            "--keep-memberships",
            action="store_true",
            help=f"keep the roles of {APP} while workers and sealers still use it; run again without this later",
        )

    def run_command(self, **options: Any) -> None:
        passwords = {} if options["keep_passwords"] else new_passwords()
        verifiers = {login: scram_verifier(password) for login, password in passwords.items()}
        self.stdout.write(
            logins_script(
                database=options["database"],
                verifiers=verifiers,
                takes_memberships=not options["keep_memberships"],
            ),
            ending="",
        )
        place = {name: options[name] for name in ("host", "port", "database")}
        for login, password in passwords.items():
            variable = "THREADA_PLATFORM_DATABASE_URL" if login == PLATFORM_LOGIN else "DATABASE_URL"
            where = "worker, sealer, commands" if login == PLATFORM_LOGIN else "web"
            self.stderr.write(f"# {where}\n{variable}={login_at(login, password, **place)}")
