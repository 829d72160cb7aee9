"""Files in requests: descriptions that the envelope fixes, and their checked bytes at the call. Imports no Django."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from integrations.connectors.protocol import CallTerms
from integrations.documents.model import HttpPart
from integrations.documents.templates import Template, render
from integrations.transport import StreamedBody
from threada_site.kernel import ids
from threada_site.kernel.errors import ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.media_types import KNOWN

MEMBERS: Final[Mapping[str, type]] = {
    "attachment_id": str,
    "name": str,
    "media_type": str,
    "size": int,
    "sha256": str,
}
_ID: Final = re.compile(rf"{ids.ATTACHMENT}_{ids.SUFFIX_PATTERN}")


def render_file(template: Template, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of an attachment that a template names. Raises `ExpressionFailed` for anything else."""
    value = render(template, facts)
    is_file = isinstance(value, dict) and value.keys() == MEMBERS.keys()
    if not is_file or any(type(value[name]) is not kind for name, kind in MEMBERS.items()):
        raise ExpressionFailed("A file must be one ${ … } that names an attachment of the payload.")
    if not _ID.fullmatch(value["attachment_id"]):
        raise ExpressionFailed("A file must be one ${ … } that names an attachment of the payload.")
    return dict(value)


def render_parts(parts: Sequence[HttpPart], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a form, as the envelope contains them. Raises `ExpressionFailed`."""
    found: list[dict[str, Any]] = []
    for part in parts:
        if part.file is not None:
            found.append({"name": part.name, "file": render_file(part.file, facts)})
        elif part.value is not None:
            value = render(part.value, facts)
            text = value if isinstance(value, str) else canonical_bytes(value).decode()
            found.append({"name": part.name, "value": text})
    return found


def render_files(templates: Sequence[Template], facts: Mapping[str, Any], *, most: int) -> list[dict[str, Any]]:
    """Return the descriptions of attachments that have at most `most` bytes together. Raises `ExpressionFailed`."""
    found = [render_file(template, facts) for template in templates]
    if sum(file["size"] for file in found) > most:
        raise ExpressionFailed(f"The files have more than {most} bytes together. Send fewer, or smaller ones.")
    return found


def media_type_of(about: Mapping[str, Any]) -> str:
    """Return the media type with which a file is sent: its own if files of that type can be attached."""
    return str(about["media_type"]) if about["media_type"] in KNOWN else "application/octet-stream"


def whole_file(about: Mapping[str, Any], terms: CallTerms) -> bytes:
    """Return the checked bytes of a file. Raises `TransportFailure`."""
    return b"".join(terms.file(about).blocks())


def files_in(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptions of all files that a request sends."""
    if isinstance(request.get("file"), Mapping):
        yield request["file"]
    for part in request.get("multipart", ()):
        if "file" in part:
            yield part["file"]
    yield from request.get("files", ())


def form_body(parts: Sequence[Mapping[str, Any]], terms: CallTerms) -> tuple[StreamedBody, str]:
    """Return a form with checked files, and its media type. Raises `TransportFailure`, before anything is sent.

    Texts come before files. The boundary is random, so that no file can contain it.
    """
    opened = [(part["name"], part["file"], terms.file(part["file"])) for part in parts if "file" in part]
    texts: dict[str, list[str]] = {}
    for part in parts:
        if "value" in part:
            texts.setdefault(part["name"], []).append(part["value"])
    for _name, _about, file in opened:
        file.file.seek(0)
    form = httpx.Request(
        "POST",
        "http://form/",
        headers={"Content-Type": f"multipart/form-data; boundary=threada-{secrets.token_hex(24)}"},
        data=texts,
        files=[(name, (about["name"], file.file, media_type_of(about))) for name, about, file in opened],
    )
    size = int(form.headers["Content-Length"])
    return StreamedBody(size, lambda: iter(form.stream)), form.headers["Content-Type"]  # type: ignore[arg-type]
