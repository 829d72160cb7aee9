"""People that cases are about."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class DataSubject(TenantRow):
    """Person that cases are about. The key in this row encrypts the contents of those cases.

    `lookup` finds the subject by its reference. An erasure empties all three columns.
    """

    lookup = models.BinaryField(max_length=32, null=True, editable=False)
    reference = models.BinaryField(null=True, editable=False, help_text="Encrypted with the key of the subject.")
    wrapped_key = models.BinaryField(
        null=True, editable=False, help_text="Wrapped with the people_key of the instance."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("datasubject"),
            models.UniqueConstraint(fields=["tenant", "lookup"], name="datasubject_lookup_once"),
            models.CheckConstraint(
                name="datasubject_erased_wholly",
                condition=models.Q(
                    erased_at__isnull=True, lookup__isnull=False, reference__isnull=False, wrapped_key__isnull=False
                )
                | models.Q(
                    erased_at__isnull=False, lookup__isnull=True, reference__isnull=True, wrapped_key__isnull=True
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DATA_SUBJECT, self.id)
