"""Answers under idempotency keys, as they are stored: encrypted.

The answer about one case with a data subject is encrypted with the key of the subject, every other one with a key of
the instance (Fernet). An answer that is empty, or whose key is gone, is not known any more. The record still says that
the work was done.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from threada_site.api.models import IdempotencyRecord
from threada_site.kernel import errors, ids
from threada_site.kernel.keyring import Undecryptable
from threada_site.personal_data import subject_keys
from threada_site.personal_data.encrypted_blob import BlobUnreadableError, close_blob, open_blob, subject_of_blob
from threada_site.personal_data.instance_keyring import keyring

_PLACE: Final = "api_idempotencyrecord.response"
_OF_INSTANCE: Final = b"gAAAA"
"""Beginning of a Fernet token: version 0x80 and the high bytes of the time."""
_OF_SUBJECT: Final = b"\x01"
_CONTENTS: Final = frozenset({"payload", "input", "metadata", "evidence", "envelope"})
"""Members whose names and values are the requester's."""
_AT_ONCE: Final = 500


def closed_answer(answer: bytes, data: Any) -> bytes:
    """Encrypt an answer. `data` is what it was made of."""
    subjects = {subject_keys.subject_of_case(case) for case in _cases_in(data)}
    if len(subjects) == 1:
        (subject,) = subjects
        key = None if subject is None else subject_keys.key_of(subject)
        if subject is not None and key is not None:
            return close_blob(answer, key, subject=subject, place=_PLACE)
    return keyring().encrypt(answer).token


def opened_answer(record: IdempotencyRecord) -> bytes:
    """Return the stored answer. Raise `IdempotencyAnswerGone`."""
    answer = _opened(bytes(record.response))
    if answer is None:
        location = record.headers.get("Location")
        raise errors.IdempotencyAnswerGone(
            f"The request with this Idempotency-Key was answered with status {record.status}, and is not repeated.",
            headers={"Location": location} if location else {},
        )
    return answer


def forget_answers_about(public_ids: Sequence[str], *values: str, tenant_id: uuid.UUID, path: str = "") -> None:
    """Empty the answers of a tenant that contain one of `public_ids`, or a value that equals one of `values`.

    The records stay, so that a repetition does not do the work again. `path`: only records whose path begins with it.
    """
    needles = [*(one.encode() for one in public_ids), *(orjson.dumps(value) for value in values if value)]
    rows = IdempotencyRecord.objects.filter(tenant_id=tenant_id, path__startswith=path).values_list("id", "response")
    found = []
    for record_id, response in rows.iterator(chunk_size=_AT_ONCE) if needles else ():
        answer = _opened(bytes(response))
        if answer is not None and any(needle in answer for needle in needles):
            found.append(record_id)
    IdempotencyRecord.objects.filter(tenant_id=tenant_id, id__in=found).update(response=b"")


def _opened(stored: bytes) -> bytes | None:
    """Return the answer, or None. Processes of earlier versions store answers that are not encrypted."""
    try:
        if stored[:1] == _OF_SUBJECT:
            key = subject_keys.key_of(subject_of_blob(stored))
            return None if key is None else open_blob(stored, key, place=_PLACE)
        return keyring().decrypt(stored) if stored.startswith(_OF_INSTANCE) else stored or None
    except (BlobUnreadableError, Undecryptable):
        return None


def _cases_in(data: Any) -> Iterator[uuid.UUID]:
    """Yield the cases that an answer names."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == "work_item_id" and isinstance(value, str):
                case = ids.parse_public_id(ids.WORK_ITEM, value)
                if case is not None:
                    yield case
            elif name not in _CONTENTS:
                yield from _cases_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from _cases_in(value)
