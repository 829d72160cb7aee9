"""What is kept of the instance as a whole. No tenant's rows."""

from __future__ import annotations

from django.db import models


class KeptFigures(models.Model):
    """The figures for `/metrics` as a worker last measured them, for a web whose login sees no tenant's rows by itself.

    One row at most: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    figures = models.JSONField(editable=False)
    measured_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="keptfigures_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"measured at {self.measured_at}"
