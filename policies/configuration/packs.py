"""Services for installed packs and their members. The contents are applied by the caller, across apps."""

from __future__ import annotations

from collections.abc import Mapping

from policies.configuration.removal import check_not_bound
from policies.documents.pack import PackDocument
from policies.locks import locked_by_slug
from policies.models import Pack, PackMember
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import DocumentInvalid, FieldError, NotFound
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import put_version, says_already


def upsert_pack(document: PackDocument, *, ctx: ActingContext) -> UpsertResult[Pack]:
    """Create or update a pack. A version is added only if the contents differ.

    The caller applies the contents and then calls `note_installed`. Receipt `pack.installed`. Raises `DocumentInvalid`
    if a member belongs to another pack, or if the version label exists with other contents.
    """
    require_unit_of_work(ctx.tenant_id)
    pack, _ = locked_by_slug(Pack, document.id, ctx=ctx)
    _check_owns(pack, document, ctx=ctx)
    spec = document.as_spec()
    if says_already(pack, spec):
        return UpsertResult(pack, Change.UNCHANGED)
    _check_label(pack, document.version, canonical_sha256(spec))
    put = put_version(pack, spec, ctx=ctx, name=document.name, label=document.version)
    members = PackMember.objects.filter(tenant_id=ctx.tenant_id, pack=pack)
    members.exclude(id__in=[row.id for row in members if (row.kind, row.name) in document.members]).delete()
    PackMember.objects.bulk_create(
        [PackMember(tenant_id=ctx.tenant_id, pack=pack, kind=kind, name=name) for kind, name in document.members],
        ignore_conflicts=True,
    )
    record(
        Entry(
            kind="pack.installed",
            inputs={"pack": pack.slug, "version": document.version, "spec_sha256": put.version.spec_sha256},
            outcome={
                "pack_version_id": put.version.public_id,
                "documents": len(document.documents),
                **put.as_outcome(),
            },
        ),
        ctx=ctx,
    )
    return UpsertResult(pack, put.change)


def note_installed(pack: str, digests: Mapping[tuple[str, str], str], *, ctx: ActingContext) -> None:
    """Store the digests of the installed members, by kind and name, to detect later changes."""
    rows = list(PackMember.objects.filter(tenant_id=ctx.tenant_id, pack__slug=pack))
    for row in rows:
        row.document_sha256 = digests.get((row.kind, row.name), row.document_sha256)
    PackMember.objects.bulk_update(rows, ["document_sha256"])


def release_pack(slug: str, *, ctx: ActingContext) -> None:
    """Remove a pack. Its members stay without a pack, and its versions stay. Receipt `pack.removed`.

    Raises `InUse` with the overlays that are bound to it.
    """
    require_unit_of_work(ctx.tenant_id)
    check_not_bound("pack", slug, ctx=ctx)
    pack = Pack.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if pack is None or pack.current_version_id is None:
        raise NotFound
    PackMember.objects.filter(tenant_id=ctx.tenant_id, pack=pack).delete()
    pack.current_version = None
    pack.save(update_fields=["current_version"])
    record(Entry(kind="pack.removed", inputs={"pack": slug}), ctx=ctx)


def _check_label(pack: Pack, label: str, spec_sha256: str) -> None:
    """Raise `DocumentInvalid` if the label exists with other contents."""
    if pack.versions.filter(label=label).exclude(spec_sha256=spec_sha256).exists():
        said = f"Version {label} of the pack {pack.slug} has other contents. Use another version."
        raise DocumentInvalid(said, errors=[FieldError("/spec/version", said, "taken")])


def _check_owns(pack: Pack, document: PackDocument, *, ctx: ActingContext) -> None:
    others = PackMember.objects.filter(tenant_id=ctx.tenant_id).exclude(pack=pack).select_related("pack")
    owner = {(row.kind, row.name): row.pack.slug for row in others}
    errors = [
        FieldError(f"/spec/documents/{index}", f"{' '.join(member)} belongs to the pack {owner[member]}.", "taken")
        for index, member in enumerate(document.members)
        if member in owner
    ]
    if errors:
        raise DocumentInvalid("The pack contains members of another pack.", errors=errors)
