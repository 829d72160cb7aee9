"""Models of packs, their versions and their members."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import ids
from threada_site.tenancy.models import TenantRow
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)


class Pack(VersionedDocument):
    """A named bundle of documents. `current_version` is the last installed version."""

    name = models.CharField(max_length=200, blank=True)
    current_version = DocumentKey("PackVersion", null=True, related_name="+")

    class Meta:
        constraints = document_constraints("pack")


class PackVersion(DocumentVersion):
    """One version of the contents of a pack. Immutable. `label` is chosen by the author; `number` counts versions."""

    ID_PREFIX = ids.PACK_VERSION

    pack = DocumentKey(Pack, related_name="versions")
    label = models.CharField(max_length=64)

    class Meta:
        constraints = version_constraints("packversion", "pack")

    def __str__(self) -> str:
        return f"{self.pack} {self.label}"


class PackMember(TenantRow):
    """A configuration object installed by a pack, identified by document kind and name. It belongs to one pack.

    `document_sha256` is the digest of the document as installed; a different current digest means a local change.
    """

    pack = models.ForeignKey(
        Pack, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="members"
    )
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=200)
    document_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("packmember", references=("pack",)),
            models.UniqueConstraint(fields=["tenant", "kind", "name"], name="packmember_in_one_pack"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
