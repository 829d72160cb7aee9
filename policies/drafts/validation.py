"""Validation before publication: conditions against payload schemas, overrides and the tests of the document."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import Q

from policies import selectors
from policies.documents.overlay import OverlayScope
from policies.documents.policy import parse_policy
from policies.documents.workflow import DEFAULT_DATA_CLASS
from policies.drafts.cost_check import payload_limits
from policies.drafts.rule_test_results import current_lists, rule_test_errors
from policies.language.budget import CHECK_SECONDS, CpuBudget, limit_errors
from policies.language.cost import cost_errors
from policies.language.facts import FACTS, VARIABLES
from policies.language.lifted_exclusions import lifted_exclusions
from policies.language.overriding import override_errors, policies_overridden
from policies.language.reachability import rule_warnings
from policies.language.rules import PolicyDocument
from policies.models import Overlay, Policy
from threada_site.kernel.cel import check_typed
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import MAX_FIELD_ERRORS
from threada_site.kernel.errors import FieldError, PolicyDocumentInvalid, PolicyTestsFailed
from threada_site.kernel.json.pointers import pointer_to

_ANYTHING: Final = True
"""JSON Schema that accepts every value, for unknown payloads."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Result of a validation. `workflows` are those whose payload schemas the conditions were checked against.

    `warnings` are rules that never decide, and rules that exclude nobody. They do not prevent publication.
    """

    workflows: tuple[str, ...]
    type_errors: tuple[FieldError, ...]
    failed_tests: tuple[FieldError, ...]
    warnings: tuple[FieldError, ...] = ()
    override_errors: tuple[FieldError, ...] = ()
    cost_errors: tuple[FieldError, ...] = ()

    @property
    def errors(self) -> tuple[FieldError, ...]:
        return (*self.type_errors, *self.cost_errors, *self.override_errors, *self.failed_tests)

    def check(self) -> None:
        """Raise `PolicyDocumentInvalid` or `PolicyTestsFailed` with all errors, if there are any."""
        if self.type_errors:
            raise PolicyDocumentInvalid(
                "Some conditions do not match the payload schemas of their workflows. Fix the fields listed in errors.",
                errors=self.type_errors,
            )
        if self.cost_errors:
            raise PolicyDocumentInvalid(
                "Some conditions cost too much for the payloads of their workflows. Fix the fields listed in errors.",
                errors=self.cost_errors,
            )
        if self.override_errors:
            raise PolicyDocumentInvalid(
                "The policy overrides rules that it must not. Only rules with overridable: true can be overridden.",
                errors=self.override_errors,
            )
        if self.failed_tests:
            raise PolicyTestsFailed(errors=self.failed_tests)


def validate_policy(
    document: Any,
    *,
    policy: Policy,
    ctx: ActingContext,
    also_reaching: Collection[OverlayScope] = (),
    pointer: str = "",
    runs_tests: bool = True,
) -> Validation:
    """Check a spec of `policy` against the payload schemas of its overlays, and of overlays about to be added.

    `pointer` is the place of the spec in the request. Its tests run in the evaluator. Raises `PolicyDocumentInvalid` if
    the spec cannot be parsed, `EvaluatorBusy` and `EvaluatorFailed`.
    """
    cpu_budget = CpuBudget(CHECK_SECONDS)
    parsed = parse_policy(document)
    specs = _specs_reached_by(policy, ctx=ctx, also_reaching=also_reaching)
    schemas = {slug: spec["payload_schema"] for slug, spec in specs.items()}
    lists = current_lists(ctx)
    type_errors = _type_errors(parsed, schemas, lists=lists.keys(), cpu_budget=cpu_budget)
    payloads = {slug: payload_limits(spec) for slug, spec in specs.items()}
    counts = {slug: len(items) for slug, items in lists.items()}
    costly = [] if type_errors else cost_errors(parsed, payloads, lists=counts, cpu_budget=cpu_budget)
    return Validation(
        tuple(sorted(schemas)),
        _at(pointer, type_errors),
        _at(pointer, rule_test_errors(parsed, lists=lists, ctx=ctx) if runs_tests else ()),
        _at(pointer, (*rule_warnings(parsed), *lifted_exclusions(parsed))),
        _at(pointer, override_errors(document, _overridden(document, slug=policy.slug, ctx=ctx))),
        _at(pointer, costly),
    )


def schemas_reached_by(
    policy: Policy | None, *, ctx: ActingContext, also_reaching: Collection[OverlayScope] = ()
) -> dict[str, Any]:
    """Return the payload schemas, by workflow, of all workflows that the overlays of the policy cover."""
    specs = _specs_reached_by(policy, ctx=ctx, also_reaching=also_reaching)
    return {slug: spec["payload_schema"] for slug, spec in specs.items()}


def _specs_reached_by(
    policy: Policy | None, *, ctx: ActingContext, also_reaching: Collection[OverlayScope]
) -> dict[str, Any]:
    bound = Overlay.objects.filter(tenant_id=ctx.tenant_id, policy=policy).values_list("scope_kind", "scope_slug")
    scopes = {OverlayScope(kind, slug) for kind, slug in bound} if policy else set()
    return _specs_reached(scopes | set(also_reaching), ctx=ctx)


def schemas_of_all(*, ctx: ActingContext) -> dict[str, Any]:
    """Return the payload schemas of all workflows of the tenant, by workflow."""
    return _schemas_reached([OverlayScope("tenant", "")], ctx=ctx)


def data_classes_reached_by(policy: Policy | None, *, ctx: ActingContext) -> set[str]:
    """Return the data classes of the workflows that the overlays of the policy cover; without overlays, of all."""
    bound = Overlay.objects.filter(tenant_id=ctx.tenant_id, policy=policy).values_list("scope_kind", "scope_slug")
    scopes = [OverlayScope(kind, slug) for kind, slug in bound] if policy else []
    specs = _specs_reached(scopes or [OverlayScope("tenant", "")], ctx=ctx)
    return {spec.get("data_class", DEFAULT_DATA_CLASS) for spec in specs.values()}


def check_limits(policy: Policy, *, ctx: ActingContext) -> None:
    """Raise `PolicyDocumentInvalid` if the policies that apply in the tenant exceed a limit together.

    Counts `policy` with its version in force, if it is bound.
    """
    bound = Overlay.objects.filter(tenant_id=ctx.tenant_id).values("policy_id")
    rows = selectors.policies(ctx).filter(Q(id__in=bound), in_force__isnull=False)
    specs = {row.slug: row.in_force.document for row in rows if row.in_force}
    errors = limit_errors(specs) if policy.slug in specs else []
    if errors:
        raise PolicyDocumentInvalid("The policies that apply in this tenant exceed a limit.", errors=errors)


def check_overrides(document: Any, *, slug: str, ctx: ActingContext, pointer: str = "") -> None:
    """Raise `PolicyDocumentInvalid` if a spec overrides a rule in force that is unknown or not overridable.

    A policy without a version in force may be named: it may be published before this one.
    """
    errors = override_errors(document, _overridden(document, slug=slug, ctx=ctx), is_draft=True)
    Validation((), (), (), override_errors=_at(pointer, errors)).check()


def _overridden(document: Any, *, slug: str, ctx: ActingContext) -> dict[str, Any]:
    """Return the specs in force of the policies whose rules `document` names; for `slug` itself, `document`."""
    named = policies_overridden(document)
    if not named:
        return {}
    rows = selectors.policies(ctx).filter(slug__in=named, in_force__isnull=False)
    found = {row.slug: row.in_force.document for row in rows if row.in_force}
    return found | ({slug: document} if slug in named else {})


def _at(pointer: str, errors: Iterable[FieldError]) -> tuple[FieldError, ...]:
    return tuple(replace(error, pointer=pointer + error.pointer) for error in errors)


def _schemas_reached(scopes: Collection[OverlayScope], *, ctx: ActingContext) -> dict[str, Any]:
    """Return payload schemas by workflow. Scopes other than workflow and pack may cover every workflow."""
    return {slug: spec["payload_schema"] for slug, spec in _specs_reached(scopes, ctx=ctx).items()}


def _specs_reached(scopes: Collection[OverlayScope], *, ctx: ActingContext) -> dict[str, Any]:
    rows = selectors.all_workflows(ctx)
    if all(scope.kind in ("workflow", "pack") for scope in scopes):
        packs = [scope.slug for scope in scopes if scope.kind == "pack"]
        members = selectors.pack_members(ctx).filter(pack__slug__in=packs, kind="Workflow").values("name")
        named = [scope.slug for scope in scopes if scope.kind == "workflow"]
        rows = rows.filter(Q(slug__in=named) | Q(slug__in=members))
    return {row.slug: row.current_version.spec for row in rows if row.current_version}


def _type_errors(
    document: PolicyDocument, schemas: dict[str, Any], *, lists: Collection[str], cpu_budget: CpuBudget
) -> list[FieldError]:
    """Return each error once, with the first workflow it occurs in. A rule that reads no payload is checked once."""
    found: list[FieldError] = []
    for index, rule in enumerate(document.rules):
        place = pointer_to("", "rules", index, "when")
        if cpu_budget.is_used_up:
            said = (
                f"Checking this policy against the payloads of {len(schemas)} workflows takes more than "
                f"{CHECK_SECONDS:.0f} s of processor time. Bind it to fewer, or split it."
            )
            return [*found, FieldError(place, said, "too_large")]
        reads_payload = "payload" in rule.when
        for workflow, schema in (schemas if reads_payload and schemas else {"": _ANYTHING}).items():
            for error in check_typed(rule.when, facts=FACTS, payload_schema=schema, lists=lists, variables=VARIABLES):
                at = f"line {error.line}, column {error.column}: {error.message}"
                said = f"{workflow}: {at}" if workflow else at
                found.append(FieldError(place, said, "invalid_expression", error.line, error.column))
                if len(found) == MAX_FIELD_ERRORS:
                    return found
    return found
