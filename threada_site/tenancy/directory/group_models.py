"""Groups of members for approval rules."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import Membership, SlugColumn, TenantRow


class PeopleGroup(TenantRow):
    """Named set of members, used by approval rules. It gives no permissions."""

    slug = SlugColumn()
    name = models.CharField(max_length=200, blank=True)
    source = models.CharField(
        max_length=8,
        blank=True,
        editable=False,
        help_text="scim: a provisioning client maintains it; empty: people do.",
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "group"
        constraints = [
            *tenant_constraints("peoplegroup"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="peoplegroup_slug_once"),
        ]

    def __str__(self) -> str:
        return self.slug


class PeopleGroupMember(TenantRow):
    """Member of a group. Deleted with the membership."""

    group = models.ForeignKey(
        PeopleGroup, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="memberships"
    )
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="group_memberships"
    )

    class Meta:
        constraints = [
            *tenant_constraints("peoplegroupmember", references=("group", "membership")),
            models.UniqueConstraint(fields=["tenant", "group", "membership"], name="peoplegroupmember_once"),
        ]
        indexes = [models.Index(fields=["tenant", "membership"], name="peoplegroupmember_of")]

    def __str__(self) -> str:
        return f"{self.membership} in {self.group}"
