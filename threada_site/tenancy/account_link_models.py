"""One-time links by which people set their own passwords."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow, User


class LinkPurpose(models.TextChoices):
    """Purpose of a link: join the tenant, set a new password, or confirm a new mail address."""

    INVITATION = "invitation", "invitation"
    RESET = "reset", "password reset"
    ADDRESS = "address", "new mail address"


LIFETIMES: Final = {
    LinkPurpose.INVITATION: timedelta(hours=72),
    LinkPurpose.RESET: timedelta(hours=1),
    LinkPurpose.ADDRESS: timedelta(hours=24),
}


class AccountLink(TenantRow):
    """One-time link to a person's account. Only the SHA-256 of its token is stored.

    The token is made when the link is mailed or shown; before, there is none. Making another token ends the previous
    one. A link that was mailed confirms `address` when it is used.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    purpose = models.CharField(max_length=10, choices=LinkPurpose)
    address = models.EmailField(blank=True, help_text="Mail address; empty: the link is shown to a steward.")
    previous_address = models.EmailField(blank=True, help_text="Address that the person had before, to be told.")
    token_sha256 = models.BinaryField(max_length=32, null=True, unique=True, editable=False)
    is_mailed = models.BooleanField(default=False, editable=False)
    mail_failure = models.CharField(max_length=500, blank=True, editable=False)
    created_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator or the person.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    used_at = models.DateTimeField(null=True, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "invitation"
        constraints = [
            *tenant_constraints("accountlink"),
            models.UniqueConstraint(
                fields=["tenant", "user", "purpose"],
                name="accountlink_open_once",
                condition=models.Q(used_at__isnull=True, withdrawn_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ACCOUNT_LINK, self.id)

    @property
    def is_open(self) -> bool:
        """Return True if the link may still be used, mailed or shown."""
        return self.used_at is None and self.withdrawn_at is None and self.expires_at > clock.now()

    def can_be_shown_to(self, principal_id: uuid.UUID) -> bool:
        """Return True if the principal made the link and it is open, not mailed and not shown yet."""
        is_new = self.is_open and self.token_sha256 is None and not self.address
        return is_new and self.created_by == principal_id
