"""Columns of a credential that say where it comes from."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class OriginColumns(models.Model):
    """Networks of the requests with a credential, and where it comes from.

    `session_factors` is that of personal tokens. The other columns are those of exchanged tokens.
    """

    session_factors = ArrayField(
        models.CharField(max_length=20),
        null=True,
        editable=False,
        help_text="Factors of the session in which a person created the own token; empty: not known.",
    )

    networks = ArrayField(
        models.CharField(max_length=43),
        default=list,
        editable=False,
        help_text="Networks that requests came from, newest last.",
    )
    roles = ArrayField(
        models.CharField(max_length=63),
        null=True,
        editable=False,
        help_text="Roles that a token which was exchanged acts with; empty: all that its principal has.",
    )
    trusted_issuer_version_id = models.UUIDField(
        null=True, editable=False, help_text="Version by which another token was exchanged for this one."
    )
    subject_token_sha256 = models.BinaryField(
        max_length=32, null=True, editable=False, help_text="SHA-256 of the token that was exchanged for this one."
    )

    class Meta:
        abstract = True
        indexes = [
            models.Index(
                fields=["tenant", "expires_at"],
                name="credential_exchanged_idx",
                condition=models.Q(trusted_issuer_version_id__isnull=False),
            )
        ]
