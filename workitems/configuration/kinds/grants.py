"""`kind: Grant` documents: all scopes of one principal on single workflows and integrations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from threada_site.identity.grants.object_grants import (
    object_grants,
    object_named,
    object_slugs,
    set_object_scopes,
    split_name,
)
from threada_site.identity.selectors import principal_of_tenant
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import closed_object
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.tenancy.models import User
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole

_SECTIONS: Final = {"workflow": "workflows", "integration": "integrations"}


def _section(kind: str, example: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": {
            "type": "array",
            "items": {"enum": sorted(scope.value for scope in Scope), "title": "scope"},
            "description": f"Scopes on the {kind}.",
        },
        "description": f"Id of a {kind} and the scopes on it.",
        "default": {},
        "examples": [example],
    }


GRANT_SCHEMA: Final = KindSchema(
    "Grant",
    closed_object(
        {
            "workflows": _section("workflow", {"payment_run": ["workitems:read", "decisions:decide"]}),
            "integrations": _section("integration", {"int_bank": ["actions:execute"]}),
        },
        description="Scopes of one principal, the id of the document, on single workflows and integrations.",
    ),
)


def _apply(value: Written, ctx: ActingContext) -> Applied:
    document = GRANT_SCHEMA.parse(value)
    document.errors.raise_any(value=value)
    name = str(document.id)
    principal = principal_of_tenant(ctx.tenant_id, name)
    if principal is None:
        raise DocumentInvalid(
            f"{name} is not a member of this tenant. Add it first.",
            errors=[FieldError("/id", f"{name!r} is not a member of this tenant", "not_a_member")],
        )
    before = _held(ctx).get(name, {})
    wanted = {section: dict(document.spec.get(section) or {}) for section in _SECTIONS.values()}
    wanted = {section: objects for section, objects in wanted.items() if any(objects.values())}
    for kind, section in _SECTIONS.items():
        for slug in sorted({*before.get(section, {}), *wanted.get(section, {})}):
            _set(principal, kind, slug, wanted.get(section, {}).get(slug, []), ctx=ctx)
    after = _sorted(wanted)
    if before == after:
        return Applied("Grant", name, Change.UNCHANGED)
    return Applied("Grant", name, Change.CHANGED if before else Change.CREATED, diff(before or None, after))


def _set(principal: User, kind: str, slug: str, scopes: list[str], *, ctx: ActingContext) -> None:
    try:
        target = object_named(kind, slug, ctx=ctx)
        set_object_scopes(principal, target, frozenset(map(Scope, scopes)), ctx=ctx)
    except (errors.NotFound, errors.InvalidRequest) as error:
        is_missing = isinstance(error, errors.NotFound)
        said = f"There is no {kind} {slug} in this tenant." if is_missing else error.detail
        place = FieldError(f"/spec/{_SECTIONS[kind]}/{slug}", said, "unknown")
        raise DocumentInvalid(said, errors=[place]) from None


def _held(ctx: ActingContext) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return principal → `workflows` or `integrations` → id → sorted scopes."""
    slugs = object_slugs(ctx.tenant_id)
    found: dict[str, dict[str, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in object_grants(ctx.tenant_id):
        scope, target = split_name(row.name)
        kind, slug = slugs[target]
        found[row.user.username][_SECTIONS[kind]][slug].append(scope)
    return {name: _sorted(sections) for name, sections in sorted(found.items())}


def _sorted(sections: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
    return {
        section: {slug: sorted(set(scopes)) for slug, scopes in sorted(sections[section].items()) if scopes}
        for section in _SECTIONS.values()
        if sections.get(section)
    }


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for name, sections in _held(ctx).items():
        yield Stored(name, whole("Grant", name, sections))


def _remove(name: str, ctx: ActingContext) -> None:
    principal = principal_of_tenant(ctx.tenant_id, name)
    for kind, section in _SECTIONS.items():
        for slug in _held(ctx).get(name, {}).get(section, {}):
            if principal is not None:
                _set(principal, kind, slug, [], ctx=ctx)


GRANT = Kind(lambda: GRANT_SCHEMA.schema, _apply, _export, _remove)
