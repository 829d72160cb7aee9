"""Identity providers of a tenant, and the links between accounts there and people here."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow, User
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)


class IdentityProvider(VersionedDocument):
    """Identity provider at which members of the tenant sign in. Without a current version it is withdrawn."""

    name = models.CharField(max_length=200, blank=True)
    current_version = DocumentKey("IdentityProviderVersion", null=True, related_name="+")

    class Meta:
        constraints = document_constraints("identityprovider")


class IdentityProviderVersion(DocumentVersion):
    """Version of an identity provider. `is_operators`: the operator's command applied it.

    Its references to secrets then need not be listed in THREADA_SECRET_REFS.
    """

    ID_PREFIX: ClassVar[str] = ids.IDENTITY_PROVIDER_VERSION

    provider = DocumentKey(IdentityProvider, related_name="versions")
    is_operators = models.BooleanField(default=False, editable=False)
    proposed_by = models.UUIDField(
        null=True, editable=False, help_text="Steward who proposed it, if another one confirmed it."
    )

    class Meta:
        constraints = version_constraints("identityproviderversion", "provider")


class IdentityLink(TenantRow):
    """Account at an identity provider that signs a person in: by issuer and subject, never by mail address.

    A suspended link signs nobody in. It is suspended when the provider's issuer, client or claim of the subject
    changes, until a steward confirms it. An ended one belonged to somebody who is no longer a member. An unlinked one
    stays, so that the account there becomes no second person here; only its person links it again.
    """

    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="links"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    last_used_at = models.DateTimeField(default=clock.now, editable=False)
    suspended_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False, help_text="Time at which the person's membership ended.")
    unlinked_at = models.DateTimeField(null=True, editable=False, help_text="Time at which its person unlinked it.")

    class Meta:
        constraints = [
            *tenant_constraints("identitylink", references=("provider",)),
            models.UniqueConstraint(fields=["tenant", "provider", "issuer", "subject"], name="identitylink_once"),
        ]
        indexes = [models.Index(fields=["tenant", "user"], name="identitylink_of")]

    def __str__(self) -> str:
        return f"{self.user} at {self.provider}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.IDENTITY_LINK, self.id)
