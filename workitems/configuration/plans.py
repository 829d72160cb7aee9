"""Plans: what applying documents would change now, and their application only as long as that holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import connection, transaction

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.reader import Document
from threada_site.kernel.errors import FieldError, PermissionDenied, PlanStale
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.configuration.apply import Outcome, apply_documents
from workitems.configuration.kinds import KINDS, in_force

NEEDED_SCOPES: Final[dict[str, tuple[Scope, ...]]] = {
    "Pack": (Scope.WORKFLOW_MANAGE,),
    "Channel": (Scope.WORKFLOW_MANAGE,),
    "Calendar": (Scope.WORKFLOW_MANAGE,),
    "Workflow": (Scope.WORKFLOW_MANAGE,),
    "List": (Scope.POLICIES_PUBLISH,),
    "Overlay": (Scope.POLICIES_PUBLISH,),
    "Policy": (Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH),
    "Integration": (Scope.INTEGRATIONS_MANAGE,),
}
"""Scopes on the whole tenant that documents of a kind need, as in console and API. Other kinds need a steward."""
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('configuration ' || %s, 0))"


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes that applying documents would make. `digest` binds documents, options, state in force and changes."""

    outcome: Outcome
    digest: str


def plan_documents(
    documents: Iterable[Document], *, ctx: ActingContext, prune: bool = False, is_strict: bool = False
) -> Plan:
    """Return what applying `documents` would do now. Changes nothing and writes no receipt.

    Of what no document names, only kinds that `ctx` may manage are shown and pruned. Raises what applying them would
    raise, and `PermissionDenied`; never `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    documents = list(documents)
    require_kinds(documents, ctx=ctx)
    state = state_digest(ctx)
    with transaction.atomic():
        outcome = apply_documents(
            documents,
            ctx=replace(ctx, recorded_receipts=None),
            prune=prune,
            is_plan=True,
            is_strict=is_strict,
            kinds=manageable_kinds(ctx),
        )
        transaction.set_rollback(True)
    return Plan(outcome, _digest(documents, outcome, state=state, prune=prune))


def apply_plan(
    documents: Iterable[Document],
    digest: str,
    *,
    ctx: ActingContext,
    prune: bool = False,
    revision: str = "",
    is_strict: bool = False,
) -> Outcome:
    """Apply `documents` if the result is exactly the plan with `digest`.

    Raises `PlanStale` if documents, options or the state in force differ from those of the plan, `PermissionDenied`,
    `ConfirmationRequired`, and the errors of `apply_documents`.
    """
    require_unit_of_work(ctx.tenant_id)
    documents = list(documents)
    require_kinds(documents, ctx=ctx)
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [str(ctx.tenant_id)])
    if plan_documents(documents, ctx=ctx, prune=prune, is_strict=is_strict).digest != digest:
        raise PlanStale
    return apply_documents(
        documents,
        ctx=ctx,
        prune=prune,
        revision=revision,
        is_strict=is_strict,
        kinds=manageable_kinds(ctx),
        is_baseline=True,
    )


def state_digest(ctx: ActingContext) -> str:
    """Return the SHA-256 (hex) of everything in force, as documents."""
    return canonical_sha256(sorted([kind, stored.name, stored.document] for kind, stored in in_force(ctx)))


def require_kinds(documents: Iterable[Document], *, ctx: ActingContext) -> None:
    """Raise `PermissionDenied`, with the place of each document whose kind `ctx` may not manage."""
    denied: list[FieldError] = []
    needed: set[str] = set()
    for document in documents:
        for kind, pointer in _kinds_in(document.value):
            if may_manage(kind, ctx=ctx):
                continue
            needs = " and ".join(scope.value for scope in NEEDED_SCOPES.get(kind, ())) or "every scope"
            found = document.located(FieldError(pointer, f"{kind} needs {needs} on the tenant.", "permission_denied"))
            denied.append(replace(found, detail=f"{document.source}:{found.line}:{found.column}: {found.detail}"))
            needed.add(f"{kind} ({needs})")
    if denied:
        raise PermissionDenied(f"You may not apply documents of {', '.join(sorted(needed))}.", errors=denied[:50])


def manageable_kinds(ctx: ActingContext) -> list[str]:
    """Return the kinds of documents that `ctx` may manage in the whole tenant."""
    return [kind for kind in KINDS if may_manage(kind, ctx=ctx)]


def may_manage(kind: str, *, ctx: ActingContext) -> bool:
    """Return True if `ctx` may change documents of `kind` in the whole tenant. True for unknown kinds."""
    if kind not in KINDS:
        return True
    scopes = NEEDED_SCOPES.get(kind)
    return is_steward(ctx) if scopes is None else all(ctx.allows(scope) for scope in scopes)


def _kinds_in(value: Any) -> list[tuple[str, str]]:
    """Return the kinds of a document and of its contents, with their pointers."""
    if not isinstance(value, dict):
        return []
    found = [(str(value.get("kind")), "/kind")]
    spec = value.get("spec")
    contents = spec.get("documents") if value.get("kind") == "Pack" and isinstance(spec, dict) else None
    for index, content in enumerate(contents if isinstance(contents, list) else ()):
        if isinstance(content, dict):
            found.append((str(content.get("kind")), f"/spec/documents/{index}/kind"))
    return found


def _digest(documents: Iterable[Document], outcome: Outcome, *, state: str, prune: bool) -> str:
    differences = [[entry.kind, entry.name, entry.change.value, entry.difference] for entry in outcome.applied]
    return canonical_sha256(
        {
            "documents": [document.value for document in documents],
            "prune": prune,
            "state": state,
            "differences": differences,
            "removed": [[entry.kind, entry.name] for entry in outcome.removed],
        }
    )
