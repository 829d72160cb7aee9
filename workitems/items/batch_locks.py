"""Locks of new work items, taken in one order, so that requests at the same time do not block each other for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.db import connection

from policies import selectors as policy_selectors
from policies.documents.workflow import WorkflowDocument
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.items.subjects import subject_reference

_IN_ORDER: Final = """
SELECT pg_advisory_xact_lock(key)
  FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(%s::text[]) AS name ORDER BY key) AS ordered
"""


def lock_batch(entries: Iterable[Any], *, ctx: ActingContext) -> None:
    """Lock the unique references and the data subjects that the bodies of new work items name.

    Creation of a work item holds its reference and a new data subject until the transaction ends. Two batches that
    name the same ones in different orders would wait for each other.
    """
    documents: dict[str, WorkflowDocument | None] = {}
    _lock({name for entry in entries for name in _named(entry, documents, ctx=ctx)}, ctx=ctx)


def lock_single(entry: Mapping[str, Any], document: WorkflowDocument, *, ctx: ActingContext) -> None:
    """Lock what one new work item names, before it holds its data subject and waits for its reference.

    `entry` has the members `workflow_id`, `external_ref` and `payload`. A workflow without a data subject or without
    unique references needs no lock: its work item holds one of the two, and waits for nothing while it does.
    """
    if document.subject and document.unique_external_ref:
        _lock(set(_named(entry, {entry["workflow_id"]: document}, ctx=ctx)), ctx=ctx)


def _lock(names: set[str], *, ctx: ActingContext) -> None:
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    if len(names) > 1:
        with connection.cursor() as cursor:
            cursor.execute(_IN_ORDER, [sorted(f"batch {ctx.tenant_id} {name}" for name in names)])


def _named(entry: Any, documents: dict[str, WorkflowDocument | None], *, ctx: ActingContext) -> Iterator[str]:
    slug = entry.get("workflow_id")
    if not isinstance(slug, str) or "\x00" in slug:
        return
    if slug not in documents:
        found = policy_selectors.workflow_in_force(slug, channel=None, ctx=ctx)
        documents[slug] = None if found is None else found.document
    document = documents[slug]
    if document is None:
        return
    if document.unique_external_ref and isinstance(entry.get("external_ref"), str) and entry["external_ref"]:
        yield f"reference {slug} {entry['external_ref']}".replace("\x00", "")
    if document.subject:
        try:
            yield f"subject {subject_reference(entry.get('payload'), document)}".replace("\x00", "")
        except errors.PayloadSchemaViolation:
            return
