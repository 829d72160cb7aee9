"""Data subject of a case, as its workflow defines: the person whose key encrypts the contents."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from threada_site.kernel import errors
from threada_site.kernel.errors import FieldError
from threada_site.personal_data import subject_keys as keyring
from workitems.models import WorkItem

if TYPE_CHECKING:  # every process imports this module, and most need no documents
    from policies.documents.workflow import WorkflowDocument

MOST_CHARACTERS: Final = 512


def subject_in(payload: Any, document: WorkflowDocument) -> uuid.UUID | None:
    """Return the id of the data subject of a payload, created if unknown. None if the workflow names no subject.

    Raises `PayloadSchemaViolation` if the payload does not contain the reference.
    """
    return keyring.subject_for(subject_reference(payload, document)) if document.subject else None


def check_same_subject(item: WorkItem, payload: Any, document: WorkflowDocument) -> None:
    """Raise `PayloadSchemaViolation` if a payload is about another data subject than the item.

    Existing contents of a case stay encrypted with the key of its first data subject.
    """
    if item.subject_id is not None and subject_in(payload, document) != item.subject_id:
        raise _refused(document, "A case stays about the person it was handed in about. Hand in another.", "immutable")


def subject_reference(payload: Any, document: WorkflowDocument) -> str:
    """Return the reference of the data subject in a payload. Raise `PayloadSchemaViolation` if it has none."""
    value = payload
    for part in document.subject.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        value = value.get(key) if isinstance(value, dict) else None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    reference = str(value).strip() if is_whole or isinstance(value, str) else ""
    if not 0 < len(reference) <= MOST_CHARACTERS:
        raise _refused(document, f"This names whom the case is about: text of 1 to {MOST_CHARACTERS} characters.")
    return reference


def _refused(document: WorkflowDocument, detail: str, code: str = "required") -> errors.PayloadSchemaViolation:
    return errors.PayloadSchemaViolation(
        "The payload does not say whom the case is about. Fix the field named in errors.",
        errors=[FieldError(f"/payload{document.subject}", detail, code)],
    )


def subject_of_case(work_item_id: uuid.UUID) -> uuid.UUID | None:
    """Return the data subject of a case, if its workflow names one."""
    return WorkItem.objects.filter(id=work_item_id).values_list("subject_id", flat=True).first()
