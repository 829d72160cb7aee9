"""Models of packs, their versions and their members."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import SlugColumn, TenantRow


class Pack(TenantRow):
    """A named bundle of documents. `current_version` is the last installed version."""

    slug = SlugColumn()
    name = models.CharField(max_length=200, blank=True)
    current_version = models.ForeignKey(
        "PackVersion", on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("pack", references=("current_version",)),
            models.UniqueConstraint(fields=["tenant", "slug"], name="pack_slug_once"),
        ]

    def __str__(self) -> str:
        return self.slug


class PackVersion(TenantRow):
    """One version of the contents of a pack. Immutable. `label` is chosen by the author; `number` counts versions."""

    pack = models.ForeignKey(
        Pack, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="versions"
    )
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=64)
    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)
    revision = models.CharField(
        max_length=100, blank=True, db_default="", help_text="Revision of the files it was applied from."
    )
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("packversion", references=("pack",)),
            models.UniqueConstraint(fields=["tenant", "pack", "number"], name="packversion_number_once"),
            AppendOnly(name="packversion_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.pack} {self.label}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.PACK_VERSION, self.id)


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
