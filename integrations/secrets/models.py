"""Secrets stored by this instance."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import SlugColumn, TenantRow


class AccessToken(TenantRow):
    """Encrypted access token of an integration version, and who requests the next one until when."""

    integration_version_id = models.UUIDField()
    fingerprint = models.CharField(max_length=32, help_text="Keyed fingerprint of client, secret and scopes.")
    token = models.BinaryField(default=b"", help_text="Fernet: {about: [tenant, version, fingerprint], value}.")
    key_id = models.CharField(max_length=16, help_text="Id of the instance's key that encrypted it.")
    requested_at = models.DateTimeField(null=True)
    refresh_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    claim = models.UUIDField(null=True)
    claimed_until = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, help_text="Why the last request gave no token.")

    class Meta:
        verbose_name = "access token"
        constraints = [
            *tenant_constraints("accesstoken"),
            models.UniqueConstraint(fields=["tenant", "integration_version_id"], name="accesstoken_of_version"),
        ]

    def __str__(self) -> str:
        return str(self.integration_version_id)


class ProposedSecret(TenantRow):
    """Encrypted value of a secret in an open change set. Deleted with the end of the change set or after seven days."""

    change_set_id = models.UUIDField()
    slug = SlugColumn()
    fingerprint = models.CharField(max_length=32, help_text="Keyed fingerprint of the value.")
    token = models.BinaryField(help_text="Fernet: {tenant, slug, value}.")
    key_id = models.CharField(max_length=16, help_text="Id of the instance's key that encrypted it.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name = "proposed secret"
        constraints = [
            *tenant_constraints("proposedsecret"),
            models.UniqueConstraint(fields=["tenant", "change_set_id"], name="proposedsecret_of_change_set"),
        ]

    def __str__(self) -> str:
        return self.slug


class StoredSecret(TenantRow):
    """A secret that documents reference as `{stored: <slug>}`. Its value is encrypted and never shown."""

    slug = SlugColumn()
    origins = models.JSONField(help_text="Origins that the secret may be sent to.")
    token = models.BinaryField(help_text="Fernet: {tenant, slug, value}.")
    key_id = models.CharField(max_length=16, help_text="Id of the instance's key that encrypted it.")
    number = models.PositiveIntegerField(default=1, help_text="Number of the current value.")
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    changed_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name = "secret"
        constraints = [
            *tenant_constraints("storedsecret"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="storedsecret_slug_once"),
        ]
        indexes = [models.Index(fields=["key_id", "id"], name="storedsecret_key_idx")]

    def __str__(self) -> str:
        return self.slug
