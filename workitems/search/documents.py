"""Documents of words: what of a work item can be searched for, and the writing of it.

Title, texts and numbers of the payload, external reference, workflow, texts of other modules (`register_texts`), and
the ids of requester, submitter, assignee and voters. Of a work item about a data subject, or with a sensitive data
class, only workflow and people: its contents are encrypted or omitted from lists, and a search would reveal them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from django.db import connection

from threada_site.personal_data.erasable_fields import Erased
from workitems.items.sensitive import is_sensitive
from workitems.models import WorkItem
from workitems.search import words

type Texts = Callable[[Sequence[uuid.UUID]], Mapping[uuid.UUID, Sequence[str]]]

_sources: Final[list[Texts]] = []
_WRITE: Final = """
INSERT INTO workitems_searchdocument AS known (id, tenant_id, work_item_id, words)
SELECT id, tenant_id, id, words::tsvector FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS new(id, tenant_id, words)
ON CONFLICT (id) DO UPDATE SET words = excluded.words WHERE known.words <> excluded.words
"""

_VOTERS: Final = """
SELECT s.work_item_id, array_agg(DISTINCT v.voter_id)
  FROM workitems_decisionstep s
  JOIN workitems_vote v ON v.tenant_id = s.tenant_id AND v.step_id = s.id
 WHERE s.tenant_id = ANY (%s) AND s.work_item_id = ANY (%s)
 GROUP BY s.work_item_id
"""


def register_texts(source: Texts) -> None:
    """Add texts of work items, for example comments, to their documents.

    `source` gets ids of work items of several tenants and returns their texts. It is called with the role of the
    platform. Call `note_change` when a text changes.
    """
    _sources.append(source)


def write_documents(item_ids: Sequence[uuid.UUID]) -> int:
    """Write the documents of these work items, as the platform. Return their number."""
    documents = list(_documents(item_ids))
    if documents:
        item_ids_, tenants, texts = zip(*documents, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [list(item_ids_), list(tenants), list(texts)])
    return len(documents)


def _documents(item_ids: Sequence[uuid.UUID]) -> Iterator[tuple[uuid.UUID, uuid.UUID, str]]:
    """Yield id, tenant and words of each item, in the order of ids."""
    closed = WorkItem.objects.filter(id__in=item_ids).values_list("id", "subject_id", "data_class")
    omitted = {item_id for item_id, subject, data_class in closed if subject is not None or is_sensitive(data_class)}
    shown = [item_id for item_id in item_ids if item_id not in omitted]
    further = [source(shown) for source in _sources] if shown else []
    rows: list[Any] = []
    rows += _columns(shown, "payload", "external_ref", "title")
    rows += _columns(sorted(omitted))
    voters = _voters({row["tenant_id"] for row in rows}, item_ids)
    for row in sorted(rows, key=lambda row: row["id"]):
        key = words.tenant_key(row["tenant_id"])
        texts = [*_texts_of(row), *(text for source in further for text in source.get(row["id"], ()))]
        parties = {row["requester_id"], row["submitted_by_id"]}
        people = {*parties, *voters.get(row["id"], ()), row["assignee_id"]} - {None}
        yield (
            row["id"],
            row["tenant_id"],
            words.document(
                key,
                texts,
                [
                    *(words.party_lexeme(key, person) for person in sorted(parties)),
                    *(words.person_lexeme(key, person) for person in sorted(people)),
                    words.workflow_lexeme(key, row["workflow"]),
                    words.workflow_lexeme(key, row["workflow_version__workflow_id"]),
                ],
            ),
        )


def _columns(item_ids: Sequence[uuid.UUID], *contents: str) -> list[dict[str, Any]]:
    if not item_ids:
        return []
    return list(
        WorkItem.objects.filter(id__in=item_ids).values(
            "id",
            "tenant_id",
            "requester_id",
            "submitted_by_id",
            "assignee_id",
            "workflow",
            "workflow_version__workflow_id",
            *contents,
        )
    )


def _voters(tenants: Collection[uuid.UUID], item_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[uuid.UUID]]:
    """Return the principals who voted, by work item."""
    with connection.cursor() as cursor:
        cursor.execute(_VOTERS, [list(tenants), list(item_ids)])
        return dict(cursor.fetchall())


def _texts_of(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("title", "external_ref"):
        text = row.get(name) or ""
        if text and not isinstance(text, Erased):
            yield text
    yield row["workflow"]
    payload = row.get("payload")
    if not isinstance(payload, Erased):
        yield from words.texts_in(payload)
