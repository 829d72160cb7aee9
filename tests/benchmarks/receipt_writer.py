"""Writer of receipts by the product's service: `python -m tests.benchmarks.receipt_writer TENANT SECONDS`.

Prints `ready`; for each line read, writes for that time and prints the number of receipts.
"""

from __future__ import annotations

import os
import sys
import time


def main(slug: str, seconds: float) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "threada_site.settings"
    import django

    django.setup()
    from telemetry.receipts.format import Entry
    from telemetry.receipts.record import record
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import Tenant

    tenant = Tenant.objects.get(slug=slug)
    ctx = acting_system(tenant)
    entry = Entry(kind="thing.done", inputs={"text": "x" * 700}, outcome={"status": "done"})
    with unit_of_work(tenant.id):
        record(entry, ctx=ctx)
    print("ready", flush=True)
    while sys.stdin.readline():
        count = 0
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            with unit_of_work(tenant.id):
                record(entry, ctx=ctx)
            count += 1
        print(count, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
