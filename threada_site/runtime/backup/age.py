"""Record and age of the newest backup."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.kernel import clock
from threada_site.kernel.metrics import Metric
from threada_site.tenancy.instance_models import Instance, LastBackup


def record_backup(*, name: str, size: int, has_keys: bool) -> None:
    """Store what is known about a backup that is complete."""
    LastBackup.objects.update_or_create(
        id=1, defaults={"made_at": clock.now(), "name": name, "size": size, "has_keys": has_keys}
    )


def backup_age_seconds() -> float | None:
    """Return the age of the newest backup, or of the instance if there is none; None before the first start."""
    backup = LastBackup.objects.first()
    instance = Instance.objects.first()
    since = backup.made_at if backup else instance.made_at if instance else None
    return None if since is None else max((clock.now() - since).total_seconds(), 0.0)


def backup_metrics() -> Iterator[Metric]:
    """Yield the age of the newest backup."""
    age = backup_age_seconds()
    if age is not None:
        yield Metric(
            "threada_backup_age_seconds", "Age of the newest backup, or of the instance if there is none.", age
        )
