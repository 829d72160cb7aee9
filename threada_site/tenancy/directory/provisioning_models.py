"""People and groups that a provisioning client (SCIM) maintains in a tenant."""

from __future__ import annotations

from typing import Final

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import PeopleGroup, TenantRow, User

SOURCE: Final = "scim"
"""Source of groups and grants that come from a provisioning client."""


class ProvisionedPerson(TenantRow):
    """Person whom a provisioning client added to the tenant, with the attributes that it sent.

    `user_name_key` is `user_name` in the form that look-ups compare. A person whom the client deleted keeps the row, so
    that the same external id names the same person again.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    user_name = models.CharField(max_length=255)
    user_name_key = models.CharField(max_length=255)
    external_id = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField(default=True)
    attributes = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    modified_at = models.DateTimeField(default=clock.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("provisionedperson"),
            models.UniqueConstraint(fields=["tenant", "user"], name="provisionedperson_once"),
            models.UniqueConstraint(
                fields=["tenant", "user_name_key"],
                name="provisionedperson_user_name_once",
                condition=models.Q(deleted_at__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["tenant", "external_id"],
                name="provisionedperson_external_id_once",
                condition=~models.Q(external_id=""),
            ),
        ]

    def __str__(self) -> str:
        return self.user_name

    @property
    def user_public_id(self) -> str:
        """Return the public id of the principal, which is the id of the User in SCIM."""
        return ids.public_id(ids.PRINCIPAL, self.user_id)


class ProvisionedGroup(TenantRow):
    """Group of the tenant that a provisioning client maintains."""

    group = models.ForeignKey(
        PeopleGroup, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="provisioned"
    )
    display_name = models.CharField(max_length=255)
    display_name_key = models.CharField(max_length=255)
    external_id = models.CharField(max_length=255, blank=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    modified_at = models.DateTimeField(default=clock.now, editable=False)
    named_at = models.DateTimeField(
        null=True, editable=False, help_text="Time since which it has its name; empty: before this column existed."
    )

    class Meta:
        constraints = [
            *tenant_constraints("provisionedgroup", references=("group",)),
            models.UniqueConstraint(fields=["tenant", "group"], name="provisionedgroup_once"),
            models.UniqueConstraint(
                fields=["tenant", "external_id"],
                name="provisionedgroup_external_id_once",
                condition=~models.Q(external_id=""),
            ),
        ]
        indexes = [models.Index(fields=["tenant", "display_name_key"], name="provisionedgroup_name")]

    def __str__(self) -> str:
        return self.display_name

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.PROVISIONED_GROUP, self.id)


class ProvisionedGroupMember(TenantRow):
    """Person in a provisioned group. It outlives the membership of the tenant, unlike `PeopleGroupMember`."""

    group = models.ForeignKey(
        ProvisionedGroup, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="people"
    )
    person = models.ForeignKey(
        ProvisionedPerson, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="groups"
    )

    class Meta:
        constraints = [
            *tenant_constraints("provisionedgroupmember", references=("group", "person")),
            models.UniqueConstraint(fields=["tenant", "group", "person"], name="provisionedgroupmember_once"),
        ]
        indexes = [models.Index(fields=["tenant", "person"], name="provisionedgroupmember_of")]

    def __str__(self) -> str:
        return f"{self.person} in {self.group}"
