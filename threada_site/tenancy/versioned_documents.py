"""Documents with versions: a named row, and one row for each of its versions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from django.db import models

from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import canonical_bytes, canonical_sha256
from threada_site.tenancy.models import SlugColumn, TenantRow
from threada_site.tenancy.upsert import Change, next_number

_ST = TypeVar("_ST")
_GT = TypeVar("_GT")


class DocumentKey(models.ForeignKey[_ST, _GT]):
    """Foreign key between a document and its versions. Migrations name it as a plain foreign key.

    `tenant_constraints` adds the database's constraint, and `version_constraints` the index.
    """

    def __init__(self, to: Any, **options: Any) -> None:
        fixed = {"on_delete": models.PROTECT, "db_constraint": False, "db_index": False}
        super().__init__(to, **{**fixed, **options})

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs


class VersionedDocument(TenantRow):
    """A document under a name that the tenant chose.

    Subclasses have the key `current_version`, which is null if the document is withdrawn.
    """

    slug = SlugColumn()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.slug


class NumberedVersion(TenantRow):
    """A version of a document. Subclasses have a key to the document with the related name `versions`."""

    ID_PREFIX: ClassVar[str] = ""

    number = models.PositiveIntegerField()
    revision = models.CharField(
        max_length=100, blank=True, db_default="", help_text="Revision of the files it was applied from."
    )
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        key = next(field.name for field in self._meta.fields if isinstance(field, DocumentKey))
        return f"{getattr(self, key)} v{self.number}"

    @property
    def public_id(self) -> str:
        return ids.public_id(self.ID_PREFIX, self.id)


class DocumentVersion(NumberedVersion):
    """A version that never changes. `spec` is what it says; `spec_sha256` is the digest of its canonical form."""

    spec = models.JSONField()
    spec_sha256 = models.CharField(max_length=64)

    class Meta:
        abstract = True


class DocumentSource(TenantRow):
    """Text of a document as it was written, with its comments and the order of its keys.

    It never decides: what is in force is the spec of the version. A text is used only while it says the same.
    """

    kind = models.CharField(max_length=63)
    name = models.CharField(max_length=200)
    spec_sha256 = models.CharField(max_length=64)
    text = models.TextField()
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("documentsource"),
            models.UniqueConstraint(fields=["tenant", "kind", "name", "spec_sha256"], name="documentsource_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def store_source(kind: str, name: str, spec_sha256: str, text: str, *, ctx: ActingContext) -> None:
    """Store the text of a document whose spec has this digest. Nothing for an empty text."""
    if text:
        DocumentSource.objects.update_or_create(
            tenant_id=ctx.tenant_id,
            kind=kind,
            name=name,
            spec_sha256=spec_sha256,
            defaults={"text": text, "updated_at": clock.now()},
        )


def source_argument(ctx: ActingContext) -> dict[str, str]:
    """Return the argument of a change set that contains the text of the document, if there is one."""
    return {"source": ctx.source} if ctx.source else {}


def with_source(arguments: Mapping[str, Any], ctx: ActingContext) -> ActingContext:
    """Return the context of a change set's publication, with the text of the document that was proposed."""
    return replace(ctx, source=arguments.get("source", ""))


def written_text(
    kind: str,
    name: str,
    document: Any,
    *,
    tenant_id: uuid.UUID,
    spec_sha256: str = "",
    normalized: Callable[[Any], Any] = lambda value: value,
) -> str:
    """Return the stored text of a document if it says the same as `document`; otherwise an empty text.

    `normalized` returns the value of a text in the form of `document`; it may raise `DocumentInvalid`.
    """
    rows = DocumentSource.objects.filter(tenant_id=tenant_id, kind=kind, name=name, spec_sha256=spec_sha256)
    text = rows.values_list("text", flat=True).first() or ""
    return text if says(text, document, normalized=normalized) else ""


def says(text: str, document: Any, *, normalized: Callable[[Any], Any] = lambda value: value) -> bool:
    """Return True if `text` contains exactly this document."""
    try:
        found = load_documents(text, source="document") if text else []
        return len(found) == 1 and canonical_bytes(normalized(found[0].value)) == canonical_bytes(document)
    except ThreadaError:
        return False


def document_constraints(table: str, *, current: str = "current_version") -> list[models.BaseConstraint]:
    """Return the constraints of a document's table: tenant isolation, and ids that are unique in the tenant."""
    return [
        *tenant_constraints(table, references=(current,)),
        models.UniqueConstraint(fields=["tenant", "slug"], name=f"{table}_slug_once"),
    ]


def version_constraints(table: str, document: str, *, is_append_only: bool = True) -> list[models.BaseConstraint]:
    """Return the constraints of a table of versions, whose foreign key is `document`."""
    return [
        *tenant_constraints(table, references=(document,)),
        models.UniqueConstraint(fields=["tenant", document, "number"], name=f"{table}_number_once"),
        *([AppendOnly(name=f"{table}_append_only")] if is_append_only else []),
    ]


@dataclass(frozen=True, slots=True)
class PutVersion:
    """A version that was added, and the one that it replaced."""

    version: DocumentVersion
    replaced: DocumentVersion | None

    @property
    def change(self) -> Change:
        return Change.CREATED if self.replaced is None else Change.CHANGED

    def as_outcome(self) -> dict[str, Any]:
        """Return number and replaced version for a receipt."""
        return {"number": self.version.number, "replaces": self.replaced.public_id if self.replaced else None}


def says_already(document: Any, spec: Any) -> bool:
    """Return True if the current version of `document`, a locked row, has this spec."""
    current = document.current_version
    return current is not None and current.spec_sha256 == canonical_sha256(spec)


def put_version(document: Any, spec: Any, *, ctx: ActingContext, name: str | None = None, **fields: Any) -> PutVersion:
    """Add a version of `document`, a locked row, and make it the current one.

    The label of the document becomes `name`, unless that is None. `fields` are more columns of the version.
    """
    replaced = document.current_version
    version = document.versions.create(
        tenant_id=ctx.tenant_id,
        number=next_number(document.versions),
        spec=spec,
        spec_sha256=canonical_sha256(spec),
        revision=ctx.revision,
        created_by=None if ctx.is_system else ctx.principal_id,
        **fields,
    )
    document.current_version = version
    changed = ["current_version"]
    if name is not None:
        document.name = name
        changed.append("name")
    document.save(update_fields=changed)
    return PutVersion(version, replaced)
