from __future__ import annotations

from typing import Any

from threada_site.database.replicas import replica_problems
from threada_site.tenancy.isolation_checks import start_problems, tenant_models
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Check in the live database that tenants are isolated by row-level security."

    def run_command(self, **_options: Any) -> None:
        problems = [*start_problems(), *replica_problems()]
        if problems:
            self.refuse(*problems)
        self.stdout.write(f"Tenants are isolated: {len(tenant_models())} tables under forced row-level security.")
