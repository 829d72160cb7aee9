from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connection

from threada_site.runtime.startup import (
    NotSafeToRunError,
    refuse_unless_of_this_instance,
    refuse_unless_safe,
    refuse_unless_signing,
)
from threada_site.runtime.web.options import web_command
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = (
        "Serve console and API. May run several times, on several machines, behind a load balancer that polls /readyz."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="the port (8000)")
        parser.add_argument(
            "--processes", type=int, default=settings.THREADA_WEB_PROCESSES, help="(THREADA_WEB_PROCESSES)"
        )
        parser.add_argument(
            "--drain",
            type=float,
            default=settings.THREADA_DRAIN_SECONDS,
            help="seconds to keep serving, reported as not ready, once asked to stop (THREADA_DRAIN_SECONDS, 5)",
        )

    def run_command(self, **options: Any) -> None:
        try:
            refuse_unless_safe(works=False)
            refuse_unless_signing("web")
            refuse_unless_of_this_instance()
        except NotSafeToRunError as error:
            raise CommandError(str(error)) from None
        connection.close()
        command = web_command(
            host=options["host"], port=options["port"], processes=options["processes"], drain_s=options["drain"]
        )
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606
