"""Trusted issuers: whose signed tokens (JWT) authenticate services and agents of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import models

from threada_site.kernel import ids
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)

FETCH_KEYS: Final = "integrations.fetch_issuer_keys"
"""Name of the task that fetches the keys of a trusted issuer. Argument: `issuer_id`."""
DISCOVERY: Final = "/.well-known/openid-configuration"
"""Path below the issuer of the document that names the address of its keys."""


def keys_source(spec: Mapping[str, Any]) -> str:
    """Return the address that the keys come from: a key set, or a discovery document. Empty if they are inline."""
    if "jwks" in spec:
        return ""
    return str(spec.get("jwks_url") or str(spec["issuer"]).rstrip("/") + DISCOVERY)


class TrustedIssuer(VersionedDocument):
    """A trusted issuer. `issuer` and `audience` are unique in the instance and determine the tenant of a token.

    They are empty once it is withdrawn. `keys` is the key set (JWKS) that a job fetched from `keys_source`; a token is
    checked by it only while the current version names that source. An inline key set is in the version.
    """

    issuer = models.CharField(max_length=500, null=True)  # noqa: DJ001 - several withdrawn ones have none
    audience = models.CharField(max_length=500, null=True)  # noqa: DJ001 - the same
    current_version = DocumentKey("TrustedIssuerVersion", null=True, related_name="+")
    keys = models.JSONField(null=True, editable=False)
    keys_source = models.CharField(max_length=600, blank=True, editable=False)
    keys_fetched_at = models.DateTimeField(null=True, editable=False)
    keys_problem = models.CharField(max_length=500, blank=True, editable=False)
    keys_tried_source = models.CharField(max_length=600, blank=True, editable=False)
    keys_tried_at = models.DateTimeField(null=True, editable=False)
    keys_failures = models.PositiveSmallIntegerField(default=0, editable=False, help_text="Since the last success.")
    keys_due_at = models.DateTimeField(null=True, editable=False, help_text="Time of the next fetch.")
    keys_wanted_at = models.DateTimeField(null=True, editable=False, help_text="A token named a key that is not known.")

    class Meta:
        verbose_name = "trusted issuer"
        constraints = [
            *document_constraints("trustedissuer"),
            models.UniqueConstraint(fields=["issuer", "audience"], name="trustedissuer_pair_once"),
        ]


class TrustedIssuerVersion(DocumentVersion):
    """One version of a trusted issuer. Immutable."""

    ID_PREFIX = ids.TRUSTED_ISSUER_VERSION

    trusted_issuer = DocumentKey(TrustedIssuer, related_name="versions")
    proposed_by = models.UUIDField(
        null=True, editable=False, help_text="Proposer of the change set; empty without one, or for the operator."
    )

    class Meta:
        constraints = version_constraints("trustedissuerversion", "trusted_issuer")
