"""What a person keeps at the desk: filters by name."""

from __future__ import annotations

from typing import Final

from django.db import models

from threada_site.kernel import clock
from threada_site.tenancy.constraints import tenant_constraints
from threada_site.tenancy.models import Membership, TenantRow

NAME_LENGTH: Final = 60


class SavedView(TenantRow):
    """Filters of the desk that a member gave a name. They are that person's alone, and go with the membership."""

    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    name = models.CharField(max_length=NAME_LENGTH)
    filters = models.JSONField(default=dict, help_text="What the desk's address is asked with.")
    saved_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("savedview", references=("membership",)),
            models.UniqueConstraint(fields=["tenant", "membership", "name"], name="savedview_name_once"),
        ]

    def __str__(self) -> str:
        return self.name
