"""Configuration as documents: a folder is brought in force whole, or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from django.db import transaction

from integrations import selectors as systems
from integrations.services.configure import put_integration
from policies import selectors as rulebook
from policies.calendar_documents import parse_calendar
from policies.channel_documents import parse_channel
from policies.lists import parse_list
from policies.overlay_documents import parse_overlay
from policies.services.calendars import put_calendar
from policies.services.channels import put_channel
from policies.services.lists import put_list
from policies.services.overlays import put_overlay
from policies.services.publishing import put_policy
from policies.services.workflows import put_workflow
from policies.workflow_documents import parse_workflow
from threada_site.identity.selectors import group_member_names, role_scopes
from threada_site.identity.services import define_group, define_role
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents import Document, load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError, InvalidRequest, ThreadaError
from threada_site.kernel.ids import is_slug
from threada_site.tenancy.puts import Change
from threada_site.tenancy.unit_of_work import require_unit_of_work
from workitems.models import RetentionRule
from workitems.retention.rules import parse_retention
from workitems.services.retention_rules import put_retention

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Applied:
    """What one document did. `difference` is a unified diff of the spec, for what existed and changed."""

    kind: str
    name: str
    change: Change
    difference: str = ""


def read_documents(path: Path) -> list[Document]:
    """The documents of a file, or of all YAML and JSON files below a folder, in the order of their paths.

    Raises `DocumentInvalid` naming file and line.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise DocumentInvalid(f"There are no documents below {path}: no file ends in {', '.join(SUFFIXES)}.")
    documents: list[Document] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise DocumentInvalid(f"{file}: cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise DocumentInvalid(f"{file}: is not UTF-8 (byte {error.start}).") from None
        documents += load_documents(text, source=str(file))
    return documents


def apply_documents(documents: Iterable[Document], *, ctx: ActingContext) -> list[Applied]:
    """Bring everything the documents describe in force, in the order that references need.

    Raises one `DocumentInvalid` that names every document's problems as `file:line:column: pointer: reason`; the
    caller's unit of work is rolled back then, so nothing is half done.
    """
    require_unit_of_work(ctx.tenant_id)
    problems: list[FieldError] = []
    applied: list[Applied] = []
    seen: dict[tuple[str, str], Document] = {}
    for document in sorted(documents, key=_rank):
        kind = _kind(document)
        try:
            if kind not in _KINDS:
                raise DocumentInvalid(errors=[FieldError("/kind", f"Use one of {', '.join(_KINDS)}.", "unknown")])
            _check_unique(document, kind, seen)
            with transaction.atomic():
                applied.append(_KINDS[kind](document.value, ctx))
        except ThreadaError as error:
            problems += _located(document, error)
    if problems:
        raise DocumentInvalid("The documents are not valid; nothing was changed.", errors=problems)
    return applied


def _kind(document: Document) -> str:
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    return kind if isinstance(kind, str) else ""


def _rank(document: Document) -> int:
    kind = _kind(document)
    return list(_KINDS).index(kind) if kind in _KINDS else len(_KINDS)


def _check_unique(document: Document, kind: str, seen: dict[tuple[str, str], Document]) -> None:
    name = document.value.get("id")
    if kind == "Overlay":
        name = f"{document.value.get('policy')} {document.value.get('scope')}"
    elif kind == "Calendar":
        name = "of the tenant"
    earlier = seen.setdefault((kind, str(name)), document)
    if earlier is not document:
        place = f"{earlier.source}:{earlier.place_of('').line}"
        raise DocumentInvalid(errors=[FieldError("", f"{kind} {name} stands at {place} already.", "repeated")])


def _located(document: Document, error: ThreadaError) -> list[FieldError]:
    entries = error.errors or (FieldError("", error.detail, error.reason_code),)
    located = []
    for entry in entries:
        found = document.located(entry)
        said = f"{document.source}:{found.line}:{found.column}: {entry.pointer or 'document'}: {found.detail}"
        located.append(replace(found, detail=said))
    return located


def _apply_role(value: dict[str, Any], ctx: ActingContext) -> Applied:
    slug = _slug(value)
    spec = _spec(value)
    named = spec.get("scopes")
    known = {scope.value for scope in Scope}
    if not isinstance(named, list) or not all(isinstance(name, str) and name in known for name in named):
        raise DocumentInvalid(errors=[FieldError("/spec/scopes", f"List scopes out of {', '.join(sorted(known))}.")])
    before = role_scopes(slug, tenant_id=ctx.tenant_id)
    wanted = frozenset(Scope(name) for name in named)
    if before == wanted:
        return Applied("Role", slug, Change.UNCHANGED)
    define_role(slug, wanted, ctx=ctx)
    change = Change.CREATED if before is None else Change.CHANGED
    return Applied("Role", slug, change, _diff(_names(before), _names(wanted)))


def _names(scopes: frozenset[Scope] | None) -> list[str] | None:
    return None if scopes is None else sorted(scope.value for scope in scopes)


def _apply_group(value: dict[str, Any], ctx: ActingContext) -> Applied:
    slug = _slug(value)
    spec = _spec(value)
    problems = [f"/{name}" for name in sorted(set(value) - {"kind", "id", "name", "spec"})]
    problems += [f"/spec/{name}" for name in sorted(set(spec) - {"members"})]
    if problems:
        raise DocumentInvalid(
            errors=[FieldError(at, "There is no such field here.", "unknown_field") for at in problems]
        )
    named, name = spec.get("members"), value.get("name")
    if not isinstance(named, list) or not all(isinstance(member, str) for member in named):
        raise DocumentInvalid(errors=[FieldError("/spec/members", "List the names of principals; [] for nobody.")])
    if name is not None and not isinstance(name, str):
        raise DocumentInvalid(errors=[FieldError("/name", "name is text.")])
    before = group_member_names(slug, tenant_id=ctx.tenant_id)
    try:
        put = define_group(slug, named, name=name, ctx=ctx)
    except InvalidRequest as error:
        at_spec = [FieldError(f"/spec{entry.pointer}", entry.detail, entry.code) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=at_spec) from None
    return Applied("Group", slug, put.change, _diff(before, sorted(set(named))))


def _apply_channel(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_channel(value)
    before = rulebook.channel_by_slug(str(document.id), ctx=ctx)
    put = put_channel(str(document.id), ctx=ctx, name=document.name)
    return Applied(
        "Channel", put.row.slug, put.change, _diff({"name": before.name} if before else None, {"name": document.name})
    )


def _apply_calendar(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_calendar(value)
    before = rulebook.calendar_of(ctx.tenant_id)
    put = put_calendar(str(document.id), document, ctx=ctx)
    return Applied("Calendar", put.row.slug, put.change, _diff(before.document if before else None, put.row.document))


def _apply_list(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_list(value)
    before = rulebook.lists(ctx).filter(slug=document.id).first()
    old = before.current_version.items if before and before.current_version else None
    put = put_list(str(document.id), document, ctx=ctx)
    return Applied("List", put.row.slug, put.change, _diff(old, list(document.items)))


def _apply_workflow(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_workflow(value)
    before = rulebook.all_workflows(ctx).filter(slug=document.id).first()
    old = before.current_version.spec if before and before.current_version else None
    put = put_workflow(str(document.id), document, ctx=ctx)
    return Applied("Workflow", put.row.slug, put.change, _diff(old, document.as_spec()))


def _apply_integration(value: dict[str, Any], ctx: ActingContext) -> Applied:
    unknown = sorted(set(value) - {"kind", "id", "name", "spec"})
    if unknown:
        raise DocumentInvalid(errors=[FieldError(f"/{unknown[0]}", "There is no such field here.", "unknown_field")])
    slug = _slug(value)
    spec = _spec(value)
    name = value.get("name", "")
    if not isinstance(name, str):
        raise DocumentInvalid(errors=[FieldError("/name", "name is text.")])
    before = systems.integration_by_slug(slug, ctx=ctx)
    old = before.current_version.spec if before and before.current_version else None
    put = put_integration(slug, spec, ctx=ctx, name=name)
    return Applied("Integration", slug, put.change, _diff(old, spec))


def _apply_policy(value: dict[str, Any], ctx: ActingContext) -> Applied:
    slug = _slug(value)
    before = rulebook.policy_by_slug(slug, ctx=ctx)
    old = before.in_force.document if before and before.in_force else None
    put = put_policy(slug, value, ctx=ctx)
    return Applied("Policy", slug, put.change, _diff(old, put.row.document))


def _apply_overlay(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_overlay(value)
    before = rulebook.overlay_on(document.policy, document.scope, ctx=ctx)
    put = put_overlay(document.policy, document.scope, window=document.window, ctx=ctx)
    old = before.window.as_json() if before else None
    name = f"{document.policy} on {document.scope}"
    return Applied("Overlay", name, put.change, _diff(old, document.window.as_json()))


def _slug(value: dict[str, Any]) -> str:
    slug = value.get("id")
    if not isinstance(slug, str) or not is_slug(slug):
        raise DocumentInvalid(
            errors=[FieldError("/id", "Give it an id of a to z, 0 to 9, _ and -, 63 characters at most.")]
        )
    return slug


def _spec(value: dict[str, Any]) -> dict[str, Any]:
    spec = value.get("spec")
    if not isinstance(spec, dict):
        raise DocumentInvalid(errors=[FieldError("/spec", "spec is an object.", "required")])
    return spec


def _diff(before: Any, after: Any) -> str:
    """What changed, as lines of YAML; nothing when it did not exist before."""
    if before is None or before == after:
        return ""
    old, new = (
        yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True, width=100).splitlines(keepends=True)
        for value in (before, after)
    )
    return "".join(difflib.unified_diff(old, new, "in force", "document", n=2))


def _apply_retention(value: dict[str, Any], ctx: ActingContext) -> Applied:
    document = parse_retention(value)
    before = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=document.id)
    existing = before.select_related("current_version").first()
    old = existing.current_version.spec if existing and existing.current_version else None
    put = put_retention(str(document.id), document, ctx=ctx)
    return Applied("Retention", put.row.slug, put.change, _diff(old, document.as_spec()))


_KINDS: Final[dict[str, Callable[[dict[str, Any], ActingContext], Applied]]] = {
    "Role": _apply_role,
    "Group": _apply_group,
    "Channel": _apply_channel,
    "Calendar": _apply_calendar,
    "List": _apply_list,
    "Workflow": _apply_workflow,
    "Integration": _apply_integration,
    "Policy": _apply_policy,
    "Overlay": _apply_overlay,
    "Retention": _apply_retention,
}
"""By the order in which they are applied: what is referred to stands before what refers to it."""
