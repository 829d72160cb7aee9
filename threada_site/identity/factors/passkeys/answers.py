"""Shape of what browsers send after a passkey was used, checked before fido2 reads it. Imports no Django.

fido2 makes bytes of whatever an answer contains. An integer in place of text would become as many zero bytes.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping
from typing import Any, Final

import orjson
from fido2 import cbor
from fido2.utils import websafe_decode

from threada_site.kernel import errors

MOST_ID_BYTES: Final = 1023
_REGISTRATION: Final = ("clientDataJSON", "attestationObject")
_ASSERTION: Final = ("clientDataJSON", "authenticatorData", "signature")
_MOST_TRANSPORTS: Final = 8
_CBOR_FAULTS: Final = (ValueError, LookupError, TypeError, RecursionError, struct.error)


def registration_fields(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a registration with the known fields only. Raise `PasskeyInvalid`."""
    fields = _fields(answer, _REGISTRATION)
    try:
        attestation = cbor.decode(websafe_decode(fields["response"]["attestationObject"]))
    except _CBOR_FAULTS:
        raise errors.PasskeyInvalid from None
    if not isinstance(attestation, dict) or not isinstance(attestation.get("authData"), bytes):
        raise errors.PasskeyInvalid
    return fields


def assertion_fields(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request for a passkey with the known fields only. Raise `PasskeyInvalid`."""
    fields = _fields(answer, _ASSERTION)
    handle = answer["response"].get("userHandle")
    if handle is not None:
        _decoded(handle)
        fields["response"]["userHandle"] = handle
    return fields


def transports_of(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how the browser reaches a new passkey: `internal`, `usb`; words of no more than 20 letters."""
    told = answer["response"].get("transports")
    words = told if isinstance(told, list) else []
    return tuple(sorted({one for one in words if isinstance(one, str) and len(one) <= 20})[:_MOST_TRANSPORTS])


def credential_id_of(answer: Mapping[str, Any]) -> bytes:
    """Return the id of the passkey that an answer names. Raise `PasskeyInvalid`."""
    found = _decoded(answer.get("rawId"))
    if not 0 < len(found) <= MOST_ID_BYTES:
        raise errors.PasskeyInvalid
    return found


def _fields(answer: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    response = answer.get("response")
    if not isinstance(response, dict) or answer.get("type") != "public-key" or answer.get("id") != answer.get("rawId"):
        raise errors.PasskeyInvalid
    credential_id_of(answer)
    for name in names:
        _decoded(response.get(name))
    _check_client_data(_decoded(response["clientDataJSON"]))
    return {
        "id": answer["rawId"],
        "rawId": answer["rawId"],
        "type": "public-key",
        "response": {name: response[name] for name in names},
    }


def _check_client_data(data: bytes) -> None:
    """Check that the browser's statement consists of texts where fido2 expects them."""
    try:
        client = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise errors.PasskeyInvalid from None
    if not isinstance(client, dict) or not all(isinstance(client.get(name), str) for name in ("type", "origin")):
        raise errors.PasskeyInvalid
    _decoded(client.get("challenge"))


def _decoded(text: Any) -> bytes:
    """Return the bytes of base64url. Raise `PasskeyInvalid` for anything but text."""
    if not isinstance(text, str):
        raise errors.PasskeyInvalid
    try:
        return websafe_decode(text)
    except (binascii.Error, ValueError):
        raise errors.PasskeyInvalid from None
