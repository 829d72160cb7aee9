"""Console sessions. They belong to a person and to no tenant."""

from __future__ import annotations

from typing import Final

from django.db import models

from threada_site.kernel import clock, ids
from threada_site.tenancy.models import User

USER_AGENT_LENGTH: Final = 300


class ConsoleSession(models.Model):
    """Session of the console. Only the SHA-256 of its key is stored; the key is in the browser's cookie.

    `created_at` is the time of the sign-in, also after the key was replaced. `address` and `user_agent` are those of
    the last use, which is written at most once a minute.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    key_sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    user = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        null=True,
        editable=False,
        related_name="console_sessions",
        help_text="Empty: nobody is signed in.",
    )
    data = models.TextField(editable=False, help_text="Signed for this key.")
    identity_link_id = models.UUIDField(
        null=True, editable=False, help_text="Account at an identity provider by which the person signed in."
    )
    acting_tenant_id = models.UUIDField(null=True, editable=False, help_text="Tenant that the person chose.")
    factors = models.CharField(
        max_length=100, blank=True, db_default="", editable=False, help_text="What the person proved, in order."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    last_used_at = models.DateTimeField(default=clock.now, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    user_agent = models.CharField(max_length=USER_AGENT_LENGTH, blank=True, editable=False)

    class Meta:
        verbose_name = "session"
        indexes = [models.Index(fields=["last_used_at"], name="consolesession_last_used")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.SESSION, self.id)
