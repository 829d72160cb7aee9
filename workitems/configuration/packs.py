"""Installation and removal of packs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from policies import selectors
from policies.configuration.packs import release_pack
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import DocumentInvalid, FieldError, InUse, ThreadaError
from threada_site.tenancy.change_sets import operation
from workitems.configuration.apply import Outcome, apply_documents, read_documents
from workitems.configuration.collected_changes import CollectedChanges
from workitems.configuration.kinds import KINDS, in_force

_ORDER: Final = list(KINDS)


def install_pack(document: Document, *, ctx: ActingContext, revision: str = "", is_plan: bool = False) -> Outcome:
    """Install a pack with all its documents, or upgrade it; remove documents that the new version drops.

    Receipts: those of each document, `pack.installed`, `configuration.applied`. Raise `PermissionDenied` without
    workflow:manage, and `DocumentInvalid`.
    """
    require_unit_of_work(ctx.tenant_id)
    _require(ctx)
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    if kind != "Pack":
        raise DocumentInvalid(
            "Send one document of kind: Pack.", errors=[FieldError("/kind", "is not Pack", "unknown")]
        )
    return apply_documents([document], ctx=ctx, revision=revision, is_plan=is_plan)


def remove_pack(slug: str, *, ctx: ActingContext) -> list[str]:
    """Remove a pack and its documents. Return the names of the documents in the order of removal.

    Receipts: those of each document, and `pack.removed`. Raise `NotFound`, `PermissionDenied`, and `InUse` with
    everything that still needs one of the documents.
    """
    require_unit_of_work(ctx.tenant_id)
    _require(ctx)
    pack = selectors.pack_by_slug(slug, ctx=ctx)
    if pack is None:
        raise errors.NotFound
    collected = CollectedChanges(ctx)
    ctx = collected.ctx
    there = {(kind, stored.name) for kind, stored in in_force(ctx)}
    rows = sorted(pack.members.all(), key=lambda row: (-_ORDER.index(row.kind), row.name))
    members = [(row.kind, row.name) for row in rows if (row.kind, row.name) in there]
    users: list[FieldError] = []
    for kind, name in members:
        try:
            KINDS[kind].remove(name, ctx)
        except InUse as error:
            users += [FieldError("", f"{kind} {name}: {entry.detail}", entry.code) for entry in error.errors]
        except ThreadaError as error:
            users.append(FieldError("", f"{kind} {name}: {error.detail}", error.reason_code))
    if not users:
        try:
            release_pack(slug, ctx=ctx)
        except InUse as error:
            users += error.errors
    if users:
        raise InUse(f"The pack {slug} is in use: {users[0].detail}. Remove what uses it first.", errors=users)
    plan = [{"kind": kind, "name": name, "change": "removed"} for kind, name in [*members, ("Pack", slug)]]
    collected.confirm(
        "pack.remove", f"Remove the pack {slug}", arguments={"pack": slug}, plan=plan, is_rule_change=True
    )
    return [f"{kind} {name}" for kind, name in members]


@operation("pack.remove", scope=Scope.WORKFLOW_MANAGE)
def _remove(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    remove_pack(arguments["pack"], ctx=ctx)


def read_pack(path: Path) -> Document:
    """Return a pack from a file or a folder.

    In a folder, one document of kind: Pack is the header; the other documents are its contents. Raise
    `DocumentInvalid`.
    """
    documents = read_documents(path)
    heads = [document for document in documents if _is_pack(document.value)]
    if len(heads) != 1:
        raise DocumentInvalid(f"There must be exactly one document of kind: Pack below {path}; there are {len(heads)}.")
    (head,) = heads
    others = [document.value for document in documents if document is not head]
    if not others:
        return head
    spec = head.value.get("spec")
    listed = spec.get("documents", []) if isinstance(spec, dict) else []
    whole = {**head.value, "spec": {**(spec if isinstance(spec, dict) else {}), "documents": [*listed, *others]}}
    (assembled,) = load_documents(write_document(whole), source=str(path))
    return assembled


def _is_pack(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == "Pack"


def _require(ctx: ActingContext) -> None:
    if not ctx.allows(Scope.WORKFLOW_MANAGE):
        raise errors.PermissionDenied("Packs need workflow:manage on the tenant.")
