"""Conditional requests (RFC 9110): entity tags, `If-Match`, `If-None-Match`.

The tag of an answer is `"STATE/DIGEST"`: the state of the resource, which edits compare, and the digest of the answer,
which also changes with what others see of it. The tag of an answer about a resource without a state is `"DIGEST"`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import orjson
from rest_framework.response import Response

from threada_site.kernel import errors

_DIGEST_LENGTH: Final = 32
_EXISTS: Final = "The resource exists. Read it and send its ETag as If-Match to replace it."
_CHANGED: Final = "The resource has changed since you read it. Read it again, then repeat your change."


def etag(*parts: Any) -> str:
    """Return a strong entity tag of a state. The parts contain no `/`, comma or quote."""
    return '"' + ".".join(str(part) for part in parts) + '"'


def short_digest(text: str) -> str:
    """Return a part of an entity tag that stands for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_if_match(request: Any, current: str, *, required: bool = True) -> None:
    """Refuse an edit of a changed resource (412), or one without `If-Match` if it is required (428)."""
    sent = request.META.get("HTTP_IF_MATCH")
    if sent is None:
        if required:
            raise errors.PreconditionRequired("Read the resource and send its ETag as If-Match.")
        return
    if sent.strip() != "*" and not names_state(sent, current):
        raise errors.PreconditionFailed(_CHANGED)


def check_creation(request: Any) -> None:
    """Refuse a PUT on an address without a resource, unless `If-None-Match: *` says that it is to be created."""
    if "HTTP_IF_MATCH" in request.META:
        raise errors.PreconditionFailed("There is no such resource. Send If-None-Match: * to create it.")
    if request.META.get("HTTP_IF_NONE_MATCH", "").strip() != "*":
        raise errors.NotFound


def check_created(*, is_new: bool) -> None:
    """Refuse a PUT that was to create a resource (`check_creation`) if another request has created it meanwhile."""
    if not is_new:
        raise errors.PreconditionFailed(_EXISTS)


def check_follows(read: int, written: int) -> None:
    """Refuse a PUT on version `read` if another one was added before `written`.

    For resources whose change takes their lock too late for the check of `If-Match`.
    """
    if written > read + 1:
        raise errors.PreconditionFailed(_CHANGED)


def check_replacement(request: Any, current: str) -> None:
    """Refuse a PUT on a resource that exists if it was to be created (412), has changed (412) or was not read (428)."""
    if request.META.get("HTTP_IF_NONE_MATCH", "").strip() == "*":
        raise errors.PreconditionFailed(_EXISTS)
    check_if_match(request, current)


def tagged(request: Any, answer: Response) -> Response:
    """Return the answer to a GET with its entity tag, or without a body (304) if the caller has it.

    A weak tag is that of another protocol (SCIM), which has its own rules: the answer is returned as it is.
    """
    if answer.headers.get("ETag", "").startswith("W/"):
        return answer
    digest = hashlib.sha256(orjson.dumps(answer.data)).hexdigest()[:_DIGEST_LENGTH]
    state = answer.headers.get("ETag", "").strip('"')
    tag = f'"{state}/{digest}"' if state else f'"{digest}"'
    answer.headers["ETag"] = tag
    sent = request.META.get("HTTP_IF_NONE_MATCH")
    if sent is not None and (sent.strip() == "*" or tag in (found.removeprefix("W/") for found in _tags(sent))):
        answer.status_code = 304
        answer.data = None
    return answer


def names_state(header: str, state: str) -> bool:
    """Return True if a header contains the tag of `state` itself, or of an answer about it."""
    return any(_is_of(tag, state) for tag in _tags(header))


def was_read(header: str, state: str) -> bool:
    """Return True if an `If-None-Match` names `state`, also weakly, as proxies do that compress answers."""
    return any(_is_of(tag.removeprefix("W/"), state) for tag in _tags(header))


def _is_of(tag: str, state: str) -> bool:
    return tag == state or tag.startswith(state[:-1] + "/")


def _tags(header: str) -> Iterator[str]:
    return (part.strip() for part in header.split(","))
