"""The base of the product's commands: refusals go to stderr with exit status 1, wrong use exits with 2."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.models import Tenant


class ProductCommand(BaseCommand):
    """Subclasses write `act`; what it raises as `ThreadaError` becomes a message and exit status 1."""

    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            self.act(**options)
        except ThreadaError as error:
            self.refuse(error.detail, *(entry.detail for entry in error.errors))

    def act(self, **options: Any) -> None:
        """Do it. Standard output is for the result alone."""
        raise NotImplementedError

    def refuse(self, *lines: str) -> NoReturn:
        """Say why not, and exit with status 1."""
        for line in lines:
            self.stderr.write(line)
        sys.exit(1)


class TenantCommand(ProductCommand):
    """A command of the instance's operator inside one tenant."""

    def command_context(self, slug: str) -> ActingContext:
        """Threada itself acting in the tenant `slug`; an unknown one is refused."""
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            self.refuse(f"There is no tenant {slug!r}. manage.py create_tenant makes one.")
        return system_context(
            tenant_id=tenant.id,
            tenant_slug=tenant.slug,
            correlation_id=ids.new_uuid().hex,
            entry_point=EntryPoint.COMMAND,
        )
