"""Whether a policy may be put in force: its conditions against the payloads it reaches, and its own tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from policies import selectors
from policies.documents import parse_policy
from policies.models import Overlay, Policy
from policies.overlay_documents import OverlayScope
from policies.problems import MAX_PROBLEMS
from policies.reachability import rule_warnings
from policies.rule_tests import run_tests
from policies.rules import PolicyDocument
from threada_site.kernel.cel import check_typed
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, PolicyDocumentInvalid, PolicyTestsFailed
from threada_site.kernel.pointers import pointer_to

_ANYTHING: Final = True
"""The JSON Schema that every value fits: nothing is known about the payload."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found. `workflows` are those whose payloads the conditions were checked against.

    `warnings` are rules that never decide. They keep nothing from being published.
    """

    workflows: tuple[str, ...]
    type_problems: tuple[FieldError, ...]
    failed_tests: tuple[FieldError, ...]
    warnings: tuple[FieldError, ...] = ()

    @property
    def problems(self) -> tuple[FieldError, ...]:
        return (*self.type_problems, *self.failed_tests)

    def check(self) -> None:
        """Raise `PolicyDocumentInvalid` or `PolicyTestsFailed`, naming every problem, if there is any."""
        if self.type_problems:
            raise PolicyDocumentInvalid(
                "Some conditions do not fit the payloads of the workflows they reach. Mend what errors names.",
                errors=self.type_problems,
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
) -> Validation:
    """Check a document of `policy` against everything its overlays reach, and those that are about to be added.

    `document` is a stored spec, and `pointer` where it stands in what was sent. Raises `PolicyDocumentInvalid` for one
    that cannot be read at all.
    """
    parsed = parse_policy(document)
    bound = Overlay.objects.filter(tenant_id=ctx.tenant_id, policy=policy).values_list("scope_kind", "scope_slug")
    scopes = {OverlayScope(kind, slug) for kind, slug in bound} | set(also_reaching)
    schemas = _schemas_reached(scopes, ctx=ctx)
    items = {row.slug: row.current_version.items for row in selectors.lists(ctx) if row.current_version}
    return Validation(
        tuple(sorted(schemas)),
        _at(pointer, _type_problems(parsed, schemas, lists=items.keys())),
        _at(pointer, run_tests(parsed, lists=items)),
        _at(pointer, rule_warnings(parsed)),
    )


def _at(pointer: str, problems: Iterable[FieldError]) -> tuple[FieldError, ...]:
    return tuple(replace(problem, pointer=pointer + problem.pointer) for problem in problems)


def _schemas_reached(scopes: Iterable[OverlayScope], *, ctx: ActingContext) -> dict[str, Any]:
    """Payload schemas by workflow. A channel may carry every workflow."""
    kinds = {scope.kind for scope in scopes}
    rows = selectors.all_workflows(ctx)
    if not kinds & {"tenant", "channel"}:
        rows = rows.filter(slug__in=[scope.slug for scope in scopes])
    return {row.slug: row.current_version.spec["payload_schema"] for row in rows if row.current_version}


def _type_problems(document: PolicyDocument, schemas: dict[str, Any], *, lists: Collection[str]) -> list[FieldError]:
    """Each problem once, with the workflow it was found with; a rule that reads no payload is checked once."""
    found: list[FieldError] = []
    for index, rule in enumerate(document.rules):
        place = pointer_to("", "rules", index, "when")
        reads_payload = "payload" in rule.when
        for workflow, schema in (schemas if reads_payload and schemas else {"": _ANYTHING}).items():
            for problem in check_typed(rule.when, payload_schema=schema, lists=lists):
                at = f"line {problem.line}, column {problem.column}: {problem.message}"
                said = f"{workflow}: {at}" if workflow else at
                found.append(FieldError(place, said, "invalid_expression", problem.line, problem.column))
                if len(found) == MAX_PROBLEMS:
                    return found
    return found
