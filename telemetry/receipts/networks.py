"""Receipts of the first use of a credential from a network."""

from __future__ import annotations

from typing import Final

from django.db import connection

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record_with_source
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.source import Source

MOST_NETWORKS: Final = 32
"""Number of networks remembered per credential. The oldest one is dropped for a new one."""

# A row that another request locks is skipped: that request adds the network, or the next one does.
_ADD: Final = """
UPDATE tenancy_credential
   SET networks = (networks || %(network)s::varchar)[greatest(1, cardinality(networks) + 2 - %(most)s):]
 WHERE id = (SELECT id FROM tenancy_credential
              WHERE tenant_id = %(tenant)s AND id = %(credential)s AND NOT %(network)s = ANY (networks)
                FOR UPDATE SKIP LOCKED)
RETURNING 1
"""


def record_new_network(ctx: ActingContext, source: Source) -> None:
    """Store the network of `source` with the credential of `ctx`. Receipt `credential.used_from` if it is new.

    A rolled-back request calls this once more in the unit of work of its refusal.
    """
    if ctx.credential_id is None or source.network is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            {
                "network": source.network,
                "most": MOST_NETWORKS,
                "tenant": ctx.tenant_id,
                "credential": ctx.credential_id,
            },
        )
        if cursor.fetchone() is None:
            return
    inputs = {"credential": ids.public_id(ids.CREDENTIAL, ctx.credential_id), "principal": ctx.actor}
    record_with_source(Entry(kind="credential.used_from", inputs=inputs), source, ctx=ctx)
