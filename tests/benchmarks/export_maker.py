"""One export in its own process: `python -m tests.benchmarks.export_maker TENANT ROWS file|stream`.

`file`: written by a worker, with digest and fsync. `stream`: written by `manage.py export_telemetry` to /dev/null.
Prints rows, seconds, peak MB of the process, and the id of the export.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path


def main(slug: str, rows: int, way: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "threada_site.settings"
    import django

    django.setup()
    from telemetry.exports.bodies import selected_receipts, stream
    from telemetry.exports.job import make_export
    from telemetry.exports.request import new_export, record_export
    from telemetry.models import Receipt, TelemetryExport
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import Credential, Tenant

    tenant = Tenant.objects.get(slug=slug)
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        export = new_export({}, ctx=ctx)
        export.requested_by = Credential.objects.earliest("id").user_id
        newest = Receipt.objects.filter(tenant_id=tenant.id, id__lt=export.before_id).order_by("-id")
        first = newest.values_list("id", flat=True)[rows - 1 : rows].first()
        if first is not None:
            export.from_id = first
        export.save(force_insert=True)
        record_export(export, ctx=ctx)
    begun = time.perf_counter()
    if way == "file":
        make_export(export.id, ctx=ctx)
        seconds = time.perf_counter() - begun
        with unit_of_work(tenant.id):
            count = TelemetryExport.objects.get(id=export.id).rows
    else:
        size = 0
        with Path(os.devnull).open("wb", buffering=0) as sink:
            for block in stream(export):
                size += len(block)
                sink.write(block)
        seconds = time.perf_counter() - begun
        with unit_of_work(tenant.id):
            rows_of_it = selected_receipts(export)
            count = rows_of_it.count()
            assert size == sum(len(body) + 1 for body in rows_of_it.values_list("body", flat=True).iterator())
    print(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, export.public_id)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
