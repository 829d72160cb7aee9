"""Check of a policy text during editing: errors, warnings and test results. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.documents.policy import parse_policy
from policies.drafts.edit import is_whole, policy_spec
from policies.drafts.validation import validate_policy
from policies.evaluator.runs import lock_evaluator
from policies.language.rules import PolicyDocument
from policies.models import Policy
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import DocumentInvalid, EvaluatorBusy, FieldError, ThreadaError

MOST_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TestRun:
    """Result of one test in the document. `failure` describes the difference; "" means that it passed."""

    name: str
    line: int
    failure: str


@dataclass(frozen=True, slots=True)
class TextCheck:
    """Result of a check, with lines and columns of the text. Errors prevent publication, warnings do not."""

    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
    tests: tuple[TestRun, ...] = ()
    workflows: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        return sum(1 for test in self.tests if test.failure)

    @property
    def would_pass(self) -> bool:
        return not self.errors and not self.failed


def check_policy_text(text: str, *, policy: Policy | None, ctx: ActingContext) -> TextCheck:
    """Run all checks of drafting and publishing on `text`, as a document of `policy` or of a new policy."""
    try:
        lock_evaluator(ctx.tenant_id)
    except EvaluatorBusy as error:
        return TextCheck(errors=(_unplaced(error),))
    try:
        document = _only(text)
    except DocumentInvalid as error:
        return TextCheck(errors=tuple(_without_source(entry) for entry in error.errors or [_unplaced(error)]))
    try:
        spec = policy_spec(document.value, slug=policy.slug if policy else _named(document.value))
        prefix = "/spec" if is_whole(document.value) else ""
        found = validate_policy(spec, policy=policy or Policy(tenant_id=ctx.tenant_id), ctx=ctx, pointer=prefix)
    except ThreadaError as error:
        return TextCheck(errors=tuple(document.located(entry) for entry in error.errors or [_unplaced(error)]))
    return TextCheck(
        errors=tuple(map(document.located, (*found.type_errors, *found.cost_errors))),
        warnings=tuple(map(document.located, found.warnings)),
        tests=tuple(_tests(parse_policy(spec), found.failed_tests, document, prefix)),
        workflows=found.workflows,
    )


def _only(text: str) -> Document:
    if len(text) > MOST_CHARACTERS:
        raise DocumentInvalid(errors=[FieldError("", "The text is too long. Split the policy.", "too_large", 1, 1)])
    documents = load_documents(text, source="")
    if len(documents) == 1:
        return documents[0]
    said = "Write a policy." if not documents else f"Write one document; this text contains {len(documents)}."
    raise DocumentInvalid(errors=[FieldError("", said, "invalid", 1, 1)])


def _tests(
    document: PolicyDocument, failures: tuple[FieldError, ...], text: Document, prefix: str
) -> Iterator[TestRun]:
    said = {failure.pointer: failure.detail for failure in failures}
    for number, test in enumerate(document.tests, start=1):
        pointer = prefix + test.pointer
        yield TestRun(test.name or f"Test {number}", text.place_of(pointer).line, said.get(pointer, ""))


def _named(value: Any) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def _unplaced(error: ThreadaError) -> FieldError:
    return FieldError("", error.detail, error.reason_code, 1, 1)


def _without_source(entry: FieldError) -> FieldError:
    """Return the error without the position in its message; line and column are separate fields."""
    return replace(entry, detail=entry.detail.removeprefix(f":{entry.line}: "))
