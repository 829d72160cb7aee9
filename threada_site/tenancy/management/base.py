"""Base of the management commands: refusals go to stderr with exit status 1, wrong usage exits with 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError
from psycopg.errors import UndefinedTable
from psycopg_pool import PoolTimeout

from threada_site.database.connection_problems import UNUSABLE, connection_problem, file_problem
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import ConfirmationRequired, ThreadaError
from threada_site.kernel.keyring import ReceiptKeyProblem
from threada_site.postgres import EmbeddedPostgresError
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.instance_membership import difference, differing_facts
from threada_site.tenancy.models import Tenant


class ProductCommand(BaseCommand):
    """Base of all commands. Subclasses implement `run_command`. A `ThreadaError` ends in exit status 1."""

    requires_system_checks: list[str] = []
    uses_keys = False  # True if it needs encryption keys, which must be those of the instance

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            if self.uses_keys and (differing := differing_facts(with_settings=False)):
                self.refuse(*map(difference, differing))
            self.run_command(**options)
        except ConfirmationRequired:
            raise
        except ThreadaError as error:
            self.refuse(error.detail, *(f"{entry.pointer} {entry.detail}" for entry in error.errors))
        except (EmbeddedPostgresError, ReceiptKeyProblem) as error:
            self.refuse(str(error))
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable):
                raise
            self.refuse("The schema is missing or older than this code. Run manage.py migrate.")
        except (OperationalError, PoolTimeout) as error:
            self.refuse(connection_problem(error))
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
            self.refuse(*file_problem(error))

    def run_command(self, **options: Any) -> None:
        """Run the command. Write only its result to standard output."""
        raise NotImplementedError

    def refuse(self, *lines: str) -> NoReturn:
        """Print the reasons and exit with status 1."""
        self._exit(1, lines)

    def misuse(self, *lines: str) -> NoReturn:
        """Print the correct usage and exit with status 2, as for an unknown option."""
        self._exit(2, lines)

    def _exit(self, status: int, lines: Sequence[str]) -> NoReturn:
        for line in lines:
            self.stderr.write(line)
        sys.exit(status)


class TenantCommand(ProductCommand):
    """Command of the instance's operator inside one tenant.

    A change that needs a second person is stored as a change set; the command prints its id and succeeds.
    """

    _context: ActingContext | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            super().handle(*args, **options)
        except ConfirmationRequired as refusal:
            self._propose(refusal)

    def _propose(self, refusal: ConfirmationRequired) -> None:
        ctx = self._context
        if ctx is None:
            self.refuse(refusal.detail)
        with unit_of_work(ctx.tenant_id, actor=ctx):
            change_set = store_proposal(refusal, ctx=ctx)
        self.stdout.write(change_set.public_id)
        self.stdout.write(
            "Nothing is changed yet. An independent person must publish this change set, in the console or with "
            f"POST /change-sets/{change_set.public_id}/publish."
        )

    def command_context(self, slug: str) -> ActingContext:
        """Return the system context of the tenant `slug`. Refuse an unknown tenant."""
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            self.refuse(f"There is no tenant {slug!r}. Create it with manage.py create_tenant.")
        self._context = system_context(
            tenant_id=tenant.id,
            tenant_slug=tenant.slug,
            correlation_id=ids.new_uuid().hex,
            entry_point=EntryPoint.COMMAND,
        )
        return self._context
