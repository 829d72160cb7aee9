"""Installation of a pack of the gallery: what it would change, and the change itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policies import selectors
from policies.documents.pack import member_name
from policies.documents.workflow import parse_workflow
from policies.models import Pack
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.selectors import role_scopes
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import Conflict, FieldError, PermissionDenied
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.configuration.apply import Outcome, apply_documents
from workitems.configuration.kinds import KINDS
from workitems.configuration.kinds.base import diff
from workitems.gallery.catalogue import GalleryPack, as_documents


class Effect(StrEnum):
    """Effect of an installation on one document."""

    CREATE = "create"
    UPDATE = "update"
    """The document is that of an earlier version of the pack."""
    REPLACE = "replace"
    """The document belongs to the tenant, or was changed in it."""
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """Effect on one document. `difference` is a unified diff unless the document is new or unchanged."""

    kind: str
    name: str
    effect: Effect
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Effects of an installation. `installed` is the version in force, or "".

    `digest` names the state that the plan was made for.
    """

    documents: tuple[PlannedDocument, ...]
    installed: str
    digest: str

    @property
    def replaced(self) -> list[PlannedDocument]:
        return [planned for planned in self.documents if planned.effect is Effect.REPLACE]

    @property
    def changes(self) -> list[PlannedDocument]:
        return [planned for planned in self.documents if planned.effect is not Effect.KEEP]


def plan_installation(pack: GalleryPack, *, ctx: ActingContext) -> Plan:
    """Return what the installation of a pack would change now. Roles that exist are kept as they are."""
    require_unit_of_work(ctx.tenant_id)
    kinds = list(dict.fromkeys(value["kind"] for value in pack.contents))
    stored = {(kind, entry.name): entry.document for kind in kinds for entry in KINDS[kind].export(ctx)}
    row = selectors.pack_by_slug(pack.id, ctx=ctx)
    installed = row.current_version.label if row is not None and row.current_version is not None else ""
    digests = _installed_digests(row)
    documents = [
        PlannedDocument(
            "Role", name, Effect.CREATE if role_scopes(name, tenant_id=ctx.tenant_id) is None else Effect.KEEP
        )
        for name in (role["id"] for role in pack.roles)
    ]
    documents += [_planned(value, stored, digests) for value in pack.contents]
    state = [canonical_sha256(stored[key]) if key in stored else None for key in map(_key, pack.contents)]
    roles = [[planned.name, planned.effect] for planned in documents if planned.kind == "Role"]
    digest = canonical_sha256({"version": pack.version, "installed": installed, "state": state, "roles": roles})
    return Plan(tuple(documents), installed, digest)


def install_from_gallery(
    pack: GalleryPack, *, ctx: ActingContext, plan_digest: str | None = None, replaces: bool = False
) -> Outcome:
    """Install a pack with its documents and the roles that it needs and the tenant lacks; all or nothing.

    `plan_digest` is that of the plan that the caller saw; None for one that asks nobody. Receipts are those of `apply`.
    Raise `PermissionDenied` without workflow:manage, and `Conflict` if the state has changed since the plan, or if
    documents of the tenant would be replaced without `replaces`. Raise `ConfirmationRequired` where a second person
    must publish the change.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.WORKFLOW_MANAGE):
        raise PermissionDenied("Packs need workflow:manage on the tenant.")
    plan = plan_installation(pack, ctx=ctx)
    if plan_digest is not None and plan_digest != plan.digest:
        raise Conflict("The configuration has changed since this page was opened. Look at the changes again.")
    if plan.replaced and not replaces:
        raise Conflict(
            "The pack would replace documents of this tenant. Look at the differences and confirm them.",
            errors=[FieldError("", f"{planned.kind} {planned.name}", "taken") for planned in plan.replaced],
        )
    kept = frozenset(p.name for p in plan.documents if p.kind == "Role" and p.effect is Effect.KEEP)
    missing = sorted(role["id"] for role in pack.roles if role["id"] not in kept)
    if missing and not is_steward(ctx):
        raise PermissionDenied(
            f"The pack needs the roles {', '.join(missing)}, which only a steward may create. Ask a steward."
        )
    return apply_documents(as_documents(pack, without_roles=kept), ctx=ctx)


def _planned(
    value: Mapping[str, Any],
    stored: Mapping[tuple[str, str], Mapping[str, Any]],
    digests: Mapping[tuple[str, str], str],
) -> PlannedDocument:
    key = _key(value)
    if key not in stored:
        return PlannedDocument(*key, Effect.CREATE)
    difference = diff(stored[key], _as_stored(value))
    if not difference:
        return PlannedDocument(*key, Effect.KEEP)
    is_untouched = digests.get(key) == canonical_sha256(stored[key])
    return PlannedDocument(*key, Effect.UPDATE if is_untouched else Effect.REPLACE, difference)


def _as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of the gallery in the form in which `export` returns it: workflows contain all defaults."""
    if value["kind"] != "Workflow":
        return dict(value)
    document = parse_workflow(value)
    return {**value, "spec": {"name": document.name, **document.as_spec()}}


def _installed_digests(row: Pack | None) -> dict[tuple[str, str], str]:
    if row is None or row.current_version is None:
        return {}
    return {(member.kind, member.name): member.document_sha256 for member in row.members.all()}


def _key(value: Mapping[str, Any]) -> tuple[str, str]:
    return value["kind"], member_name(value)
