"""Configuration as documents: a folder of documents takes effect completely or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from django.db import transaction

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.field_errors import suggestion
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import (
    ConfirmationRequired,
    DocumentInvalid,
    FieldError,
    InvalidRequest,
    PersonRequired,
    StepUpRequired,
    ThreadaError,
)
from threada_site.tenancy.change_sets import operation
from threada_site.tenancy.independence import require_known_owner
from threada_site.tenancy.upsert import Change
from threada_site.tenancy.versioned_documents import store_source
from workitems.configuration.collected_changes import CollectedChanges
from workitems.configuration.drift import note_baseline
from workitems.configuration.failed_documents import FailedDocuments
from workitems.configuration.kinds import KINDS, Applied, in_force
from workitems.configuration.order import in_order, kind_of
from workitems.configuration.pack_contents import (
    PackedBefore,
    Placed,
    note_contents_of_packs,
    with_contents_of_packs,
)
from workitems.configuration.probable_mistakes import warnings_about

__all__ = ["Applied", "Outcome", "apply_documents", "read_documents"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_REVISION: Final = 100
_MOST_RECORDED: Final = 1000
_MOST_NAMED: Final = 3
_MOST_PROBLEMS: Final = 500
"""Errors of all documents together; the documents after them are not read."""
_STORE_THEIR_SOURCE: Final = ("Integration", "List", "Policy", "Workflow")
"""Kinds whose services store the text beside the version."""


@dataclass(frozen=True, slots=True)
class Named:
    """Kind and name of something in force."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of applying documents. `left` is in force but in none of them; `removed` was in none of them.

    `warnings` name probable mistakes, with their places. `needs_confirmation`: a second person must publish the
    changes.
    """

    applied: list[Applied]
    removed: list[Named]
    left: list[Named]
    warnings: list[FieldError] = field(default_factory=list)
    needs_confirmation: bool = False

    @property
    def differences(self) -> list[dict[str, str]]:
        """Return `changes` with the difference of each changed document."""
        found = {(entry.kind, entry.name): entry.difference for entry in self.applied}
        return [{**change, "difference": found.get((change["kind"], change["name"]), "")} for change in self.changes]

    @property
    def changes(self) -> list[dict[str, str]]:
        """Return kind, name and change of everything that is created, changed or removed."""
        changed = [
            {"kind": entry.kind, "name": entry.name, "change": entry.change.value}
            for entry in self.applied
            if entry.change is not Change.UNCHANGED
        ]
        return changed + [{"kind": entry.kind, "name": entry.name, "change": "removed"} for entry in self.removed]


def read_documents(path: Path) -> list[Document]:
    """Return the documents of a file, or of all YAML and JSON files below a folder, ordered by path.

    Raise `DocumentInvalid` with file and line.
    """
    files = document_files(path) if path.is_dir() else [path]
    if not files:
        raise DocumentInvalid(f"There are no documents below {path}: no file name ends in {', '.join(SUFFIXES)}.")
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


def document_files(folder: Path) -> list[Path]:
    """Return the YAML and JSON files below a folder. Hidden folders are skipped."""
    found = (file for file in folder.rglob("*") if file.suffix in SUFFIXES)
    return sorted(file for file in found if not any(p.startswith(".") for p in file.relative_to(folder).parts))


def apply_documents(
    documents: Iterable[Document],
    *,
    ctx: ActingContext,
    prune: bool = False,
    revision: str = "",
    is_plan: bool = False,
    is_strict: bool = False,
    kinds: Collection[str] = tuple(KINDS),
    is_baseline: bool = False,
) -> Outcome:
    """Put all documents into force, in the order of their references; `prune` removes everything else.

    Documents of a pack are applied as if they were in the same folder; a document of the folder with the same id
    replaces the one of the pack. Documents that only an earlier version of the pack contained are removed. New
    versions store `revision`. Write the receipt `configuration.applied` if anything changes.

    If a change among them needs a second person, raise `ConfirmationRequired` with one change for all documents, unless
    this `is_plan`, which the caller rolls back. `is_strict`: warnings are errors. Only objects of
    `kinds` are removed and listed. `is_baseline`: later differences from these documents count as drift.

    Raise one `DocumentInvalid` that lists the errors of all documents as `file:line:column: pointer: reason`, and
    everything that cannot be removed because it is in use. Raise `PersonRequired` or `StepUpRequired` for a document
    that only a person in the console may write, or the operator; `OwnerRequired` for an agent or a service without a
    known owner. The caller's unit of work is rolled back then.
    """
    require_unit_of_work(ctx.tenant_id)
    if len(revision) > MAX_REVISION:
        raise InvalidRequest(f"A revision must not exceed {MAX_REVISION} characters.")
    documents = list(documents)
    collected = CollectedChanges(ctx)
    ctx = replace(collected.ctx, revision=revision)
    ordered = in_order(with_contents_of_packs(documents))
    packed = PackedBefore.in_tenant(ctx)
    applied, problems = _apply_all(ordered, ctx=ctx)
    left = [] if problems else [entry for entry in _not_named(applied, ctx=ctx) if entry.kind in kinds]
    removed: list[Named] = []
    if not problems:
        dropped = packed.dropped(applied, ctx=ctx)
        removed = [entry for entry in reversed(left) if prune or (entry.kind, entry.name) in dropped]
        left = [entry for entry in left if entry not in removed]
        problems = _remove_all(removed, ctx=ctx)
    if problems:
        raise DocumentInvalid("The documents are not valid; nothing was changed.", errors=problems)
    note_contents_of_packs(ordered, ctx=ctx)
    warned = warnings_about(ordered, applied, ctx=ctx)
    if is_strict and warned:
        raise DocumentInvalid("The documents have warnings; nothing was changed (strict).", errors=warned)
    outcome = Outcome(applied, removed, left, warned)
    if outcome.changes and not is_plan:
        require_known_owner(ctx)
    try:
        _confirm(collected, documents, outcome, prune=prune, revision=revision, kinds=kinds, is_baseline=is_baseline)
    except ConfirmationRequired:
        if not is_plan:
            raise
        outcome = replace(outcome, needs_confirmation=True)
    _record(applied, removed, ctx=ctx)
    if is_baseline and not is_plan:
        note_baseline(applied, prunes=prune and set(kinds) >= set(KINDS), ctx=ctx)
    return outcome


def _confirm(
    collected: CollectedChanges,
    documents: Iterable[Document],
    outcome: Outcome,
    *,
    prune: bool,
    revision: str,
    kinds: Collection[str],
    is_baseline: bool,
) -> None:
    """Raise `ConfirmationRequired` if a change among those of a plan needs a second person."""
    plan = outcome.changes
    names = [f"{entry['kind']} {entry['name']}" for entry in plan]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    collected.confirm(
        "apply",
        f"Apply documents: {', '.join(names[:_MOST_NAMED])}{more}",
        arguments={
            "documents": [document.value for document in documents],
            "written": [document.written for document in documents],
            "prune": prune,
            "revision": revision,
            "kinds": list(kinds),
            "is_baseline": is_baseline,
        },
        plan=plan,
        is_rule_change=any(entry["kind"] == "Pack" for entry in plan),
    )


@operation("apply", scope=Scope.WORKFLOW_MANAGE)
def _apply(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    documents = [
        document
        for number, text in enumerate(arguments["written"], start=1)
        for document in load_documents(text, source=f"document {number}")
    ]
    apply_documents(
        documents,
        ctx=ctx,
        prune=arguments["prune"],
        revision=arguments["revision"],
        kinds=arguments["kinds"],
        is_baseline=arguments["is_baseline"],
    )


def _apply_all(documents: list[Placed], *, ctx: ActingContext) -> tuple[list[Applied], list[FieldError]]:
    problems: dict[FieldError, None] = {}
    applied: list[Applied] = []
    seen: dict[tuple[str, str], Placed] = {}
    failed = FailedDocuments(documents)
    for document in documents:
        if len(problems) > _MOST_PROBLEMS:
            said = f"There are more than {_MOST_PROBLEMS} errors. Correct these first."
            return applied, [*list(problems)[:_MOST_PROBLEMS], FieldError("", said, "too_many")]
        kind = kind_of(document)
        try:
            if kind not in KINDS:
                said = f"{kind[:40]!r} is no kind of document.{suggestion(kind, KINDS)}"
                raise DocumentInvalid(errors=[FieldError("/kind", said, "unknown")])
            _check_unique(document, kind, seen)
            with transaction.atomic():
                done = KINDS[kind].apply(document.value, replace(ctx, source=document.written))
                if kind not in _STORE_THEIR_SOURCE:
                    store_source(kind, done.name, "", document.written, ctx=ctx)
                applied.append(done)
        except (PersonRequired, StepUpRequired) as error:
            error.errors = tuple(_located(document, "", [FieldError("", error.detail, error.reason_code)]))
            raise
        except ThreadaError as error:
            found = failed.without_consequences(document, error)
            place = failed.place_of(document, error)
            problems.update(dict.fromkeys(_located(*place, found)))
            failed.add(document)
    return applied, list(problems)


def _not_named(applied: Iterable[Applied], *, ctx: ActingContext) -> list[Named]:
    named = {(entry.kind, entry.name) for entry in applied}
    return [Named(kind, stored.name) for kind, stored in in_force(ctx) if (kind, stored.name) not in named]


def _remove_all(names: Iterable[Named], *, ctx: ActingContext) -> list[FieldError]:
    problems: list[FieldError] = []
    for entry in names:
        try:
            with transaction.atomic():
                KINDS[entry.kind].remove(entry.name, ctx)
        except (PersonRequired, StepUpRequired):
            raise
        except ThreadaError as error:
            problems.append(FieldError("", f"{entry.kind} {entry.name}: {error.detail}", error.reason_code))
    return problems


def _record(applied: list[Applied], removed: list[Named], *, ctx: ActingContext) -> None:
    by_change = {change: [f"{e.kind} {e.name}" for e in applied if e.change is change] for change in Change}
    created, changed = by_change[Change.CREATED], by_change[Change.CHANGED]
    gone = [f"{entry.kind} {entry.name}" for entry in removed]
    if not (created or changed or gone):
        return
    changes = {"created": created, "changed": changed, "removed": gone}
    outcome = {name: {"count": len(names), "names": names[:_MOST_RECORDED]} for name, names in changes.items()}
    record(
        Entry(
            kind="configuration.applied",
            inputs={"revision": ctx.revision or None, "documents": len(applied)},
            outcome=outcome,
        ),
        ctx=ctx,
    )


def _check_unique(document: Placed, kind: str, seen: dict[tuple[str, str], Placed]) -> None:
    name = document.value.get("id")
    if kind == "Overlay":
        name = f"{document.value.get('policy')} {document.value.get('scope')}"
    elif kind == "Calendar":
        name = "of the tenant"
    earlier = seen.setdefault((kind, str(name)), document)
    if earlier is not document:
        place = f"{earlier.source}:{earlier.place_of('').line}"
        raise DocumentInvalid(errors=[FieldError("", f"{kind} {name} is already defined at {place}.", "repeated")])


def _located(document: Placed, prefix: str, entries: Iterable[FieldError]) -> list[FieldError]:
    """Return `entries` with their places; `prefix` is the pointer of what they are about in `document`."""
    located = []
    for entry in (replace(entry, pointer=prefix + entry.pointer) for entry in entries):
        found = document.located(entry)
        said = f"{document.source}:{found.line}:{found.column}: {entry.pointer or 'document'}: {found.detail}"
        located.append(replace(found, detail=said))
    return located
