"""Headers of a delivery to a collector: plain text, with `${secret}` as placeholder for the referenced secret. Pure.

A header that looks like a credential must use the placeholder, because header texts are visible to readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from integrations.transport.client import FRAMING_HEADERS, is_header_name
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.templates import is_header_value

PLACEHOLDER: Final = "${secret}"
DEFAULT_HEADERS: Final = {"Authorization": f"Bearer {PLACEHOLDER}"}
"""Headers of a delivery with a secret and without headers of its own."""
MAX_HEADERS: Final = 20
_OWN: Final = FRAMING_HEADERS | {"content-type", "content-encoding", "accept-encoding", "user-agent"}
_CREDENTIAL: Final = re.compile(r"auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


def header_errors(headers: Mapping[str, str], *, has_secret: bool) -> list[FieldError]:
    """Return every problem of `headers`, by JSON pointer below `/headers`."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for name, value in headers.items():
        pointer = pointer_to("/headers", name)
        takes_secret = PLACEHOLDER in value
        if not is_header_name(name):
            errors.append(FieldError(pointer, "is not a header name", "invalid"))
        elif name.lower() in _OWN:
            errors.append(FieldError(pointer, "is set by Threada itself", "invalid"))
        elif name.lower() in seen:
            errors.append(FieldError(pointer, "occurs twice", "invalid"))
        elif "${" in value.replace(PLACEHOLDER, ""):
            errors.append(FieldError(pointer, f"knows no other place than {PLACEHOLDER}", "invalid"))
        elif not value or not is_header_value(value):
            errors.append(FieldError(pointer, "must be Latin-1 without control characters and not padded", "invalid"))
        elif takes_secret and not has_secret:
            errors.append(FieldError("/secret", f"is needed: {name} says {PLACEHOLDER}", "required"))
        elif _CREDENTIAL.search(name) and not takes_secret:
            errors.append(
                FieldError(pointer, f"looks like a credential: name a secret, and write {PLACEHOLDER}", "invalid")
            )
        seen.add(name.lower())
    if has_secret and not any(PLACEHOLDER in value for value in headers.values()):
        errors.append(FieldError("/secret", f"goes nowhere: no header says {PLACEHOLDER}", "invalid"))
    return errors


def fill_headers(headers: Mapping[str, str], secret: str) -> tuple[tuple[str, str], ...]:
    """Return the headers with the secret inserted.

    Raises `ValueError`, without the value, if the secret is not valid in a header.
    """
    if not is_header_value(secret):
        raise ValueError("can stand in no header")
    return tuple((name, value.replace(PLACEHOLDER, secret)) for name, value in headers.items())
