"""Warnings about documents that are valid and probably mistaken: names that nobody and nothing answers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from integrations import selectors as integration_selectors
from policies import selectors as policy_selectors
from policies.documents.policy import parse_policy
from policies.documents.workflow import parse_workflow, whole_workflow
from policies.documents.workflow_mistakes import (
    MAY_BE_MISSING,
    reads_that_fail,
    requirement,
    version_errors,
    version_warnings,
)
from policies.language.approvals import Leaf, leaves_of
from policies.language.facts import VARIABLES
from policies.language.rules import PolicyDocument
from policies.models import Overlay
from threada_site.kernel.cel import compared_with
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import nearest
from threada_site.kernel.errors import DocumentInvalid, FieldError, ThreadaError
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.templates import Place, compile_template, unguarded_reads_of
from threada_site.tenancy.members import Member, members
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds import Applied
from workitems.configuration.order import kind_of
from workitems.configuration.pack_contents import Placed

NOBODY_HOLDS: Final = "nobody_holds"
TOO_FEW_APPROVERS: Final = "too_few_approvers"
NO_SUCH_ACTION: Final = "no_integration_has_action"
NOT_BOUND: Final = "policy_not_bound"
NOT_COVERED: Final = "no_policy_covers"
NO_SUCH_FIELD: Final = "no_workflow_has_field"
LISTED_WARNING: Final = "warning"


def warnings_about(documents: Iterable[Placed], applied: Iterable[Applied], *, ctx: ActingContext) -> list[FieldError]:
    """Return the warnings of documents that were just applied, located in their files.

    Warns of roles and groups that nobody holds, counts above the number of possible approvers, actions that no
    integration has, also those that only a condition names, policies without an overlay, workflows that no policy
    covers, mistakes of workflows in force that prevent a new version, and actions that read a field that a request may
    lack; also of what applying the documents warned of.
    """
    own = list(documents)
    found: list[FieldError] = []
    if any(kind_of(document) in _CHECKED for document in own):
        tenant = _Tenant.of(ctx)
        for document in own:
            check = _CHECKED.get(kind_of(document))
            found += (document_warning(document, one) for one in check(document.value, tenant)) if check else ()
    places = {(kind_of(document), str(document.value.get("id"))): document for document in own}
    for entry in applied:
        if entry.change is not Change.UNCHANGED and (entry.kind, entry.name) in places:
            document = places[entry.kind, entry.name]
            found += (document_warning(document, FieldError("", said, LISTED_WARNING)) for said in entry.warnings)
    return found


def warnings_in_force(ctx: ActingContext) -> Iterator[str]:
    """Yield the probable mistakes of the workflows in force as `slug: pointer: sentence`."""
    tenant = _Tenant.of(ctx)
    for slug, value in tenant.workflows.items():
        yield from (f"{slug}: {one.pointer}: {one.detail}" for one in _of_workflow(value, tenant))


def document_warning(document: Placed, warning: FieldError) -> FieldError:
    """Return `warning` as `file:line:column: pointer: sentence`."""
    found = document.located(warning)
    place = f"{document.source}:{found.line}:{found.column}"
    return replace(found, detail=f"{place}: {warning.pointer or 'document'}: {warning.detail}")


@dataclass(frozen=True, slots=True)
class _Tenant:
    """Members, documents and bindings of a tenant, as the documents leave them."""

    people: tuple[Member, ...]
    integrations: Mapping[str, Mapping[str, Any]]
    workflows: Mapping[str, Mapping[str, Any]]
    bound: frozenset[str]
    covered: frozenset[str] | None
    """The workflows that an overlay can apply to; None for all."""
    lists: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, ctx: ActingContext) -> _Tenant:
        rows = integration_selectors.integrations(ctx).filter(current_version__isnull=False)
        overlays = list(Overlay.objects.filter(tenant_id=ctx.tenant_id).select_related("policy"))
        return cls(
            tuple(members(ctx.tenant_id, humans_only=True)),
            {row.slug: row.current_version.spec for row in rows if row.current_version},
            {
                row.slug: whole_workflow(row.slug, row.name, row.current_version.spec)
                for row in policy_selectors.workflows(ctx).select_related("current_version").order_by("slug")
                if row.current_version
            },
            frozenset(overlay.policy.slug for overlay in overlays),
            None
            if any(overlay.scope_kind in ("tenant", "pack", "channel", "group") for overlay in overlays)
            else frozenset(overlay.scope_slug for overlay in overlays),
            {row.slug: row.current_version.spec for row in policy_selectors.lists(ctx) if row.current_version},
        )

    @property
    def actions(self) -> frozenset[str]:
        return frozenset(name for spec in self.integrations.values() for name in spec.get("actions") or {})

    def listed(self, name: str) -> set[str]:
        """Return the texts of a list."""
        return {item for item in self.lists.get(name, ()) if isinstance(item, str)}

    def number_of(self, leaf: Leaf) -> int:
        """Return the number of active people whom a leaf of an approval rule names."""
        return sum(_is_named(member, leaf) for member in self.people)


def _is_named(member: Member, leaf: Leaf) -> bool:
    match leaf.kind:
        case "role":
            return leaf.name in member.permissions.roles
        case "group":
            return leaf.name in member.permissions.groups
        case "user":
            return leaf.name == member.username
    held = (member.permissions.scopes, *member.permissions.grants.workflows.values())
    return any(leaf.name in scopes for scopes in held)


def _of_policy(value: Mapping[str, Any], tenant: _Tenant) -> Iterator[FieldError]:
    try:
        document = parse_policy(value)
    except ThreadaError:
        return
    if document.id not in tenant.bound:
        said = f"No overlay binds the policy {document.id}: it decides about nothing. Add a document of kind: Overlay."
        yield FieldError("/id", said, NOT_BOUND)
    yield from _of_conditions(document, tenant)
    yield from _of_approvals(document, tenant)


def _of_conditions(document: PolicyDocument, tenant: _Tenant) -> Iterator[FieldError]:
    """Yield a warning for each action that a condition compares `ctx.action` with and no integration has."""
    for index, rule in enumerate(document.rules):
        place = pointer_to("/spec", "rules", index, "when")
        for kind, name in sorted(compared_with(rule.when, "ctx.action", variables=VARIABLES)):
            where = "the condition names" if kind == "text" else f"the list {name} contains"
            for action in sorted(({name} if kind == "text" else tenant.listed(name)) - tenant.actions - {""}):
                close = nearest(action, tenant.actions)
                hint = f"Did you mean {close}? " if close else ""
                said = f"No integration has the action {action}, which {where}. {hint}Correct it, or add the action."
                yield FieldError(place, said, NO_SUCH_ACTION)


def _of_approvals(document: PolicyDocument, tenant: _Tenant) -> Iterator[FieldError]:
    for index, rule in enumerate(document.rules):
        if rule.approvals is None:
            continue
        place = pointer_to("/spec", "rules", index, "approvals")
        for leaf in dict.fromkeys(leaves_of(rule.approvals.tree)):
            people = tenant.number_of(leaf)
            if people == 0 and leaf.kind in ("role", "group"):
                said = f"Nobody holds the {leaf.kind} {leaf.name}: nobody can approve. Correct it, or add people to it."
                yield FieldError(place, said, NOBODY_HOLDS)
            elif people < leaf.count:
                said = f"count is {leaf.count}, and {_people(people)} {leaf.kind} {leaf.name}. Lower it, or add people."
                yield FieldError(place, said, TOO_FEW_APPROVERS)


def _people(number: int) -> str:
    return "1 person has the" if number == 1 else f"{number} people have the"


def _of_workflow(value: Mapping[str, Any], tenant: _Tenant) -> Iterator[FieldError]:
    try:
        document = parse_workflow(value)
    except ThreadaError:
        return
    for index, action in enumerate(document.actions):
        if action not in tenant.actions:
            said = f"No integration has the action {action}. Correct it, or add it to an integration."
            yield FieldError(pointer_to("/spec", "actions", index), said, NO_SUCH_ACTION)
    if tenant.covered is not None and document.id not in tenant.covered:
        said = "No policy covers this workflow: every action is denied. Add a document of kind: Overlay."
        yield FieldError("/id", said, NOT_COVERED)
    yield from version_errors(document)
    yield from version_warnings(document)
    for integration, spec in tenant.integrations.items():
        for action in set(document.actions) & (spec.get("actions") or {}).keys():
            for _, path, found in reads_that_fail(_reads(spec["actions"][action]), document.payload_schema):
                is_missing = "is not in the payload schema" if found == "absent" else "may be missing"
                said = f"The action {action} of {integration} reads {path}, which {is_missing}: such a request fails."
                yield FieldError(
                    "/spec/payload_schema", f"{said} Require the field, or test it by has().", MAY_BE_MISSING
                )


def _of_integration(value: Mapping[str, Any], tenant: _Tenant) -> Iterator[FieldError]:
    """Yield a warning for each field that an action reads and that no workflow with this action has."""
    actions = value.get("spec", {}).get("actions") if isinstance(value.get("spec"), Mapping) else None
    for name, action in actions.items() if isinstance(actions, Mapping) else ():
        schemas = [
            workflow["spec"]["payload_schema"]
            for workflow in tenant.workflows.values()
            if name in workflow["spec"].get("actions", ())
        ]
        for pointer, path in _reads(action):
            if path[:1] == ("payload",) and {requirement(schema, path[1:]) for schema in schemas} == {"absent"}:
                said = f"No workflow with the action {name} has the field {'.'.join(path[1:])}. Correct it."
                yield FieldError(pointer_to("/spec", "actions", name) + pointer, said, NO_SUCH_FIELD)


def _reads(action: Any, pointer: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield pointer and path of what the templates of an action read from `item` without a test."""
    if isinstance(action, Mapping | list):
        entries = action.items() if isinstance(action, Mapping) else enumerate(action)
        for key, part in entries:
            yield from _reads(part, pointer_to(pointer, key))
    elif isinstance(action, str) and "${" in action:
        try:
            template = compile_template(action, pointer=pointer, place=Place.TEXT)
        except DocumentInvalid:
            return
        yield from unguarded_reads_of(template, "item")


_CHECKED: Final = {"Policy": _of_policy, "Workflow": _of_workflow, "Integration": _of_integration}
