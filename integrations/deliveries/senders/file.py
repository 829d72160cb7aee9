"""Delivery to a file: CloudEvents in structured mode, one per line."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings

from integrations.deliveries.senders.events import event_of
from telemetry.deliveries.batches import Batch
from telemetry.deliveries.rules import Accepted, DeliveryFailure
from telemetry.models import Delivery

MOST_REQUESTED: Final = 20
"""Files of requested attempts that are kept for each delivery, the newest."""

log = structlog.get_logger("threada.deliveries")


def write_to_file(batch: Batch) -> Accepted | DeliveryFailure:
    """Make one attempt to append the batch."""
    try:
        size = _append(batch)
        if batch.name:
            _remove_older(batch.delivery)
        return Accepted(file_size=size)
    except OSError as error:
        log.warning("delivery_file_failed", delivery=batch.delivery.slug, error=str(error))
        detail = f"The file cannot be written: {error.strerror or type(error).__name__}."
        return DeliveryFailure("export_target_unavailable", detail)


def file_of(delivery: Delivery, name: str = "") -> Path:
    """Return the path of a delivery's file, or of the file of its requested attempt `name`.

    Another delivery with the same slug has another file.
    """
    folder: Path = settings.THREADA_DELIVERY_DIR
    attempt = f".{name}" if name else ""
    return folder / str(delivery.tenant_id) / f"{delivery.slug}.{delivery.public_id}{attempt}.ndjson"


def _append(batch: Batch) -> int:
    """Append the batch after the delivered bytes, one event per line. Return the new size of the file.

    Bytes of an attempt without a recorded result are truncated first, so that the file contains each receipt once. A
    file shorter than the delivered size was moved or emptied by its reader; writing continues at its end.

    Requested attempts have a file each, so that the file of the delivery contains each receipt once.
    """
    data = b"".join(event_of(receipt, batch.delivery) + b"\n" for receipt in batch.receipts)
    path = file_of(batch.delivery, batch.name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(path) as file:
        size = os.fstat(file).st_size
        begin = size if batch.name else min(size, batch.delivery.file_size)
        os.ftruncate(file, begin)
        left, at = memoryview(data), begin
        while left:
            written = os.pwrite(file, left, at)
            left, at = left[written:], at + written
        os.fsync(file)
    return begin + len(data)


def _remove_older(delivery: Delivery) -> None:
    """Keep the newest files of requested attempts. Their names contain ids, which are in the order of time."""
    whole = file_of(delivery)
    found = sorted(whole.parent.glob(f"{whole.stem}.*.ndjson"))
    for path in found[:-MOST_REQUESTED]:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    finally:
        os.close(file)
