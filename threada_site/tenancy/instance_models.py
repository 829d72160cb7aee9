"""Tables of the instance; their rows belong to no tenant."""

from __future__ import annotations

from django.db import models

from threada_site.kernel import clock


class StoredMetrics(models.Model):
    """Metrics for `/metrics`, stored by a worker for a web whose login may not take the platform role.

    At most one row: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    metrics = models.JSONField(editable=False)
    collected_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="storedmetrics_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"collected at {self.collected_at}"


class Instance(models.Model):
    """Facts that all machines must agree on, as the first one recorded them: key fingerprints and settings.

    At most one row: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    salt = models.BinaryField(editable=False)
    facts = models.JSONField(default=dict, editable=False)
    made_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="instance_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"since {self.made_at}"
