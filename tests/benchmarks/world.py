"""Environment of measurements: an embedded PostgreSQL, the schema, one tenant, one workflow, one token."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from threada_site import postgres

TENANT: Final = "benchmarks"
WORKFLOW: Final = "vendor_security_review"
CHANNEL: Final = "web_main"
PAYLOAD: Final = {
    "vendor": "Initech Hosting",
    "certificate": "ISO27001",
    "handles_personal_data": True,
    "annual_spend_minor": 1_250_000,
}
BODY: Final = {"workflow_id": WORKFLOW, "channel_id": CHANNEL, "payload": PAYLOAD}


@dataclass(frozen=True, slots=True)
class World:
    """Measured instance. `token` belongs to a service with all scopes in the tenant."""

    data_dir: Path
    port: int
    tenant_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    @property
    def body(self) -> str:
        return json.dumps(BODY)

    def superuser(self, dbname: str = "threada") -> dict[str, Any]:
        """Return psycopg's arguments for a superuser, who generates rows, reads statistics and logs statements."""
        cluster = postgres.ensure_running(self.data_dir)
        return dict(cluster.conninfo(user=cluster.superuser, dbname=dbname))


def make_world(data_dir: Path, *, port: int) -> World:
    """Start and migrate an instance in `data_dir` and create one tenant. Set Django up in this process."""
    os.environ["THREADA_DATA_DIR"] = str(data_dir)
    os.environ["THREADA_RATE_LIMITS"] = "credential=100000 tenant=100000"  # leased as always, and never used up
    os.environ.pop("DATABASE_URL", None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "threada_site.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from tests.factories import acting_system, make_principal, make_tenant, make_token
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel.context import EntryPoint
    from threada_site.runtime.prepare import DEMO_DOCUMENTS, DEMO_PACK
    from threada_site.tenancy.models import Tenant
    from workitems.configuration.apply import apply_documents, read_documents
    from workitems.gallery.catalogue import gallery_pack
    from workitems.gallery.installation import install_from_gallery

    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    token = data_dir / "benchmark-token"
    tenant = Tenant.objects.filter(slug=TENANT).first() or make_tenant(TENANT)
    if not token.exists():
        with unit_of_work(tenant.id):
            ctx = acting_system(tenant, EntryPoint.COMMAND)
            apply_documents(read_documents(DEMO_DOCUMENTS), ctx=ctx)
            install_from_gallery(gallery_pack(DEMO_PACK), ctx=ctx)
        client = make_principal(tenant, "client", kind="service", roles=("tenant_admin",))
        token.write_text(make_token(tenant, client))
    return World(data_dir, port, str(tenant.id), token.read_text())
